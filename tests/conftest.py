"""What all tests share."""

from __future__ import annotations

import os
import signal
from collections.abc import Iterator

import pytest
from hypothesis import HealthCheck, settings

WORKERS_PER_CORE = 2
"""Most tests wait for other processes."""


def pytest_xdist_auto_num_workers(config: pytest.Config) -> int:
    """How many tests run at once; 0, which is in this process: what runs is a file or two."""
    return 0 if _only_files(config) else WORKERS_PER_CORE * (os.cpu_count() or 1)


def pytest_addoption(parser: pytest.Parser) -> None:
    text = "run the slow tests, too, and each test in all its variants, as CI does"
    parser.addoption("--thorough", action="store_true", help=text)


def pytest_configure(config: pytest.Config) -> None:
    if not config.getoption("hypothesis_profile"):
        settings.load_profile("same" if _is_everything_wanted(config) else "quick")


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Whoever runs all tests has them in minutes, each in its first variant, unless they are quick;
    whoever names a file has all that is in it."""
    if _is_everything_wanted(config):
        return
    first = {_without_variant(item): item for item in reversed(items)}
    wanted = {*first.values(), *(item for item in items if item.get_closest_marker("quick"))}
    kept = {item for item in wanted if item.get_closest_marker("slow") is None}
    config.hook.pytest_deselected(items=[item for item in items if item not in kept])
    items[:] = [item for item in items if item in kept]


def _without_variant(item: pytest.Item) -> str:
    return item.nodeid.partition("[")[0]


def _is_everything_wanted(config: pytest.Config) -> bool:
    return config.getoption("thorough") or _only_files(config)


def _only_files(config: pytest.Config) -> bool:
    return all(".py" in argument for argument in config.args)


# No deadline: wall clock, while other tests keep the cores busy, says nothing about the code.
# The same examples in each run: what fails is what has been changed, not another draw.
settings.register_profile(
    "same", deadline=None, suppress_health_check=[HealthCheck.too_slow], derandomize=True
)
settings.register_profile("quick", settings.get_profile("same"), max_examples=25)
# For a night of looking: pytest --hypothesis-profile long tests/configuration/test_fuzz.py
settings.register_profile(
    "long", settings.get_profile("same"), derandomize=False, max_examples=20_000
)


@pytest.fixture(scope="session", autouse=True)
def _end_signals_are_not_ignored() -> Iterator[None]:
    """A shell starts what runs in its background with Ctrl-C ignored (nohup: the hang-up too), and
    programs under test would inherit that: they rightly leave an ignored signal alone."""
    names = [name for name in ("SIGINT", "SIGHUP") if hasattr(signal, name)]
    ignored = [
        n for n in map(signal.Signals.__getitem__, names) if signal.getsignal(n) is signal.SIG_IGN
    ]
    for number in ignored:
        # Not SIG_DFL, which would end the tests; a child that is executed gets SIG_DFL.
        signal.signal(number, signal.default_int_handler)
    yield
    for number in ignored:
        signal.signal(number, signal.SIG_IGN)
