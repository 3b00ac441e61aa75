"""The IDE's side of pydevd's own protocol: PyDev (Eclipse) for pydevd, PyCharm for pydevd-pycharm.

    with PyDev(breakpoints={app: [12]}) as ide:
        ide.launch(app, "5000")
        response = in_background(http_get, url)
        stop = ide.wait_for_stop()
        assert stop.variables()["name"] == "'World'"
        stop.resume()
        assert response.result(TIMEOUT).status == 200

Here the IDE is the server: each debugged process opens a connection of its own to ide.port, be
it launched by the IDE or dialling in by settrace(). The protocol is described at the top of
_pydevd_bundle/pydevd_comm.py; what each IDE says in which order is in their sources:
org.python.pydev.debug (fabioz/Pydev) and python/pydevSrc (JetBrains/intellij-community).
"""

from __future__ import annotations

import ast
import contextlib
import html
import importlib.util
import itertools
import json
import os
import re
import signal
import socket
import sys
import threading
import xml.etree.ElementTree as ET
from abc import abstractmethod
from collections.abc import Iterable, Iterator, Mapping
from concurrent.futures import Future
from pathlib import Path
from typing import ClassVar
from urllib.parse import unquote

from .ide import Breakpoints, EvaluationError, ExceptionInfo, Frame, Ide, Session, Stop
from .processes import TIMEOUT, Program

RUN = 101
LIST_THREADS = 102
THREAD_CREATED = 103
THREAD_GONE = 104
SUSPEND = 105
RESUME = 106
STEP_INTO = 107
STEP_OVER = 108
STEP_RETURN = 109
SET_BREAKPOINT = 111
REMOVE_BREAKPOINT = 112
EVALUATE = 113
GET_FRAME = 114
OUTPUT = 116
ADD_EXCEPTION_BREAKPOINT = 122
REMOVE_EXCEPTION_BREAKPOINT = 123
REMOVE_DJANGO_EXCEPTION_BREAKPOINT = 126
CAUGHT_EXCEPTION = 137
IGNORE_EXCEPTION_AT = 140
DO_NOT_TRACE = 141
SHOW_RETURN_VALUES = 146
PROCESS_CREATED = 149
PROCESS_CREATED_RECEIVED = 159
SET_EXCEPTIONS = 161
SET_PATH_MAPPING = 162
VERSION = 501
SET_PROTOCOL = 503
ERROR = 901

STOP_REASONS = {
    SET_BREAKPOINT: "breakpoint",
    ADD_EXCEPTION_BREAKPOINT: "exception",
    CAUGHT_EXCEPTION: "exception",
    SUSPEND: "pause",
}
"""In the words of the debug adapter protocol; all other numbers are kinds of steps."""


class PydevdSession(Session):
    def __init__(self, ide: PydevdIde, connection: socket.socket) -> None:
        connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self.threads: list[str] = []
        """The ids of the living threads, the first being that which runs the program."""
        self._ide = ide
        self._connection = connection
        self._lock = threading.Lock()
        self._sequence = itertools.count(1, 2)  # even numbers are the debuggee's
        self._pending: dict[int, Future[str]] | None = {}  # None: the connection has ended
        self._thread = threading.Thread(target=self._read, daemon=True)
        self._thread.start()

    def __str__(self) -> str:
        return f"session {self.process_id or 'new'}"

    # What goes out

    def send(self, command: int, payload: str = "") -> None:
        with self._lock:
            self._send(command, next(self._sequence), payload)

    def ask(self, command: int, payload: str = "") -> str:
        """Send a command and wait for the answer's payload. ConnectionError if it has ended."""
        answer: Future[str] = Future()
        with self._lock:
            if self._pending is None:
                raise ConnectionError(f"{self} has ended")
            sequence = next(self._sequence)
            self._pending[sequence] = answer
            self._send(command, sequence, payload)
        return answer.result(TIMEOUT)

    def _send(self, command: int, sequence: int, payload: str) -> None:
        message = f"{command}\t{sequence}\t{payload}\n"
        with contextlib.suppress(OSError):  # ended: the reader notices it as well
            self._connection.sendall(message.encode())

    def hang_up(self) -> None:
        with contextlib.suppress(OSError):
            self._connection.shutdown(socket.SHUT_RDWR)
        self._thread.join(TIMEOUT)

    # What comes in, on the thread that reads

    def _read(self) -> None:
        with contextlib.suppress(OSError):  # reset
            for command, sequence, payload in self._messages():
                self._react(command, sequence, payload)
                self._ide.note(f"{self}: {command} {payload[:300]}")
        self._connection.close()
        with self._lock:
            pending, self._pending = self._pending or {}, None
        for answer in pending.values():
            answer.set_exception(ConnectionError(f"{self} has ended"))
        self.has_ended = True
        self._ide.note(f"{self}: ended")

    def _messages(self) -> Iterator[tuple[int, int, str]]:
        with self._connection.makefile("rb") as reader:
            while (line := reader.readline()).endswith(b"\n"):  # else cut off, or the end
                is_http = line.startswith(b"Content-Length:")
                if is_http:
                    reader.readline()
                    length = int(line.split(b":")[1])
                    line = reader.read(length)
                    if len(line) < length:
                        return
                command, sequence, payload = line.decode().removesuffix("\n").split("\t", 2)
                yield int(command), int(sequence), payload if is_http else unquote(payload)

    def _react(self, command: int, sequence: int, payload: str) -> None:
        if self._answer(command, sequence, payload):
            return
        if command == THREAD_CREATED:
            self._add_thread(_first_child(payload).attrib["id"])
        elif command == THREAD_GONE:
            self._remove_thread(payload)
        elif command == SUSPEND:
            self._ide.add_stop(PydevdStop(self._ide, self, _first_child(payload)))
        elif command == OUTPUT:
            self._ide.add_output(_unquoted(_first_child(payload), "s"))
        elif command == PROCESS_CREATED:
            self.send(PROCESS_CREATED_RECEIVED, str(sequence))

    def _answer(self, command: int, sequence: int, payload: str) -> bool:
        with self._lock:
            answer = (self._pending or {}).pop(sequence, None)
        if answer is None:
            return False
        if command == ERROR:
            answer.set_exception(EvaluationError(payload))
        else:
            answer.set_result(payload)
        return True

    def _add_thread(self, thread_id: str) -> None:
        self.threads.append(thread_id)
        if found := re.match(r"pid_(\d+)_", thread_id):
            self.process_id = int(found[1])

    def _remove_thread(self, thread_id: str) -> None:
        with contextlib.suppress(ValueError):  # never announced
            self.threads.remove(thread_id)


def installed_pydevd() -> str:
    """Its file, as the IDEs run that of the copy that they bring along."""
    spec = importlib.util.find_spec("pydevd")
    assert spec
    assert spec.origin, "neither pydevd nor pydevd-pycharm is installed"
    return spec.origin


class PydevdIde(Ide[PydevdSession]):
    """What PyDev and PyCharm have in common; use one of the two."""

    STOP_SIGNAL: ClassVar[signal.Signals]
    """What the red square sends to the launched program and its descendants."""

    def __init__(
        self,
        *,
        breakpoints: Breakpoints | None = None,
        filters: Iterable[str] | None = None,
        port: int = 0,
        pysrc: Path | None = None,
    ) -> None:
        """port: 0 for any that is free. pysrc: the folder of the pydevd that the IDE brings along;
        None for the installed one."""
        super().__init__(breakpoints, filters)
        self._pysrc = pysrc
        self.output = ""
        """What the debuggees have sent to the console over the protocol."""
        self._listener = socket.create_server(("127.0.0.1", port), backlog=20)
        self.port = self._listener.getsockname()[1]
        self._acceptor = threading.Thread(target=self._accept, daemon=True)
        self._acceptor.start()

    # Sessions

    def _accept(self) -> None:
        with contextlib.suppress(OSError):  # closed by us
            while True:
                connection, _ = self._listener.accept()
                session = PydevdSession(self, connection)
                with self.changed:
                    self.sessions.append(session)
                self._in_background(self._start, session)

    def _start(self, session: PydevdSession) -> None:
        self.awake.wait(TIMEOUT)
        self.greet(session)
        for file, lines in self.breakpoints.items():
            for line in lines:
                session.send(SET_BREAKPOINT, self.breakpoint(file, line))
        self.set_exceptions(session)
        self.finish_greeting(session)
        session.send(RUN)
        session.is_armed = True
        self.note(f"{session}: armed")

    # What a person does

    def launch(
        self,
        target: Path | str,
        *arguments: str,
        cwd: Path | str | None = None,
        env: Mapping[str, str] | None = None,
        module: bool = False,
    ) -> Program:
        """Press Debug: run a file (or a module) under the debugger with the IDE's command line.

        In the file's directory if cwd is not given. The program ends with the IDE's block.
        """
        project = Path(cwd or (os.getcwd() if module else Path(target).parent))
        inherited = dict(os.environ if env is None else env)
        path = os.pathsep.join(filter(None, [str(project), inherited.get("PYTHONPATH")]))
        self.program = Program(
            [*self.command(module), str(target), *arguments],
            cwd=project,
            env={**inherited, "PYTHONPATH": path, **self.environment(project)},
        )
        return self.program

    def set_breakpoints(self, file: Path, lines: Iterable[int]) -> None:
        old, new = set(self.breakpoints.get(Path(file), [])), set(lines)
        self.breakpoints[Path(file)] = sorted(new)
        for session in self.live_sessions:
            for line in sorted(old - new):
                session.send(REMOVE_BREAKPOINT, f"python-line\t{file}\t{line}")
            for line in sorted(new - old):
                session.send(SET_BREAKPOINT, self.breakpoint(Path(file), line))
        self.settle()

    def set_exception_filters(self, *filters: str) -> None:
        self.filters = filters
        for session in self.live_sessions:
            self.set_exceptions(session)
        self.settle()

    def pause(self) -> None:
        """The first thread of the newest session is selected."""
        session = self.live_sessions[-1]
        session.send(SUSPEND, session.threads[0])

    def disconnect(self, *, terminate: bool = False) -> None:
        if terminate and self.program:
            self.program.signal_tree(self.STOP_SIGNAL)
        for session in self.sessions:
            session.hang_up()

    def settle(self) -> None:
        for session in self.live_sessions:
            with contextlib.suppress(ConnectionError):  # ended meanwhile
                session.ask(LIST_THREADS)

    def close(self) -> None:
        """Stop listening too, as when the IDE's debug server is stopped."""
        # Closing it does not wake the thread in accept().
        with contextlib.suppress(OSError):
            self._listener.shutdown(socket.SHUT_RDWR)
        self._listener.close()
        self._acceptor.join(TIMEOUT)
        self.disconnect()

    def __exit__(self, *_: object) -> None:
        if self.program:
            self.program.kill()
        self.close()

    def add_output(self, text: str) -> None:
        with self.changed:
            self.output += text
            self.changed.notify_all()

    def server(self) -> list[str]:
        return ["--client", "127.0.0.1", "--port", str(self.port)]

    def pydevd_file(self) -> str:
        return str(self._pysrc / "pydevd.py") if self._pysrc else installed_pydevd()

    # In what the two differ

    @abstractmethod
    def command(self, module: bool) -> list[str]:
        """The command line up to the target."""

    @abstractmethod
    def environment(self, project: Path) -> dict[str, str]:
        """The variables that the IDE sets for the program."""

    @abstractmethod
    def greet(self, session: PydevdSession) -> None: ...

    @abstractmethod
    def breakpoint(self, file: Path, line: int) -> str: ...

    @abstractmethod
    def set_exceptions(self, session: PydevdSession) -> None: ...

    @abstractmethod
    def finish_greeting(self, session: PydevdSession) -> None: ...

    @abstractmethod
    def frame_request(self, thread_and_frame: str) -> str: ...

    @abstractmethod
    def threads_to_resume(self, session: PydevdSession, stopped: str) -> list[str]: ...


class PyDev(PydevdIde):
    """PyDev 13.1: in Eclipse, LiClipse and (an old one) Aptana Studio."""

    DEFAULT_FILTERS = ()
    STOP_SIGNAL = signal.SIGKILL

    def command(self, module: bool) -> list[str]:
        assert not module, "PyDev can only run files"
        pydevd = [sys.executable, "-u", "-Xfrozen_modules=off", self.pydevd_file()]
        flags = ["--multiprocess", "--protocol-http", "--print-in-debugger-startup"]
        return [*pydevd, *flags, "--vm_type", "python", *self.server(), "--file"]

    def environment(self, project: Path) -> dict[str, str]:
        return {"IDE_PROJECT_ROOTS": str(project)}

    def greet(self, session: PydevdSession) -> None:
        session.send(SET_PROTOCOL, "http")
        session.ask(VERSION, "1.1\tUNIX\tID")
        session.send(SET_PATH_MAPPING, '{"debug":false,"force":false,"pathMappings":[]}')

    def breakpoint(self, file: Path, line: int) -> str:
        return f"{line}\tpython-line\t{file}\t{line}\tNone\tNone\tNone"

    def set_exceptions(self, session: PydevdSession) -> None:
        settings = {
            "break_on_uncaught": "uncaught" in self.filters,
            "break_on_user_caught": "userUnhandled" in self.filters,
            "break_on_caught": "raised" in self.filters,
            "skip_on_exceptions_thrown_in_same_context": False,
            "ignore_exceptions_thrown_in_lines_with_ignore_exception": True,
            "ignore_libraries": True,
            "exception_types": ["BaseException"] if self.filters else [],
        }
        session.send(SET_EXCEPTIONS, json.dumps(settings))

    def finish_greeting(self, session: PydevdSession) -> None:
        session.send(IGNORE_EXCEPTION_AT, "REPLACE:")
        session.send(REMOVE_DJANGO_EXCEPTION_BREAKPOINT, "DjangoExceptionBreak")
        session.send(REMOVE_EXCEPTION_BREAKPOINT, "jinja2-Exception")
        session.send(DO_NOT_TRACE, "true")
        session.send(SHOW_RETURN_VALUES, "CMD_SHOW_RETURN_VALUES\t1")

    def frame_request(self, thread_and_frame: str) -> str:
        return f"{thread_and_frame}\tFRAME\t"

    def threads_to_resume(self, session: PydevdSession, stopped: str) -> list[str]:
        return [stopped]


class PyCharm(PydevdIde):
    """PyCharm with its own debugger, pydevd-pycharm."""

    DEFAULT_FILTERS = ("uncaught",)  # the breakpoint "Any Exception" with "On termination"
    STOP_SIGNAL = signal.SIGINT

    def command(self, module: bool) -> list[str]:
        flags = ["--multiprocess", "--qt-support=auto"]
        module_flag = ["--module"] if module else []
        pydevd = [sys.executable, self.pydevd_file()]
        return [*pydevd, *module_flag, *flags, *self.server(), "--file"]

    def environment(self, project: Path) -> dict[str, str]:
        return {
            "PYCHARM_HOSTED": "1",
            "PYTHONUNBUFFERED": "1",
            "IDE_PROJECT_ROOTS": str(project),
            "USE_LOW_IMPACT_MONITORING": "True",  # sys.monitoring, where Python has it
        }

    def greet(self, session: PydevdSession) -> None:
        session.ask(VERSION, "0.1\tUNIX")

    def breakpoint(self, file: Path, line: int) -> str:
        return f"python-line\t{file}\t{line}\tNone\tTHREAD\tNone\tNone"

    def set_exceptions(self, session: PydevdSession) -> None:
        session.send(REMOVE_EXCEPTION_BREAKPOINT, "python-BaseException")
        if self.filters:
            on_raise = 2 if "raised" in self.filters else 0  # 2: once, not in each frame
            on_termination = int("uncaught" in self.filters)
            payload = f"python-BaseException\tNone\tNone\t{on_raise}\t{on_termination}\t0"
            session.send(ADD_EXCEPTION_BREAKPOINT, payload)

    def finish_greeting(self, session: PydevdSession) -> None:
        session.send(SHOW_RETURN_VALUES, "CMD_SHOW_RETURN_VALUES\t0")

    def frame_request(self, thread_and_frame: str) -> str:
        return f"{thread_and_frame}\tFRAME\t0"

    def threads_to_resume(self, session: PydevdSession, stopped: str) -> list[str]:
        return list(session.threads)


class PydevdStop(Stop):
    def __init__(self, ide: PydevdIde, session: PydevdSession, thread: ET.Element) -> None:
        number = int(thread.attrib["stop_reason"])
        self.reason = STOP_REASONS.get(number, "step")
        self.session = session
        self._ide = ide
        self._thread = thread.attrib["id"]
        self._frames = list(thread)
        self._exception: ExceptionInfo | None = None
        self._break_mode = "unhandled" if number == ADD_EXCEPTION_BREAKPOINT else "always"

    @property
    def process_id(self) -> int:
        assert self.session.process_id
        return self.session.process_id

    def stack(self) -> list[Frame]:
        return [Frame(_unquoted(_, "file"), _line(_), _unquoted(_, "name")) for _ in self._frames]

    def variables(self, frame: int = 0) -> dict[str, str]:
        request = self._ide.frame_request(self._place(frame))
        found = ET.fromstring(self.session.ask(GET_FRAME, request))
        return {_unquoted(_, "name"): _value(_) for _ in found if "value" in _.attrib}

    def evaluate(self, expression: str, frame: int = 0) -> str:
        request = f"{self._place(frame)}\tFRAME\t{expression}\t1\t"
        result = _first_child(self.session.ask(EVALUATE, request))
        if "isErrorOnEval" in result.attrib:
            raise EvaluationError(_value(result))
        return _value(result)

    def _place(self, frame: int) -> str:
        return f"{self._thread}\t{self._frames[frame].attrib['id']}"

    def exception_info(self) -> ExceptionInfo:
        if self._exception is None:
            # Both debuggers put it into the frame; not every stop comes with a message of its own.
            try:
                name = self.evaluate("__exception__[0].__name__")
                message = self.evaluate("str(__exception__[1])")
            except EvaluationError:  # pydevd leaves it out when it stops at a "user unhandled" one
                name = message = "''"
            self._exception = ExceptionInfo(
                ast.literal_eval(name), ast.literal_eval(message), self._break_mode
            )
        return self._exception

    def resume(self) -> None:
        for thread in self._ide.threads_to_resume(self.session, self._thread):
            self.session.send(RESUME, thread)

    def step_over(self) -> Stop:
        return self._step(STEP_OVER)

    def step_in(self) -> Stop:
        return self._step(STEP_INTO)

    def step_out(self) -> Stop:
        return self._step(STEP_RETURN)

    def _step(self, command: int) -> Stop:
        self.session.send(command, self._thread)
        return self._ide.wait_for_stop()


# Values are percent-encoded within XML


def _first_child(payload: str) -> ET.Element:
    return ET.fromstring(payload)[0]


def _unquoted(element: ET.Element, name: str) -> str:
    return html.unescape(unquote(element.attrib[name]))


def _line(frame: ET.Element) -> int:
    """0 where the frame has ended: Python 3.15 keeps no line then."""
    line = frame.attrib["line"]
    return 0 if line == "None" else int(line)


def _value(variable: ET.Element) -> str:
    """As Python's repr: PyDev's has the type in front, and neither quotes a string."""
    kind = variable.attrib["type"]
    value = _unquoted(variable, "value").removeprefix(f"{kind}: ")
    return repr(value) if kind == "str" else value
