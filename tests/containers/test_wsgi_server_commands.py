"""What a production command serves, and the command with the launcher in its place."""

from __future__ import annotations

import shlex

import pytest

from flask_debuglaunch.wsgi_server_commands import read_command

ENVIRONMENT = {"INNER": "9000"}
FILES = {
    "./boot.sh": """\
#!/bin/sh
# what the tutorials have
flask db upgrade
exec gunicorn -b :5000 \\
    --access-logfile - shop:app

# that was it
""",
    "start": "#!/usr/bin/env bash\nflask --app shop run --port 80\n",
    "branches.sh": "#!/bin/sh\nif true; then\n  gunicorn shop:app\nfi\n",
    "entrypoint.sh": '#!/bin/sh\nflask db upgrade\nexec "$@"\n',
    "gunicorn.conf.py": 'import os\nbind = "0.0.0.0:81"\nwsgi_app = "shop.wsgi:app"\nworkers = os.cpu_count()\n',
    "conf.py": 'bind = "0.0.0.0:82"\nchdir = "src"\n',
    "uwsgi.ini": "[uwsgi]\nmodule = shop\ncallable = app\nhttp = :83\nmaster\nchdir = %d\n",
}


@pytest.mark.parametrize(
    ("command", "app", "port", "replaced"),
    [
        ("gunicorn shop:app", "shop:app", None, "python DIR"),
        ("gunicorn -b 0.0.0.0:8000 -w 2 --preload shop:app", "shop:app", 8000, "python DIR"),
        ("gunicorn -b0.0.0.0:8000 'shop:create_app(\"x\")'", 'shop:create_app("x")', 8000, "python DIR"),
        ("gunicorn --bind=:$INNER shop.web:app", "shop.web:app", 9000, "python DIR"),
        ("gunicorn --bind 0.0.0.0:${INNER:-80} shop:app", "shop:app", 9000, "python DIR"),
        ("gunicorn -k gevent -t 30 shop:app --reload", "shop:app", None, "python DIR"),
        ("/venv/bin/gunicorn shop:app", "shop:app", None, "/venv/bin/python DIR"),
        ("python3 -m gunicorn shop:app", "shop:app", None, "python3 DIR"),
        ("poetry run gunicorn shop:app", "shop:app", None, "poetry run python DIR"),
        ("uv run flask --app shop run -p 80", "shop", 80, "uv run python DIR"),
        ("dumb-init -- gunicorn shop:app", "shop:app", None, "dumb-init -- python DIR"),
        ("./wait.sh gunicorn shop:app", "shop:app", None, "./wait.sh python DIR"),
        ("env A=b gunicorn shop:app", "shop:app", None, "env A=b python DIR"),
        ("flask run --host 0.0.0.0 --port=5001 --debug", None, 5001, "python DIR"),
        ("flask --app shop:create --debug run", "shop:create", None, "python DIR"),
        ("python -m flask run", None, None, "python DIR"),
        ("python -m debugpy --listen 0.0.0.0:5678 --wait-for-client -m flask run", None, None, "python DIR"),
        ("python -Xfrozen_modules=off -m debugpy --listen 5678 app.py", "app.py", None, "python DIR"),
        ("python app.py", "app.py", None, "python DIR"),
        ("python -u src/app.py --verbose", "src/app.py", None, "python DIR"),
        ("python -m shop", "shop", None, "python DIR"),
        ("waitress-serve --listen=*:8080 shop:app", "shop:app", 8080, "python DIR"),
        ("waitress-serve --port 80 --call shop:create_app", "shop:create_app", 80, "python DIR"),
        ("uwsgi --http :8000 --master -w shop:app", "shop:app", 8000, "python DIR"),
        ("uwsgi --http-socket 0.0.0.0:80 --wsgi-file app.py --callable api", "app.py:api", 80, "python DIR"),
        ("uv run --no-sync gunicorn shop:app", "shop:app", None, "uv run --no-sync python DIR"),
        ("uv run --frozen src/app.py", "src/app.py", None, "uv run --frozen python DIR"),
        ("uv run -m flask --app shop run", "shop", None, "uv run python DIR"),
        ("tini -g -- gunicorn shop:app", "shop:app", None, "tini -g -- python DIR"),
        ("conda run -n python flask --app shop run", "shop", None, "conda run -n python python DIR"),
        ("gosu flask flask --app shop run", "shop", None, "gosu flask python DIR"),
        ("ddtrace-run gunicorn shop:app --name flask", "shop:app", None, "ddtrace-run python DIR"),
        ("watchmedo auto-restart -d . -- python app.py", "app.py", None, "python DIR"),
        ("env GUNICORN=1 uwsgi --wsgi shop:app --http :80", "shop:app", 80, "env GUNICORN=1 python DIR"),
        ("sh -c 'gunicorn -b :$INNER shop:app'", "shop:app", 9000, "python DIR"),
        ("sh -c 'exec gunicorn shop:app'", "shop:app", None, "python DIR"),
        ("sh -c 'flask db upgrade && gunicorn shop:app'", "shop:app", None, "sh -c 'flask db upgrade && exec python DIR'"),
        ("bash -lc 'cd src; poetry run gunicorn shop:app'", "shop:app", None, "bash -lc 'cd src; exec poetry run python DIR'"),
    ],
)  # fmt: skip
def test_servers(command: str, app: str | None, port: int | None, replaced: str) -> None:
    served = read_command(shlex.split(command), ENVIRONMENT)
    assert served is not None
    assert (served.app, served.port) == (app, port)
    assert served.replaced_by(["DIR"]) == shlex.split(replaced)


@pytest.mark.parametrize(
    ("command", "app", "port", "replaced"),
    [
        ("./boot.sh", "shop:app", 5000, ["/bin/sh", "-c", "# what the tutorials have\nflask db upgrade\n exec python DIR", "./boot.sh"]),
        ("bash start", "shop", 80, ["python", "DIR"]),
        ("entrypoint.sh gunicorn", "shop.wsgi:app", 81, ["entrypoint.sh", "python", "DIR"]),
        ("gunicorn -b :80", "shop.wsgi:app", 80, ["python", "DIR"]),
        ("gunicorn --config=file:conf.py shop:app", "src", 82, ["python", "DIR"]),
        ("uwsgi --ini uwsgi.ini", "shop:app", 83, ["python", "DIR"]),
        ("uwsgi uwsgi.ini --http :84", "shop:app", 84, ["python", "DIR"]),
    ],
)  # fmt: skip
def test_what_files_say(command: str, app: str, port: int, replaced: list[str]) -> None:
    served = read_command(shlex.split(command), {}, FILES.get)
    assert served is not None
    assert app in (served.app, served.folder)
    assert (served.port, served.replaced_by(["DIR"])) == (port, replaced)


def test_what_variables_say() -> None:
    arguments = {"GUNICORN_CMD_ARGS": "--bind=:80 --chdir src -w 3"}
    served = read_command(["gunicorn", "shop:app"], arguments)
    assert served is not None
    assert (served.app, served.port, served.folder) == ("shop:app", 80, "src")
    for variables in (
        {"PORT": "81"},
        {"PORT": "81", "UWSGI_HTTP": ":81", "UWSGI_MODULE": "shop:app"},
    ):
        served = read_command(
            ["uwsgi" if len(variables) > 1 else "gunicorn", "shop:app"], variables
        )
        assert served is not None
        assert (served.app, served.port) == ("shop:app", 81)


@pytest.mark.parametrize("command", ["branches.sh", "entrypoint.sh", "./boot.sh web", "bash"])
def test_scripts_that_nobody_can_follow(command: str) -> None:
    assert read_command(shlex.split(command), {}, FILES.get) is None


@pytest.mark.parametrize(
    "command",
    [
        "",
        "redis-server",
        "celery -A shop worker",
        "flask db upgrade",
        "python manage.py runserver",
        "python -c 'print(1)'",
        "sh -c 'gunicorn shop:app | tee log'",
        "sh -c 'echo \"'",
        "npm start",
        "/entrypoint.sh",
        "celery -A flask worker",
        "coverage run -m flask run",
        "python manage.py gunicorn shop:app",
    ],
)
def test_no_server(command: str) -> None:
    assert read_command(shlex.split(command), ENVIRONMENT) is None
