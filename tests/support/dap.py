"""An editor's side of the Debug Adapter Protocol, behaving as VS Code does.

    with Editor.attach(port, breakpoints={app: [12]}) as editor:
        response = in_background(http_get, url)
        stop = editor.wait_for_stop()
        assert stop.variables()["name"] == "'World'"
        stop.resume()
        assert response.result(TIMEOUT).status == 200

Specification: https://microsoft.github.io/debug-adapter-protocol/specification; VS Code's part
of it: src/vs/workbench/contrib/debug/browser/debugSession.ts.
"""

from __future__ import annotations

import contextlib
import json
import os
import socket
import subprocess
import sys
import threading
from collections.abc import Callable, Iterable
from concurrent.futures import Future
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Any, Literal, cast

from . import launch_json
from .ide import Breakpoints, EvaluationError, ExceptionInfo, Frame, Ide, Session, Stop
from .processes import TIMEOUT, Family, Program

Message = dict[str, Any]

Children = Literal["startDebugging", "debugpyAttach", "ignored"]
"""How the client learns of child processes: by the request (VS Code), by debugpy's own event
(a client that does not declare support for the request), or it never attaches to them."""

# As VS Code sends them; locale and name are the user's.
INITIALIZE: Message = {
    "clientID": "vscode",
    "clientName": "Visual Studio Code",
    "adapterID": "debugpy",
    "pathFormat": "path",
    "linesStartAt1": True,
    "columnsStartAt1": True,
    "supportsVariableType": True,
    "supportsVariablePaging": True,
    "supportsRunInTerminalRequest": True,
    "locale": "en",
    "supportsProgressReporting": True,
    "supportsInvalidatedEvent": True,
    "supportsMemoryReferences": True,
    "supportsArgsCanBeInterpretedByShell": True,
    "supportsMemoryEvent": True,
    "supportsStartDebuggingRequest": True,
    "supportsANSIStyling": True,
}


class RequestError(Exception):
    """The adapter answered a request with an error."""


@dataclass(frozen=True)
class Streams:
    reader: IO[bytes]
    writer: IO[bytes]
    hang_up: Callable[[], None]
    """Ends the connection without a word, as the end of the editor's process does."""


def _streams_over(connection: socket.socket) -> Streams:
    streams = Streams(
        connection.makefile("rb"),
        connection.makefile("wb"),
        lambda: connection.shutdown(socket.SHUT_RDWR),
    )
    connection.close()  # the streams keep it open
    return streams


class Connection:
    """Messages over one pair of streams: answers go to whoever asked, the rest to a handler."""

    def __init__(self, streams: Streams, handle: Callable[[Message], None]) -> None:
        self._streams, self._handle = streams, handle
        self._lock = threading.Lock()
        self._sequence = 0
        self._pending: dict[int, Future[Message]] | None = {}  # None: the connection has ended
        self._thread = threading.Thread(target=self._read, daemon=True)

    def start_reading(self) -> None:
        self._thread.start()

    def hang_up(self) -> None:
        with contextlib.suppress(OSError):
            self._streams.hang_up()

    def join(self) -> None:
        """Wait until the other side has hung up too."""
        if self._thread.is_alive():
            self._thread.join(TIMEOUT)

    def request(self, command: str, arguments: Message | None = None) -> Future[Message]:
        """Ask without waiting; the future fails with RequestError or ConnectionError."""
        answer: Future[Message] = Future()
        message = {"type": "request", "command": command, "arguments": arguments or {}}
        with self._lock:
            if self._pending is None:
                answer.set_exception(ConnectionError(f"{command}: the session has ended"))
            else:
                self._pending[self._sequence + 1] = answer
                self._send(message)
        return answer

    def respond(self, request: Message) -> None:
        answer = {"request_seq": request["seq"], "command": request["command"], "success": True}
        with self._lock:
            self._send({"type": "response", **answer})

    def _send(self, message: Message) -> None:
        self._sequence += 1
        content = json.dumps({"seq": self._sequence, **message}).encode()
        with contextlib.suppress(OSError, ValueError):  # ended: the reader notices it as well
            # In one piece: header and content as two small writes cost a delayed ACK.
            self._streams.writer.write(b"Content-Length: %d\r\n\r\n%s" % (len(content), content))
            self._streams.writer.flush()

    def _read(self) -> None:
        with contextlib.suppress(OSError, ValueError):  # reset, or closed by us
            while message := self._receive():
                self._dispatch(message)
        with self._lock:
            pending, self._pending = self._pending or {}, None
        for answer in pending.values():
            answer.set_exception(ConnectionError("the session has ended"))
        for stream in (self._streams.reader, self._streams.writer):
            with contextlib.suppress(OSError):  # what it could not send any more
                stream.close()
        self._handle({"type": "event", "event": "connectionClosed"})

    def _receive(self) -> Message | None:
        length = 0
        while line := self._streams.reader.readline().strip():
            length = int(line.removeprefix(b"Content-Length: "))
        content = self._streams.reader.read(length)
        return cast(Message, json.loads(content)) if content else None

    def _dispatch(self, message: Message) -> None:
        if message["type"] != "response":
            self._handle(message)
            return
        with self._lock:
            assert self._pending is not None
            answer = self._pending.pop(message["request_seq"])
        if message["success"]:
            answer.set_result(message.get("body") or {})
        else:
            answer.set_exception(RequestError(f"{message['command']}: {message.get('message')}"))


class DapSession(Session):
    def __init__(self, editor: Editor, configuration: Message, streams: Streams) -> None:
        self.configuration = configuration
        self.process_id = configuration.get("subProcessId")
        self.events: list[Message] = []
        """Events and reverse requests, as they came."""
        self.is_initialized = False
        self._said_goodbye = False
        self._editor = editor
        self._filters: list[str] = []
        self._connection = Connection(streams, self._handle)

    def __str__(self) -> str:
        return f"session {self.process_id or self.configuration['name']}"

    def request(self, command: str, **arguments: Any) -> Message:
        """Ask and wait for the answer. Raises RequestError, or ConnectionError if it has ended."""
        return self._connection.request(command, arguments).result(TIMEOUT)

    def start(self) -> None:
        """Do what VS Code does from opening the connection to the first line of the debuggee."""
        self._connection.start_reading()
        capabilities = self.request("initialize", **self._editor.capabilities())
        self._filters = [_["filter"] for _ in capabilities["exceptionBreakpointFilters"]]
        command = self.configuration["request"]
        started = self._connection.request(command, self.configuration)
        started.add_done_callback(lambda _: self._editor.note(f"{self}: {command} answered"))
        self._editor.wait_for(
            lambda: self.is_initialized or started.done() or self.has_ended, f"start of {self}"
        )
        if self.is_initialized:  # else it failed, or has gone before it could be attached
            self.arm()
            self.request("configurationDone")
            self._connection.request("threads")  # VS Code does not wait for what comes in between
        started.result(TIMEOUT)
        self.is_armed = self.is_initialized
        self._editor.note(f"{self}: armed")

    def arm(self) -> None:
        """Tell it all breakpoints, with all requests under way at once as VS Code has them."""
        answers = [
            self._connection.request("setBreakpoints", _source_breakpoints(file, lines))
            for file, lines in self._editor.breakpoints.items()
        ]
        answers.append(self._connection.request("setFunctionBreakpoints", {"breakpoints": []}))
        filters = [name for name in self._filters if name in self._editor.filters]
        answers.append(self._connection.request("setExceptionBreakpoints", {"filters": filters}))
        for answer in answers:
            answer.result(TIMEOUT)

    def pause(self) -> None:
        self.request("pause", threadId=self.request("threads")["threads"][0]["id"])

    def end(self, command: str, **arguments: Any) -> None:
        """Ask it to end, and wait until it has."""
        if command == "disconnect":
            self._disconnect(**arguments)
        else:
            self._connection.request(command, arguments)
        self._editor.wait_for(lambda: self.has_ended, f"end of {self}")

    def _disconnect(self, **arguments: Any) -> None:
        """Say goodbye, once, and hang up after the answer: debugpy's adapter does not survive a
        client that hangs up while a request of it is being handled."""
        if not self._said_goodbye:
            self._said_goodbye = True
            answer = self._connection.request("disconnect", {"restart": False, **arguments})
            answer.add_done_callback(lambda _: self._connection.hang_up())

    def close(self) -> None:
        if not self._said_goodbye:
            self._connection.hang_up()
        self._connection.join()

    # What comes in, on the thread that reads

    def _handle(self, message: Message) -> None:
        name = message.get("command") or message["event"]
        body = message.get("arguments") or message.get("body") or {}
        self._editor.note(f"{self}: {name} {json.dumps(body)[:300]}")
        self._react(name, body)
        if message["type"] == "request":
            self._connection.respond(message)
        with self._editor.changed:
            self.events.append(message)
            self._editor.changed.notify_all()

    def _react(self, name: str, body: Message) -> None:
        match name:
            case "initialized":
                self.is_initialized = True
            case "process":
                self.process_id = body.get("systemProcessId", self.process_id)
            case "stopped":
                self._editor.add_stop(DapStop(self._editor, self, body))
            case "terminated":
                self._disconnect()
            case "connectionClosed":
                self.has_ended = True
            case "runInTerminal":
                self._editor.run_in_terminal(body)
            case "startDebugging" if self._editor.children == "startDebugging":
                self._editor.start_child(body["configuration"])
            case "debugpyAttach" if self._editor.children == "debugpyAttach":
                self._editor.start_child(body)


class Editor(Ide[DapSession]):
    """An editor with one debugged program: a root session, and one for each child process."""

    DEFAULT_FILTERS = ("uncaught",)

    def __init__(
        self,
        *,
        breakpoints: Breakpoints | None = None,
        filters: Iterable[str] | None = None,
        children: Children = "startDebugging",
        workspace: Path | None = None,
        bundled: Path | None = None,
    ) -> None:
        """workspace: the folder that is open. bundled: a folder with the debugpy that the IDE
        brings along; None for the installed one."""
        super().__init__(breakpoints, filters)
        self.family = Family()
        """The adapter, the launched program and all their descendants."""
        self.children = children
        self._workspace = workspace or Path.cwd()
        self._bundled = bundled
        self._adapter: subprocess.Popen[bytes] | None = None

    @classmethod
    def attach(
        cls,
        port: int,
        host: str = "127.0.0.1",
        *,
        configuration: Message | None = None,
        **options: Any,
    ) -> Editor:
        """Attach to where debugpy listens, as "connect" in launch.json does.

        configuration: more members of it, {"pathMappings": [...]}.
        """
        editor = cls(**options)
        connect = {"connect": {"host": host, "port": port}}
        resolved = editor._resolved("attach", {**connect, **(configuration or {})})
        return editor._opened_by(editor._start_session, resolved)

    @classmethod
    def listen(
        cls,
        port: int = 0,
        *,
        configuration: Message | None = None,
        **options: Any,
    ) -> Editor:
        """Wait for a program that dials in with debugpy.connect, as "listen" in launch.json does.

        editor.port is where to; port 0 takes any that is free.
        """
        editor = cls(**options)
        listen = {"listen": {"host": "127.0.0.1", "port": port}}
        resolved = editor._resolved("attach", {**listen, **(configuration or {})})
        return editor._opened_by(editor._listen, resolved)

    @classmethod
    def launch(cls, configuration: Message, **options: Any) -> Editor:
        """Press F5: run what a configuration of launch.json says.

        Editor.launch({"module": "flask", "args": ["run"], "cwd": str(tmp_path)})
        """
        editor = cls(**options)
        return editor._opened_by(editor._launch, editor._resolved("launch", configuration))

    def _opened_by(self, start: Callable[[Message], None], configuration: Message) -> Editor:
        try:
            start(configuration)
        except BaseException:
            self.__exit__()
            raise
        return self

    def _launch(self, configuration: Message) -> None:
        self._start_adapter(configuration).start()

    def _listen(self, configuration: Message) -> None:
        self._in_background(self._start_adapter(configuration).start)
        self.port = self.wait_for_event("debugpyWaitingForServer")["port"]

    def _resolved(self, request: str, configuration: Message) -> Message:
        base = {"name": request, "type": "debugpy", "request": request}
        return launch_json.resolve({**base, **configuration}, self._workspace)

    # Sessions

    def _start_session(self, configuration: Message) -> None:
        self.awake.wait(TIMEOUT)
        connect = configuration["connect"]
        connection = socket.create_connection((connect["host"], connect["port"]), TIMEOUT)
        connection.settimeout(None)
        connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        streams = _streams_over(connection)
        self._add_session(configuration, streams).start()

    def _start_adapter(self, configuration: Message) -> DapSession:
        adapter_of = self._bundled and str(self._bundled / "debugpy" / "adapter")
        # As node has it: a socket for both, which the end of the editor's process ends.
        ours, theirs = socket.socketpair()
        self._adapter = subprocess.Popen(
            [sys.executable, *([adapter_of] if adapter_of else ["-m", "debugpy.adapter"])],
            stdin=theirs,
            stdout=theirs,
            env=self.family.environment(),
        )
        theirs.close()
        streams = _streams_over(ours)
        return self._add_session(configuration, streams)

    def _add_session(self, configuration: Message, streams: Streams) -> DapSession:
        session = DapSession(self, configuration, streams)
        with self.changed:
            self.sessions.append(session)
        return session

    def start_child(self, configuration: Message) -> Future[None]:
        """Attach to a child process that the adapter has announced, on a thread of its own."""
        resolved = self._resolved("attach", configuration)
        return self._in_background(self._start_session, resolved)

    def wait_for_event(self, name: str, timeout: float = TIMEOUT) -> Message:
        """The body of the first event or reverse request of that name, in whatever session."""

        def found() -> list[Message]:
            events = [event for session in self.sessions for event in session.events]
            return [event for event in events if name in (event.get("event"), event.get("command"))]

        self.wait_for(found, name, timeout)
        return found()[0].get("body") or found()[0].get("arguments") or {}

    def capabilities(self) -> Message:
        return {**INITIALIZE, "supportsStartDebuggingRequest": self.children != "debugpyAttach"}

    # What a person does

    def set_breakpoints(self, file: Path, lines: Iterable[int]) -> None:
        self.breakpoints[Path(file)] = list(lines)
        self._arm_all()

    def set_exception_filters(self, *filters: str) -> None:
        self.filters = filters
        self._arm_all()

    def _arm_all(self) -> None:
        for session in [_ for _ in self.sessions if _.is_initialized and not _.has_ended]:
            with contextlib.suppress(ConnectionError, RequestError):  # ended meanwhile
                session.arm()

    def pause(self) -> None:
        """The newest session is selected."""
        self.live_sessions[-1].pause()

    def disconnect(self, *, terminate: bool = False) -> None:
        """In the root session, which the others follow; in each of them where the IDE listens."""
        root, *children = self.sessions
        for session in children if "listen" in root.configuration else ():
            session.end("disconnect")
        if root.configuration["request"] == "launch" and terminate:
            root.end("terminate", restart=False)
        elif terminate:
            root.end("disconnect", terminateDebuggee=True)
        else:
            root.end("disconnect")
        self.wait_for_end()

    def vanish(self) -> None:
        """End without a word, as an editor does that is killed."""
        for session in self.sessions:
            session.close()

    # What the adapter asks for

    def run_in_terminal(self, arguments: Message) -> None:
        """Run a command as VS Code's integrated terminal does."""
        mine = {**os.environ, "TERM_PROGRAM": "vscode", "PYDEVD_DISABLE_FILE_VALIDATION": "1"}
        theirs = arguments.get("env") or {}
        self.program = Program(
            arguments["args"],
            cwd=arguments.get("cwd"),
            env={name: value for name, value in {**mine, **theirs}.items() if value is not None},
            terminal=True,
            family=self.family,
        )

    @property
    def output(self) -> str:
        """What the debuggees have printed into the debug console."""
        events = [event for session in self.sessions for event in list(session.events)]
        bodies = [event["body"] for event in events if event.get("event") == "output"]
        return "".join(_["output"] for _ in bodies if _.get("category") != "telemetry")

    def settle(self) -> None:
        for session in self.live_sessions:
            with contextlib.suppress(ConnectionError, RequestError):  # ended meanwhile
                session.request("threads")

    def __exit__(self, *_: object) -> None:
        self.vanish()
        self.family.kill()
        if self._adapter:
            self._adapter.wait(TIMEOUT)
        if self.program:
            self.program.kill()


class DapStop(Stop):
    def __init__(self, editor: Editor, session: DapSession, event: Message) -> None:
        self.reason = event["reason"]
        self.session = session
        self._editor = editor
        self._thread = event["threadId"]
        self._frames: list[Message] = []
        self._exception: ExceptionInfo | None = None

    @property
    def process_id(self) -> int:
        assert self.session.process_id
        return self.session.process_id

    def stack(self) -> list[Frame]:
        return [Frame(_["source"]["path"], _["line"], _["name"]) for _ in self._stack()]

    def _stack(self) -> list[Message]:
        if not self._frames:
            self._frames = self._request("stackTrace", startFrame=0, levels=1000)["stackFrames"]
        return self._frames

    def variables(self, frame: int = 0) -> dict[str, str]:
        scopes = self._request("scopes", frameId=self._stack()[frame]["id"])["scopes"]
        reference = scopes[0]["variablesReference"]  # Locals come first
        found = self._request("variables", variablesReference=reference)["variables"]
        # Those without a type are debugpy's groups, such as "special variables".
        return {_["name"]: _["value"] for _ in found if _["type"]}

    def evaluate(self, expression: str, frame: int = 0) -> str:
        frame_id = self._stack()[frame]["id"]
        try:
            answer = self._request(
                "evaluate", expression=expression, frameId=frame_id, context="watch"
            )
        except RequestError as error:
            raise EvaluationError(str(error)) from None
        return cast(str, answer["result"])

    def exception_info(self) -> ExceptionInfo:
        if self._exception is None:
            body = self._request("exceptionInfo")
            message = body.get("description", "")
            self._exception = ExceptionInfo(body["exceptionId"], message, body["breakMode"])
        return self._exception

    def resume(self) -> None:
        self._request("continue")

    def step_over(self) -> Stop:
        return self._step("next")

    def step_in(self) -> Stop:
        return self._step("stepIn")

    def step_out(self) -> Stop:
        return self._step("stepOut")

    def _step(self, command: str) -> Stop:
        self._request(command)
        return self._editor.wait_for_stop()

    def _request(self, command: str, **arguments: Any) -> Message:
        return self.session.request(command, threadId=self._thread, **arguments)


def _source_breakpoints(file: Path, lines: list[int]) -> Message:
    source = {"name": file.name, "path": str(file)}
    return {
        "source": source,
        "lines": lines,
        "breakpoints": [{"line": line} for line in lines],
        "sourceModified": False,
    }
