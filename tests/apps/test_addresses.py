"""Where it is served: addresses, ports, HTTPS, and the ready line's URL of each."""

from __future__ import annotations

import os
import socket
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from flask_debuglaunch.errors import another_port

from ..support.processes import Program, free_port, http_get
from .project import LAUNCHER, RELOAD, ended, saying, served, without_rights, write


@pytest.fixture
def project(tmp_path: Path) -> Path:
    return write(tmp_path, {"main.py": saying("served")})


def has_ipv6() -> bool:
    try:
        with socket.socket(socket.AF_INET6) as probe:
            probe.bind(("::1", 0))
    except OSError:
        return False
    return True


needs_ipv6 = pytest.mark.skipif(not has_ipv6(), reason="there is no IPv6 on this machine")


@pytest.mark.parametrize(
    ("host", "shown"),
    [
        ("127.0.0.1", "127.0.0.1"),
        ("localhost", "127.0.0.1"),
        ("0.0.0.0", "127.0.0.1"),
        pytest.param("::1", "[::1]", marks=needs_ipv6),
        pytest.param("[::1]", "[::1]", marks=needs_ipv6),
        pytest.param("::", "[::1]", marks=needs_ipv6),
    ],
)
def test_the_ready_lines_url_works(project: Path, host: str, shown: str) -> None:
    with served(project, "--host", host) as launched:
        assert launched.url.startswith(f"http://{shown}:")
        assert launched.text() == "served"
        port = int(launched.url.rpartition(":")[2])
        assert port != 0
        if shown == "127.0.0.1":
            assert http_get(f"http://localhost:{port}/").text == "served"
        warned = [line for line in launched.program.lines if "other machines can reach" in line]
    assert len(warned) == (1 if host in ("0.0.0.0", "::") else 0)


@needs_ipv6
def test_ipv6_with_reload(project: Path) -> None:
    with served(project, *RELOAD, "--host", "::1") as launched:
        assert launched.url.startswith("http://[::1]:")
        assert launched.text() == "served"


def test_the_port_that_was_asked_for(project: Path) -> None:
    port = free_port()
    with Program([*LAUNCHER, "--port", str(port)], cwd=project) as program:
        program.wait_for_line(f"Running on http://127.0.0.1:{port}$")
        assert http_get(f"http://127.0.0.1:{port}/").text == "served"


@pytest.mark.parametrize(
    ("host", "message"),
    [
        ("203.0.113.1", "HOST 203.0.113.1 can't be served on: Cannot assign requested address."),
        ("no.such.host.invalid", "HOST no.such.host.invalid is not known: "),
    ],
)
def test_a_host_that_is_not_ours(project: Path, host: str, message: str) -> None:
    refused = ended(project, "--host", host)
    assert refused.status == 1
    last = refused.output.splitlines()[-1]
    assert last.startswith(f"Error: argv:--host: {message}")
    assert last.endswith(". Give an address of this machine, such as 127.0.0.1, with --host")


@pytest.mark.parametrize("host", ["http://localhost", "a b", "host/path", "user@host"])
def test_what_is_no_host(project: Path, host: str) -> None:
    refused = ended(project, "--host", host)
    assert refused.status == 2
    wanted = "a host name or an IP address, without a port"
    assert refused.message == f"argv:--host: must be {wanted}, not {host!r}"


# A port that can't be had


@pytest.fixture
def busy_port() -> Iterator[int]:
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        listener.listen()
        yield listener.getsockname()[1]


def test_a_busy_port_is_told_of_before_the_app_is_imported(
    tmp_path: Path, mode: tuple[str, ...], busy_port: int
) -> None:
    write(tmp_path, {"main.py": "raise SystemExit('imported')\n"})
    refused = ended(tmp_path, *mode, "--port", str(busy_port))
    assert refused.status == 1
    name = Path(f"/proc/{os.getpid()}/comm").read_text().strip()
    assert refused.message == (
        f"argv:--port: port {busy_port} is in use by {name} (process {os.getpid()})."
        f" End that, or choose another with {another_port('--port', busy_port)}"
    )


def test_a_busy_port_of_the_configuration(project: Path, busy_port: int) -> None:
    write(project, {"config.yaml": f"DEBUGLAUNCH:\n  PORT: {busy_port}\n"})
    with Program(LAUNCHER, cwd=project) as program:
        assert program.wait_exit() == 1
    assert f"Error: config.yaml:2: port {busy_port} is in use by" in program.output


def test_a_busy_port_of_a_program_that_starts_itself(project: Path, busy_port: int) -> None:
    start = f"import flask_debuglaunch, main\nflask_debuglaunch.run(main.app, port={busy_port})\n"
    write(project, {"start.py": start})
    with Program([sys.executable, "start.py"], cwd=project) as program:
        assert program.wait_exit() == 1
    assert f"Error: call:port: port {busy_port} is in use by" in program.output


def test_a_port_below_1024(project: Path) -> None:
    refused = ended(project, "--port", "80", command=without_rights("net_bind_service"))
    assert refused.status == 1
    assert refused.message == (
        "argv:--port: port 80 is not for this user. Choose one above 1023 with --port"
    )


@pytest.mark.parametrize("required", [False, True], ids=["not required", "required"])
def test_a_busy_debug_port(
    project: Path, mode: tuple[str, ...], busy_port: int, required: bool
) -> None:
    pytest.importorskip("debugpy")
    flags = [*mode, "--debug-with", "debugpy", "--debug-port", str(busy_port)]
    said = f"debugpy can't listen on 127.0.0.1:{busy_port}"
    if required:
        refused = ended(project, *flags, "--debug-connection", "listen")
        assert refused.status == 2
        assert said in refused.message
        assert "set DEBUG_PORT to a free port" in refused.message
        return
    with served(project, *flags) as launched:
        assert launched.text() == "served"
        assert said in launched.program.output
        assert "The app is served without it" in launched.program.output


def test_the_port_is_bound_before_the_app_is_imported(
    tmp_path: Path, mode: tuple[str, ...]
) -> None:
    """A browser that comes early waits instead of being refused."""
    port = free_port()
    connects = f"""
import socket
early = socket.create_connection(("127.0.0.1", {port}), timeout=5)
early.sendall(b"GET / HTTP/1.0\\r\\n\\r\\n")

@app.get("/early")
def answer():
    return early.makefile("rb").read()
"""
    write(tmp_path, {"main.py": saying("served") + connects})
    with Program([*LAUNCHER, *mode, "--port", str(port)], cwd=tmp_path) as program:
        program.wait_for_line("Running on")
        assert http_get(f"http://127.0.0.1:{port}/early").text.endswith("\r\n\r\nserved")


# HTTPS


@pytest.fixture(scope="module")
def certificates(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """cert.pem with key.pem, both.pem of the two, and the key of another certificate."""
    pytest.importorskip("cryptography")
    from werkzeug.serving import make_ssl_devcert

    folder = tmp_path_factory.mktemp("certificates")
    make_ssl_devcert(str(folder / "one"), cn="localhost")
    make_ssl_devcert(str(folder / "other"), cn="localhost")
    cert, key = (folder / "one.crt").read_text(), (folder / "one.key").read_text()
    other = (folder / "other.key").read_text()
    return write(
        folder, {"cert.pem": cert, "key.pem": key, "both.pem": cert + key, "other.pem": other}
    )


@pytest.mark.parametrize("cert", ["adhoc", "cert.pem", "both.pem", "main.context"])
def test_https(tmp_path: Path, mode: tuple[str, ...], certificates: Path, cert: str) -> None:
    own_context = (
        "import ssl\ncontext = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)\n"
        f"context.load_cert_chain({str(certificates / 'both.pem')!r})\n"
    )
    write(tmp_path, {"main.py": saying("served") + own_context})
    named = str(certificates / cert) if cert.endswith(".pem") else cert
    key = ["--key", str(certificates / "key.pem")] if cert == "cert.pem" else []
    with served(tmp_path, *mode, "--cert", named, *key) as launched:
        assert launched.url.startswith("https://127.0.0.1:")
        assert launched.text() == "served"


def test_https_of_the_yaml_is_relative_to_it(certificates: Path, tmp_path: Path) -> None:
    write(certificates, {"tls.yaml": "DEBUGLAUNCH: {CERT: cert.pem, KEY: key.pem, APP: main}\n"})
    write(certificates, {"main.py": saying("served")})
    with served(tmp_path, "--config", certificates / "tls.yaml", "--host", "localhost") as launched:
        assert launched.url.startswith("https://")
        assert launched.text() == "served"


@pytest.mark.parametrize(
    ("flags", "message"),
    [
        (
            ["--cert", "cert.pem"],
            "argv:--cert: no certificate with its key in cert.pem: ... Name the file of its private key, in PEM, with --key",
        ),
        (
            ["--cert", "main.py"],
            "argv:--cert: no certificate with its key in main.py: ... main.py holds no certificate: name a PEM file that does, with --cert",
        ),
        (
            ["--cert", "cert.pem", "--key", "main.py"],
            "argv:--cert: no certificate with its key in cert.pem and main.py: ... main.py holds no private key that can be read: name a PEM file that does",
        ),
        (
            ["--cert", "cert.pem", "--key", "other.pem"],
            "argv:--cert: no certificate with its key in cert.pem and other.pem: ... Name the key that the certificate was made with",
        ),
        (
            ["--cert", "cert.pem", "--key", "nosuch.pem"],
            "argv:--key: no such file: {folder}/nosuch.pem. Name the certificate's key file",
        ),
        (["--key", "key.pem"], "argv:--key: KEY goes with a certificate file: give CERT (--cert) too"),
        (["--cert", "adhoc", "--key", "key.pem"], "argv:--key: CERT adhoc has a key of its own. Remove KEY (--key)"),
        (
            ["--cert", "nosuch.pem"],
            "argv:--cert: CERT nosuch.pem is no file, nor an ssl.SSLContext to import. Name a certificate file, or \"adhoc\" for a certificate made on the spot",
        ),
    ],
)  # fmt: skip
def test_certificates_that_do_not_fit(certificates: Path, flags: list[str], message: str) -> None:
    write(certificates, {"main.py": saying("never")})
    refused = ended(certificates, *flags)
    assert refused.status == 2
    start, _, end = message.format(folder=certificates).partition("...")
    assert refused.message.startswith(start)
    assert refused.message.endswith(end)


def test_an_adhoc_certificate_without_its_package(project: Path) -> None:
    write(project, {"cryptography.py": "raise ImportError('hidden')\n"})
    refused = ended(project, "--cert", "adhoc")
    assert refused.status == 2
    assert refused.message == (
        'argv:--cert: CERT "adhoc" needs the package cryptography: pip install cryptography'
    )
