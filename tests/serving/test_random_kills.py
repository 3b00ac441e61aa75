"""The laws of test_supervisor_states.py for real processes that are killed at random moments.

KILLS=100 has more of them than the few that each run of the tests has; KILLS_SEED repeats a run.
"""

from __future__ import annotations

import contextlib
import os
import random
import signal
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from functools import partial
from typing import NamedTuple

import pytest

from ..support.dap import Editor
from ..support.processes import command_line, free_port, http_get, is_listening, wait_until
from .project import Project, Served

if sys.platform != "linux":
    pytest.skip("finding the processes of a program needs Linux", allow_module_level=True)

KILLS = int(os.environ.get("KILLS", "4"))
SEED = int(os.environ.get("KILLS_SEED", random.randrange(10**6)))
RUNS = max(1, KILLS // 10)
"""Of the launcher; each ends at a random moment, too."""
LONGEST_DELAY = 0.5
"""Longer than a warm reload takes, so that each part of it may be hit."""


class Ports(NamedTuple):
    http: int
    debug: int


@contextmanager
def serving(project: Project, ide: str, ports: Ports) -> Iterator[Served]:
    http = ("--port", str(ports.http))
    if ide == "none":
        with project.served(*http) as served:
            yield served
        return
    pytest.importorskip("debugpy")
    debug = ("--debug-with", "debugpy", "--debug-port", str(ports.debug))
    with project.served(*http, *debug) as served, Editor.attach(ports.debug) as editor:
        editor.wait_for_session(2)
        yield served


def victims(served: Served) -> list[int]:
    """Every process but the supervisor, and the adapter, which the IDE's sessions live in."""
    found = [pid for pid in served.program.family.members() if pid != served.program.pid]
    return [pid for pid in found if not any("adapter" in one for one in command_line(pid))]


def is_served_or_told(served: Served, text: str, since: int) -> bool:
    """No save is lost: its code is served, or that there is nobody to serve it has been said."""
    told = any("The next save starts it again" in line for line in served.program.lines[since:])
    return told or is_served(served, text)


def is_served(served: Served, text: str) -> bool:
    with contextlib.suppress(OSError):  # nobody there yet, or killed while it answered
        return http_get(served.url, timeout=2).text == text
    return False


@pytest.mark.slow
@pytest.mark.parametrize("ide", ["none", "debugpy"])
def test_whatever_is_killed_no_save_is_lost_and_nothing_is_left(project: Project, ide: str) -> None:
    print(f"KILLS_SEED={SEED}")
    chance = random.Random(SEED)
    ports = Ports(free_port(), free_port())
    text = "one"
    for run in range(RUNS):
        with serving(project, ide, ports) as served:
            served.wait_for_text(text)  # the run before has left neither port
            for number in range(KILLS // RUNS):
                kill_one(project, served, chance, f"save {number} of run {run}")
            text = f"the last of run {run}"
            project.say(text)
            time.sleep(chance.uniform(0, LONGEST_DELAY))
            served.program.signal(chance.choice([signal.SIGKILL, signal.SIGTERM, signal.SIGINT]))
            served.program.wait_exit(timeout=10)
            began = time.monotonic()
            served.program.assert_nothing_left(timeout=5)
            print(f"nothing left {time.monotonic() - began:.2f} s after the end")
            wait_until(lambda: not is_listening(ports.http), 5, "nobody listens any more")
            assert "Traceback" not in served.program.output
    with serving(project, ide, ports) as again:
        again.wait_for_text(text)


def kill_one(project: Project, served: Served, chance: random.Random, text: str) -> None:
    def report() -> str:
        return f"seed {SEED}: {served.program.output}"

    since = len(served.program.lines)
    project.say(text)
    time.sleep(chance.uniform(0, LONGEST_DELAY))  # the moment is random
    for victim in chance.sample(found := victims(served), min(len(found), 1)):
        with contextlib.suppress(ProcessLookupError):
            os.kill(victim, signal.SIGKILL)
    wait_until(partial(is_served_or_told, served, text, since), message=report)
    # And it goes on: the next save is served, whatever happened.
    project.say(f"{text}, and on")
    wait_until(partial(is_served, served, f"{text}, and on"), message=report)
