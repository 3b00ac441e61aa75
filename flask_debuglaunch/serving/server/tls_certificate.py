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


def certificate_files_of(plan: Plan, cleanup: ExitStack) -> CertificateFiles | None:
    """The files to serve HTTPS with; None for plain HTTP and for an app's own SSLContext.

    An ad-hoc certificate is made once, so that the browser need not be told to trust a new one
    after each reload; its files are gone with ``cleanup``. Raises LaunchError where cert and key
    don't fit, before the app is loaded.
    """
    cert, key = plan.settings.cert, plan.settings.key
    if key.value is not None:
        _refuse_key_without_certificate(key.origin, key.value, cert.value)
    if cert.value is None:
        return None
    if cert.value == "adhoc":
        return _make_adhoc_certificate(plan, cleanup)
    if not os.path.isfile(cert.value):
        return None
    certificate_files = (Path(cert.value), key.value)
    _load_certificate(certificate_files, f"{cert.origin}")
    return certificate_files


def ssl_context_of(plan: Plan, certificate_files: CertificateFiles | None) -> ssl.SSLContext | None:
    """The context to serve with; imports it where CERT names one in the app's own code."""
    cert = plan.settings.cert
    if certificate_files is not None:
        return _load_certificate(certificate_files, str(cert.origin))
    return _import_ssl_context(cert.value, str(cert.origin)) if cert.value else None


def _refuse_key_without_certificate(origin: Origin, key: Path, cert: str | None) -> None:
    if cert is None:
        raise LaunchError(f"{origin}: KEY goes with a certificate file: give CERT (--cert) too")
    if not os.path.isfile(cert):
        raise LaunchError(f"{origin}: CERT {cert} has a key of its own. Remove KEY (--key)")
    if not os.path.isfile(key):
        raise LaunchError(f"{origin}: no such file: {key}. Name the certificate's key file")


def _load_certificate(certificate_files: CertificateFiles, origin: str) -> ssl.SSLContext:
    ssl_context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    try:
        ssl_context.load_cert_chain(*certificate_files)
    except OSError as error:  # an SSLError too
        file_names = " and ".join(shown_path(file) for file in certificate_files if file)
        raise LaunchError(
            f"{origin}: no certificate with its key in {file_names}: {error.strerror or error}."
            f" {_how_to_mend_pair(certificate_files, error)}"
        ) from None
    return ssl_context


def _how_to_mend_pair(certificate_files: CertificateFiles, error: OSError) -> str:
    """What is to be done; OpenSSL's own words are few."""
    cert, key = certificate_files
    if getattr(error, "reason", None) == "KEY_VALUES_MISMATCH":
        return "Name the key that the certificate was made with"
    if not isinstance(error, ssl.SSLError):
        return "Make the files readable"
    if b"-----BEGIN CERTIFICATE-----" not in cert.read_bytes():
        return f"{shown_path(cert)} holds no certificate: name a PEM file that does, with --cert"
    if key is None:
        return "Name the file of its private key, in PEM, with --key"
    return f"{shown_path(key)} holds no private key that can be read: name a PEM file that does"


def _make_adhoc_certificate(plan: Plan, cleanup: ExitStack) -> CertificateFiles:
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
    certificate_files = (folder / "cert.pem", folder / "key.pem")
    certificate_files[0].write_bytes(cert.public_bytes(Encoding.PEM))
    certificate_files[1].write_bytes(
        key.private_bytes(Encoding.PEM, PrivateFormat.TraditionalOpenSSL, NoEncryption())
    )
    return certificate_files


def _import_ssl_context(import_name: str, origin: str) -> ssl.SSLContext:
    module, _, attribute = import_name.rpartition(":" if ":" in import_name else ".")
    try:
        ssl_context = getattr(importlib.import_module(module), attribute)
    except (ImportError, AttributeError, ValueError):
        ssl_context = None
    if not isinstance(ssl_context, ssl.SSLContext):
        raise LaunchError(
            f"{origin}: CERT {import_name} is no file, nor an ssl.SSLContext to import. Name a"
            ' certificate file, or "adhoc" for a certificate made on the spot'
        )
    return ssl_context
