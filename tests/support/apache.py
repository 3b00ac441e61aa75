"""An Apache of a test's own, with mod_wsgi: Debian's, beside the system's service."""

from __future__ import annotations

import contextlib
import os
import shutil
from collections.abc import Iterator
from pathlib import Path

import click
import flask
import yaml

import flask_debuglaunch

from .processes import Program, free_port, wait_for_port
from .requirements import require

MODULES = Path("/usr/lib/apache2/modules")
# Debian's module has Debian's own Python, which takes what is pure Python from this one.
PACKAGES = dict.fromkeys(
    str(Path(one.__file__).parents[1]) for one in (flask_debuglaunch, flask, click, yaml)
)


@contextlib.contextmanager
def apache_with_mod_wsgi(file: Path) -> Iterator[tuple[Program, str]]:
    """It serves the `application` of the file. With its address; what the app says to the terminal
    is in its output."""
    server = shutil.which("apache2", path="/usr/sbin")
    module = MODULES / "mod_wsgi.so"
    found = server is not None and module.exists()
    require("mod_wsgi", missing=None if found else "there is no Apache with mod_wsgi")
    folder, port = file.parent, free_port()
    configuration = folder / "httpd.conf"
    configuration.write_text(f"""
        ServerRoot {folder}
        ServerName localhost
        Listen 127.0.0.1:{port}
        PidFile httpd.pid
        DefaultRuntimeDir {folder}
        ErrorLog /dev/stderr
        LoadModule mpm_event_module {MODULES}/mod_mpm_event.so
        LoadModule authz_core_module {MODULES}/mod_authz_core.so
        LoadModule wsgi_module {module}
        WSGIPythonPath {":".join(PACKAGES)}
        WSGIScriptAlias / {file}
        WSGIApplicationGroup %{{GLOBAL}}
        <Directory {folder}>
            Require all granted
        </Directory>
    """)
    # Root's Apache would become a user that can't read the folder: without its rights it does not.
    as_nobody = ["unshare", "--user"] if os.geteuid() == 0 else []
    argv = [*as_nobody, str(server), "-f", str(configuration), "-DFOREGROUND"]
    with Program(argv, cwd=folder) as program:
        program.wait_for_line("resuming normal operations")
        wait_for_port(port)
        yield program, f"http://127.0.0.1:{port}"
