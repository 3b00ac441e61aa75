"""The retained size of objects: how much memory do they alone keep alive?

The collector's own way to tell: what has more references than there are among these objects and
what they lead to is held by somebody else as well, and stays, with all that it leads to. So an
app's model or cache does not count for an error in whose frames it is; a list that only a frame has
does.

No code of the app runs for it: no method, property, `__eq__` or `__sizeof__` written in Python.
"""

from __future__ import annotations

import gc
import inspect
import sys
import types
from collections import Counter, deque
from collections.abc import Callable, Iterable
from itertools import islice

MOST_OBJECTS = 50_000
"""To look at so many takes about half a second of one core."""
LIVE_ANYWAY = (types.ModuleType, type, types.FunctionType, types.CodeType)
MADE_IN_C = (types.MethodDescriptorType, types.WrapperDescriptorType)

HAS_REFERENCE_COUNTS = hasattr(sys, "getrefcount")  # not in PyPy
_probe = {0: object()}
REFERENCES_OF_OURS = sys.getrefcount(_probe[0]) if HAS_REFERENCE_COUNTS else 0
"""What getrefcount says of an object that nothing but one dictionary has."""


def bytes_held_by(*roots: object) -> int:
    """The bytes that would be free without the roots: at least so many.

    Not seen are objects beyond the nearest MOST_OBJECTS, those that an extension does not show to
    the collector, and what something else refers to just now, such as a frame that still runs.
    Without reference counts (PyPy) nothing is seen: 0.
    """
    if not HAS_REFERENCE_COUNTS:
        return 0
    # By id: what equals what is for the app's code to say.
    objects, leads_to = _reachable_from(roots)
    root_ids = {id(root) for root in roots}
    inner_references = Counter(referent for ids in leads_to.values() for referent in ids)
    held_by_others = [
        object_id
        for object_id in objects.keys() - root_ids
        if sys.getrefcount(objects[object_id]) - REFERENCES_OF_OURS > inner_references[object_id]
    ]
    staying_ids = _with_what_they_lead_to(held_by_others, leads_to, but_not=root_ids)
    return _size_of_all([objects[object_id] for object_id in objects.keys() - staying_ids])


def _reachable_from(roots: Iterable[object]) -> tuple[dict[int, object], dict[int, list[int]]]:
    """Them and what they lead to, the nearest first; and the ids of what each leads to."""
    objects = {id(root): root for root in roots}
    leads_to: dict[int, list[int]] = {}
    ids_to_visit = deque(objects)
    while ids_to_visit:
        object_id = ids_to_visit.popleft()
        leads_to[object_id] = []
        for referent in islice(_referents(objects[object_id]), MOST_OBJECTS - len(objects)):
            leads_to[object_id].append(id(referent))
            if id(referent) not in objects:
                objects[id(referent)] = referent
                ids_to_visit.append(id(referent))
    return objects, leads_to


def _referents(referrer: object) -> list[object]:
    # By type(): isinstance asks an object for its __class__.
    if issubclass(type(referrer), LIVE_ANYWAY):
        return []
    referents = gc.get_referents(referrer)
    if type(referrer) is types.FrameType:  # on Python 3.10 its globals are among them
        return [
            referent
            for referent in referents
            if referent is not referrer.f_globals and referent is not referrer.f_builtins
        ]
    return referents + _array_behind(referrer)


def _array_behind(view: object) -> list[object]:
    """Of what array it is a view: NumPy does not show that to the collector."""
    ndarray = getattr(sys.modules.get("numpy"), "ndarray", None)
    if ndarray is None or not issubclass(type(view), ndarray):
        return []
    return [ndarray.base.__get__(view)]


def _with_what_they_lead_to(
    object_ids: Iterable[int], leads_to: dict[int, list[int]], but_not: set[int]
) -> set[int]:
    ids_to_visit = list(object_ids)
    reached_ids = set(ids_to_visit)
    while ids_to_visit:
        new_ids = set(leads_to[ids_to_visit.pop()]) - reached_ids - but_not
        reached_ids |= new_ids
        ids_to_visit += new_ids
    return reached_ids


def _size_of_all(objects: Iterable[object]) -> int:
    """Their own sizes; of a class whose size only code of the app can tell, none."""
    instances_by_class: dict[int, list[object]] = {}
    for instance in objects:
        instances_by_class.setdefault(id(type(instance)), []).append(instance)
    return sum(
        sum(map(_sizeof_in_c(type(instances[0])), instances))
        for instances in instances_by_class.values()
    )


def _sizeof_in_c(class_: type) -> Callable[[object], int]:
    sizeof = inspect.getattr_static(class_, "__sizeof__", None)
    return sizeof if isinstance(sizeof, MADE_IN_C) else lambda instance: 0
