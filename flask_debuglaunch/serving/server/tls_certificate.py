"""The certificate of HTTPS, by Flask's --cert and --key."""

from __future__ import annotations

import importlib
import os
import ssl
import tempfile
from contextlib import ExitStack
from pathlib import Path

from flask_debuglaunch.configuration.value_origins import Origin
from flask_debuglaunch.errors import LaunchError
from flask_debuglaunch.plan import Plan
from flask_debuglaunch.terminal_messages import shown_path

CertificateFiles = tuple[Path, Path | None]


def certificate_of(plan: Plan, cleanup: ExitStack) -> CertificateFiles | None:
    """The files to serve HTTPS with; None for plain HTTP and for an app's own SSLContext.

    An ad-hoc certificate is made once, so that the browser need not be told to trust a new one
    after each reload; its files are gone with ``cleanup``. Raises LaunchError where cert and key
    don't fit, before the app is loaded.
    """
    cert, key = plan.settings.cert, plan.settings.key
    if key.value is not None:
        _check_key(key.origin, key.value, cert.value)
    if cert.value is None:
        return None
    if cert.value == "adhoc":
        return _adhoc(plan, cleanup)
    if not os.path.isfile(cert.value):
        return None
    files = (Path(cert.value), key.value)
    _context(files, f"{cert.origin}")
    return files


def ssl_context_of(plan: Plan, files: CertificateFiles | None) -> ssl.SSLContext | None:
    """The context to serve with; imports it where CERT names one in the app's own code."""
    cert = plan.settings.cert
    if files is not None:
        return _context(files, str(cert.origin))
    return _imported(cert.value, str(cert.origin)) if cert.value else None


def _check_key(origin: Origin, key: Path, cert: str | None) -> None:
    if cert is None:
        raise LaunchError(f"{origin}: KEY goes with a certificate file: give CERT (--cert) too")
    if not os.path.isfile(cert):
        raise LaunchError(f"{origin}: CERT {cert} has a key of its own. Remove KEY (--key)")
    if not os.path.isfile(key):
        raise LaunchError(f"{origin}: no such file: {key}. Name the certificate's key file")


def _context(files: CertificateFiles, origin: str) -> ssl.SSLContext:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    try:
        context.load_cert_chain(*files)
    except OSError as error:  # an SSLError too
        names = " and ".join(shown_path(file) for file in files if file)
        raise LaunchError(
            f"{origin}: no certificate with its key in {names}: {error.strerror or error}."
            f" {_why_no_pair(files, error)}"
        ) from None
    return context


def _why_no_pair(files: CertificateFiles, error: OSError) -> str:
    """What is to be done; OpenSSL's own words are few."""
    cert, key = files
    if getattr(error, "reason", None) == "KEY_VALUES_MISMATCH":
        return "Name the key that the certificate was made with"
    if not isinstance(error, ssl.SSLError):
        return "Make the files readable"
    if b"-----BEGIN CERTIFICATE-----" not in cert.read_bytes():
        return f"{shown_path(cert)} holds no certificate: name a PEM file that does, with --cert"
    if key is None:
        return "Name the file of its private key, in PEM, with --key"
    return f"{shown_path(key)} holds no private key that can be read: name a PEM file that does"


def _adhoc(plan: Plan, cleanup: ExitStack) -> CertificateFiles:
    try:
        from cryptography.hazmat.primitives.serialization import (
            Encoding,
            NoEncryption,
            PrivateFormat,
        )
        from werkzeug.serving import generate_adhoc_ssl_pair
    except ImportError:
        raise LaunchError(
            f'{plan.settings.cert.origin}: CERT "adhoc" needs the package cryptography:'
            " pip install cryptography"
        ) from None
    cert, key = generate_adhoc_ssl_pair(plan.host.value)
    folder = Path(cleanup.enter_context(tempfile.TemporaryDirectory(prefix="debuglaunch-")))
    files = (folder / "cert.pem", folder / "key.pem")
    files[0].write_bytes(cert.public_bytes(Encoding.PEM))
    files[1].write_bytes(
        key.private_bytes(Encoding.PEM, PrivateFormat.TraditionalOpenSSL, NoEncryption())
    )
    return files


def _imported(name: str, origin: str) -> ssl.SSLContext:
    module, _, attribute = name.rpartition(":") if ":" in name else name.rpartition(".")
    try:
        context = getattr(importlib.import_module(module), attribute)
    except (ImportError, AttributeError, ValueError):
        context = None
    if not isinstance(context, ssl.SSLContext):
        raise LaunchError(
            f"{origin}: CERT {name} is no file, nor an ssl.SSLContext to import. Name a certificate"
            ' file, or "adhoc" for a certificate made on the spot'
        )
    return context
