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
    inside = {id(one) for one in roots}
    references = Counter(key for keys in leads_to.values() for key in keys)
    held_by_others = [
        key
        for key in objects.keys() - inside
        if sys.getrefcount(objects[key]) - REFERENCES_OF_OURS > references[key]
    ]
    staying = _with_what_they_lead_to(held_by_others, leads_to, but_not=inside)
    return _size_of_all([objects[key] for key in objects.keys() - staying])


def _reachable_from(roots: Iterable[object]) -> tuple[dict[int, object], dict[int, list[int]]]:
    """Them and what they lead to, the nearest first; and the ids of what each leads to."""
    objects = {id(one): one for one in roots}
    leads_to: dict[int, list[int]] = {}
    waiting = deque(objects)
    while waiting:
        key = waiting.popleft()
        leads_to[key] = []
        for one in islice(_referents(objects[key]), MOST_OBJECTS - len(objects)):
            leads_to[key].append(id(one))
            if id(one) not in objects:
                objects[id(one)] = one
                waiting.append(id(one))
    return objects, leads_to


def _referents(one: object) -> list[object]:
    # By type(): isinstance asks an object for its __class__.
    if issubclass(type(one), LIVE_ANYWAY):
        return []
    referents = gc.get_referents(one)
    if type(one) is types.FrameType:  # on Python 3.10 its globals are among them
        return [it for it in referents if it is not one.f_globals and it is not one.f_builtins]
    return referents + _viewed_by(one)


def _viewed_by(one: object) -> list[object]:
    """Of what array it is a view: NumPy does not show that to the collector."""
    array = getattr(sys.modules.get("numpy"), "ndarray", None)
    if array is None or not issubclass(type(one), array):
        return []
    return [array.base.__get__(one)]


def _with_what_they_lead_to(
    keys: Iterable[int], leads_to: dict[int, list[int]], but_not: set[int]
) -> set[int]:
    waiting = list(keys)
    found = set(waiting)
    while waiting:
        new = set(leads_to[waiting.pop()]) - found - but_not
        found |= new
        waiting += new
    return found


def _size_of_all(objects: Iterable[object]) -> int:
    """Their own sizes; of a class whose size only code of the app can tell, none."""
    by_class: dict[int, list[object]] = {}
    for one in objects:
        by_class.setdefault(id(type(one)), []).append(one)
    return sum(sum(map(_sizeof_in_c(type(each[0])), each)) for each in by_class.values())


def _sizeof_in_c(kind: type) -> Callable[[object], int]:
    found = inspect.getattr_static(kind, "__sizeof__", None)
    return found if isinstance(found, MADE_IN_C) else lambda one: 0
