"""`breakpoint()` without an IDE: a save waits for it, and the terminal is as it was afterwards."""

from __future__ import annotations

import os
import signal
import sys

import pytest

from ..support.processes import in_background, wait_until
from .project import Project

if sys.platform == "win32":
    pytest.skip("terminals", allow_module_level=True)

# With readline, as a person's pdb has it: it turns the terminal's echo off while it reads.
APP = """\
import os, readline
from flask import Flask

app = Flask(__name__)


@app.get("/")
def index():
    {prompt}
    return "{text}"


@app.get("/pid")
def pid():
    return str(os.getpid())
"""
PROMPTS = {"pdb": "breakpoint()", "code": "__import__('code').interact(banner='here', exitmsg='')"}
GO_ON = {"pdb": "c\n", "code": "\x04"}


@pytest.mark.slow
@pytest.mark.parametrize("prompt", PROMPTS)
def test_a_reload_waits_while_a_thread_is_at_a_prompt(project: Project, prompt: str) -> None:
    def save(text: str) -> None:
        project.save("main.py", APP.format(prompt=PROMPTS[prompt], text=text))

    save("one")
    with project.served("--debug-with", "off", terminal=True) as served:
        answer = in_background(served.text)
        wait_until(lambda: not served.program.terminal_echoes(), message="the prompt")
        save("two")
        served.program.wait_for_line(r"reload waits: stopped at main\.py:\d+")
        served.program.type_keys(GO_ON[prompt])
        assert answer.result(30) == "one"
        served.wait_for_reload(1)
        assert served.program.terminal_echoes()


@pytest.mark.parametrize(
    ("end", "reload"),
    [
        ("ctrl-c", "--reload"),
        ("terminated", "--reload"),
        ("killed", "--reload"),  # without a supervisor nobody would be left to restore it
        ("ctrl-c", "--no-reload"),
        ("terminated", "--no-reload"),
    ],
)
def test_the_terminal_is_as_it_was_whatever_ends_a_prompt(
    project: Project, end: str, reload: str
) -> None:
    project.save("main.py", APP.format(prompt="breakpoint()", text="one"))
    with project.served("--debug-with", "off", reload, terminal=True) as served:
        worker = int(served.text("/pid"))
        in_background(served.text)
        wait_until(lambda: not served.program.terminal_echoes(), message="the prompt")
        if end == "ctrl-c":
            served.program.type_keys("\x03")
        elif end == "terminated":
            served.program.signal(signal.SIGTERM)
        else:
            os.kill(worker, signal.SIGKILL)
        wait_until(served.program.terminal_echoes, message="the terminal as it was")
