"""What a production command serves, and the command with the launcher in its place."""

from __future__ import annotations

import shlex

import pytest

from flask_debuglaunch.server_command import read_command

ENVIRONMENT = {"PORT": "9000"}


@pytest.mark.parametrize(
    ("command", "app", "port", "replaced"),
    [
        ("gunicorn shop:app", "shop:app", None, "python DIR"),
        ("gunicorn -b 0.0.0.0:8000 -w 2 --preload shop:app", "shop:app", 8000, "python DIR"),
        ("gunicorn -b0.0.0.0:8000 'shop:create_app(\"x\")'", 'shop:create_app("x")', 8000, "python DIR"),
        ("gunicorn --bind=:$PORT shop.web:app", "shop.web:app", 9000, "python DIR"),
        ("gunicorn --bind 0.0.0.0:${PORT:-80} shop:app", "shop:app", 9000, "python DIR"),
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
        ("sh -c 'gunicorn -b :$PORT shop:app'", "shop:app", 9000, "python DIR"),
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
    ],
)
def test_no_server(command: str) -> None:
    assert read_command(shlex.split(command), ENVIRONMENT) is None
