"""Imported by the Python of debugpy's adapter process at its start, and by no other process.

It mends five things there; each is described where it is mended.
"""

import contextlib
import os
import socket
import sys
import threading
import time

LAST_WORDS_SECONDS = 1.0
"""How long the adapter may take to tell its IDE that we have ended."""

# The adapter passes each message on in two small writes. Without TCP_NODELAY the second one waits
# for the peer's delayed acknowledgement of the first: about 40 ms for each request of the IDE.

_socket_init = socket.socket.__init__


def _init_without_delay(self, *args, **kwargs):  # type: ignore[no-untyped-def]
    _socket_init(self, *args, **kwargs)
    with contextlib.suppress(OSError):  # not a TCP socket
        self.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)


# An accepted connection is made by this constructor as well.
socket.socket.__init__ = _init_without_delay  # type: ignore[method-assign]

# A client that connects and leaves at once (a port scanner) ends the thread that accepts clients:
# the port stays, and no IDE is answered any more (debugpy.common.sockets.serve, 1.8.22).

_thread_start = threading.Thread.start


def _start_enduring(thread):  # type: ignore[no-untyped-def]
    if getattr(thread._target, "__name__", "") == "accept_worker":
        # Before a client is there; debugpy's own modules have been imported by now.
        _leave_with_all_sessions()  # type: ignore[no-untyped-call]
        _name_workers()  # type: ignore[no-untyped-call]
        thread._target = _accept_until_it_returns(thread._target)  # type: ignore[no-untyped-call]
    _thread_start(thread)


def _accept_until_it_returns(accept_clients):  # type: ignore[no-untyped-def]
    def accept_worker():  # type: ignore[no-untyped-def]
        while True:
            try:
                return accept_clients()
            except Exception:
                continue

    return accept_worker


threading.Thread.start = _start_enduring  # type: ignore[method-assign]

# The IDE has a session for the launcher and one for each process of the app. Its Disconnect button
# ends the session that is selected, and would have to be pressed for each of them.


def _leave_with_all_sessions():  # type: ignore[no-untyped-def]
    adapter_sessions = sys.modules["debugpy.adapter.sessions"]
    finalize = adapter_sessions.Session.finalize
    if hasattr(finalize, "is_ours"):
        return

    def finalize_all(session, why, terminate_debuggee=None):  # type: ignore[no-untyped-def]
        # A process that has ended by itself is finalizing before its client says goodbye.
        is_asked_for = why == 'client requested "disconnect"' and not session.is_finalizing
        was_debugging = is_asked_for and session.server and session.server.is_connected
        finalize(session, why, terminate_debuggee)
        if was_debugging:
            for other_session in list(adapter_sessions._sessions):
                finalize(other_session, why, terminate_debuggee)

    vars(finalize_all)["is_ours"] = True
    adapter_sessions.Session.finalize = finalize_all


# Each process of the app is "Subprocess 4711" in the IDE's list, and so is each one that it starts.


def _name_workers():  # type: ignore[no-untyped-def]
    message_channel = sys.modules["debugpy.common.messaging"].JsonMessageChannel
    request, send_event = message_channel.request, message_channel.send_event
    if hasattr(request, "is_ours"):
        return

    def named_request(channel, command, arguments=None, **kwargs):  # type: ignore[no-untyped-def]
        if command == "startDebugging":
            _name_worker(channel, arguments["configuration"])  # type: ignore[no-untyped-call]
        return request(channel, command, arguments, **kwargs)

    def named_event(channel, event, body=None):  # type: ignore[no-untyped-def]
        if event == "debugpyAttach":
            _name_worker(channel, body)  # type: ignore[no-untyped-call]
        return send_event(channel, event, body)

    vars(named_request)["is_ours"] = True
    message_channel.request, message_channel.send_event = named_request, named_event


def _name_worker(channel, configuration):  # type: ignore[no-untyped-def]
    ides = [session.client for session in list(sys.modules["debugpy.adapter.sessions"]._sessions)]
    parent_ide = next(ide for ide in ides if ide and ide.channel is channel)
    # The IDE attaches to the launcher as such, to every other process by its number.
    if "subProcessId" not in parent_ide.start_request.arguments:
        configuration["name"] = f"Worker {configuration['subProcessId']}"


# The adapter waits for every client to say goodbye before it ends, however long that takes; the
# launcher that it was started by has ended meanwhile (AdapterLifeline of debugpy_debugger.py).


def _end_with_the_launcher():  # type: ignore[no-untyped-def]
    port, _, token = os.environ["FLASK_DEBUGLAUNCH_LIFELINE"].partition(":")
    try:
        lifeline = socket.create_connection(("127.0.0.1", int(port)))
        lifeline.sendall(token.encode())
    except OSError:  # it has ended already
        os._exit(0)
    threading.Thread(target=_wait_for_the_end, args=(lifeline,), daemon=True).start()


def _wait_for_the_end(lifeline):  # type: ignore[no-untyped-def]
    with contextlib.suppress(OSError):
        while lifeline.recv(1):
            pass
    time.sleep(LAST_WORDS_SECONDS)
    endpoint_file = os.environ.get("DEBUGPY_ADAPTER_ENDPOINTS")
    if endpoint_file:  # as it does by itself at an orderly end
        with contextlib.suppress(OSError):
            os.remove(endpoint_file)
    os._exit(0)


if hasattr(os, "fork"):  # it forks once, to become a daemon
    os.register_at_fork(after_in_child=_end_with_the_launcher)
else:
    _end_with_the_launcher()  # type: ignore[no-untyped-call]
