"""compose.debug.yaml for many kinds of services, as the engine merges it; and bad input."""

from __future__ import annotations

import subprocess
import textwrap
from pathlib import Path
from typing import Any

import pytest
import yaml

from flask_debuglaunch.atomic_file_changes import read_text
from flask_debuglaunch.configuration.settings import Settings
from flask_debuglaunch.errors import LaunchError
from flask_debuglaunch.ides.containers.compose_debug_file import debug_file
from flask_debuglaunch.ides.containers.compose_services import ComposeProject
from flask_debuglaunch.ides.opened_project import Project

from .compose_shop import FILES, Shop, write

GUNICORN = 'CMD ["gunicorn", "-b", ":8000", "shop:app"]\n'
COMPOSE = 'services: {web: {build: ., ports: ["8000:8000"]}}\n'


def overlay(folder: Path, name: str | None = "web") -> dict[str, Any]:
    """What we write for a service of the folder's compose.yaml, without an engine."""
    services = yaml.safe_load((folder / "compose.yaml").read_text())["services"]
    compose = ComposeProject(("docker", "compose"), ("compose.yaml",), services)
    project = Project(folder, None, (), Settings(), lambda path: read_text(folder / path))
    file, _ = debug_file(compose, project, name)
    written = yaml.load(file.edit(None), Loader=yaml.BaseLoader)
    (found,) = written["services"].values()
    return {**found, "up": written["x-debuglaunch"]["up"]}


def merged(shop: Shop, *flags: str, service: str = "web") -> dict[str, Any]:
    """The service as Compose has it with our file."""
    done = shop.ide("compose", service, *flags)
    assert done.returncode == 0, done.stderr
    written = yaml.load((shop.folder / "compose.debug.yaml").read_text(), Loader=yaml.BaseLoader)
    up = written["x-debuglaunch"]["up"]
    config = subprocess.run(
        [*up[: up.index("up")], "config"], cwd=shop.folder, env=shop.environment,
        capture_output=True, text=True, timeout=60,
    )  # fmt: skip
    assert config.returncode == 0, config.stderr
    found: dict[str, Any] = yaml.safe_load(config.stdout)["services"][service]
    return found


def mounts(service: dict[str, Any]) -> list[str]:
    return [one for one in service["volumes"] if isinstance(one, str)]


def dockerfile(text: str) -> dict[str, str]:
    text = textwrap.dedent(text)
    return {"Dockerfile": f"FROM python:3.11-slim\n{text}", "compose.yaml": COMPOSE}


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        (f"WORKDIR /srv\nCOPY . .\n{GUNICORN}", [".:/srv"]),
        (f"ENV HOME_OF=/srv\nWORKDIR $HOME_OF\nCOPY ./ ${{HOME_OF}}/app/\n{GUNICORN}", [".:/srv/app"]),
        (f"WORKDIR /app\nCOPY shop.py requirements.txt ./\n{GUNICORN}", [".:/app"]),
        (f"WORKDIR /app\nCOPY package/b.py shop.py ./\n{GUNICORN}", ["./package/b.py:/app/b.py", "./shop.py:/app/shop.py"]),
        (f"WORKDIR /app\nRUN apt install -y python3-venv curl && uv venv && python -m venv --copies /app/v\nCOPY . .\n{GUNICORN}", [".:/app", "/app/.venv", "/app/v"]),
        (f"AS built\nWORKDIR /app\nRUN uv sync --locked\nFROM a\nWORKDIR /srv\nCOPY . .\nCOPY --from=built /app /srv\n{GUNICORN}", [".:/srv", "/srv/.venv"]),
        (f"WORKDIR /app\nENV PATH=/app/bin:$PATH\nCOPY . .\n{GUNICORN}", [".:/app"]),
        (f"WORKDIR /app\nCOPY package package\nCOPY shop.py .\n{GUNICORN}", ["./package:/app/package", ".:/app"]),
        (f"WORKDIR /app\nENV VIRTUAL_ENV=/app/.venv\nCOPY . .\n{GUNICORN}", [".:/app", "/app/.venv"]),
        (f"COPY --chown=1000 --link . /app\nRUN <<END\nCOPY nothing .\nEND\nWORKDIR /app\n{GUNICORN}", [".:/app"]),
        (f"WORKDIR /src\nCOPY . .\nFROM python:3.11-slim AS final\nCOPY --from=0 /src /app\n{GUNICORN}", [".:/app"]),
        (f"AS base\nWORKDIR /app\nCOPY package package\nFROM base\nCOPY . .\n{GUNICORN}", ["./package:/app/package", ".:/app"]),
    ],
    ids=["all", "variables", "files", "files of several folders", "environments", "an environment of a stage", "programs of the project's own", "folders", "environment", "here-document", "from a stage", "on a stage"],
)  # fmt: skip
def test_the_source_is_mounted_where_the_image_has_it(
    tmp_path: Path, text: str, expected: list[str]
) -> None:
    files = dockerfile(text)
    files["Dockerfile"] = files["Dockerfile"].replace("slim\nAS", "slim AS")
    others = dict.fromkeys(("package/__init__.py", "package/b.py", "requirements.txt", "bin/a"), "")
    write(tmp_path, {**FILES, **files, **others})
    web = overlay(tmp_path)
    assert mounts(web) == expected
    # An environment that the image has there is that of the image as it is built now.
    has_environment = any(":" not in one for one in expected)
    assert ("--renew-anon-volumes" in web["up"]) is has_environment


def test_a_module_that_is_copied_alone_is_mapped_by_its_folder(tmp_path: Path) -> None:
    copied = (
        "COPY shop.py wsgi.py /app/\nCOPY package/main.py /app/package/\nCOPY package/a.py /b.py\n"
    )
    files = {"wsgi.py": "", "package/main.py": "", "package/a.py": ""}
    write(tmp_path, {**FILES, **files, **dockerfile(copied + GUNICORN)})
    mappings = [one for one in overlay(tmp_path)["command"] if one.startswith("--path-mappings")]
    ends = [one.rpartition("}")[2] for one in mappings]
    assert ends == ["=/app", "/package=/app/package"]


@pytest.mark.slow
def test_everything_of_the_service_that_debugging_needs_and_nothing_more(shop: Shop) -> None:
    shop.write(
        {
            "docker-compose.yml": """\
                x-defaults: &defaults {restart: always}
                services:
                  base: {build: {context: ., target: app}, volumes: ["./:/code"], command: [redis-server]}
                  web:
                    <<: *defaults
                    extends: base
                    profiles: [shop]
                    command: gunicorn -b 0.0.0.0:${INNER:-8001} shop:app
                    environment: {FLASK_ENV: production, B: "2"}
                    ports: ["0.0.0.0:18001:8001", "9090:9090"]
                    volumes: ["data:/data"]
                    healthcheck: {test: [CMD, curl, localhost], interval: 5s}
                    deploy: {replicas: 3, resources: {limits: {memory: 64M}}}
                volumes: {data: {}}
                """,
            "docker-compose.override.yml": 'services: {web: {labels: {a: "b"}}}\n',
            "Dockerfile": "FROM python:3.11-slim AS app\nWORKDIR /code\nCOPY . .\nFROM app AS test\n",
        }
    )
    (shop.folder / "compose.yaml").unlink()
    web = merged(shop, "--debug-port=5680", "--wait=7")
    assert web["command"] == [
        "python", "/opt/flask-debuglaunch", "--app=shop:app", "--host=0.0.0.0", "--port=8001",
        "--debug", "--debug-with=debugpy", "--debug-connection=listen", "--debug-host=0.0.0.0",
        "--published-on=127.0.0.1:18001", "--import-errors=serve",
        f"--path-mappings={shop.folder}=/code", "--debug-port=5680", "--wait=7.0",
    ]  # fmt: skip
    assert web["ports"] == ["127.0.0.1:18001:8001", "127.0.0.1:5680:5680", "9090:9090"]
    assert mounts(web) == ["data:/data"]  # podman-compose does not show what is extended
    assert web["environment"] == {"B": "2", "FLASK_ENV": "development"}
    assert web["restart"] == "no"
    assert web["profiles"] == []
    assert web["deploy"] == {"replicas": 1, "resources": {"limits": {"memory": "64M"}}}
    assert web["labels"] == {"a": "b"}
    assert web["healthcheck"]["interval"] == "5s"
    assert web["healthcheck"]["test"][:3] == ["CMD", "python", "-c"]
    assert "8001" in web["healthcheck"]["test"][-1]


@pytest.mark.parametrize(
    ("text", "entrypoint", "command"),
    [
        ('ENTRYPOINT ["gunicorn", "-b", ":8000"]\nCMD ["shop:app"]\n', "python DIR", ""),
        ('ENTRYPOINT ["./start.sh"]\nCMD ["gunicorn", "shop:app"]\n', None, "python DIR"),
        ('ENTRYPOINT ["python"]\nCMD ["shop.py"]\n', "python DIR", ""),
        ("CMD flask db upgrade && flask run\n", None, "/bin/sh -c flask db upgrade && exec python DIR"),
    ],
)  # fmt: skip
def test_who_starts_the_server(
    tmp_path: Path, text: str, entrypoint: str | None, command: str
) -> None:
    write(tmp_path, {**FILES, **dockerfile(f"WORKDIR /app\nCOPY . .\n{text}")})
    web = overlay(tmp_path)
    if entrypoint is not None:
        assert " ".join(web["entrypoint"]).startswith(entrypoint.replace("DIR", "/opt/flask-"))
    else:
        assert "entrypoint" not in web
    assert " ".join(web["command"]).startswith(command.replace("DIR", "/opt/flask-"))


def test_on_the_hosts_network_nothing_is_published(tmp_path: Path) -> None:
    host = "services: {web: {build: ., network_mode: host}}\n"
    write(tmp_path, {**FILES, "compose.yaml": host})
    web = overlay(tmp_path)
    assert "ports" not in web
    assert {"--host=127.0.0.1", "--debug-host=127.0.0.1"} <= set(web["command"])


def test_a_port_that_another_service_publishes_is_not_taken(tmp_path: Path) -> None:
    nginx = "nginx: {image: nginx, ports: ['8000:80', '8001:81']}"
    write(tmp_path, {**FILES, "compose.yaml": f"services: {{web: {{build: .}}, {nginx}}}\n"})
    web = overlay(tmp_path)
    assert web["ports"][0] == "127.0.0.1:8002:8000"
    assert "--published-on=127.0.0.1:8002" in web["command"]


def test_the_one_service_that_serves_a_flask_app(tmp_path: Path) -> None:
    services = "services: {redis: {image: redis}, shop: {build: .}, mail: {image: mail}}\n"
    write(tmp_path, {**FILES, "compose.yaml": services})
    assert "/opt/flask-debuglaunch" in overlay(tmp_path, None)["command"]


BAD_INPUT = {
    "no such service": ({}, ["wbe"], "compose.yaml: has no service wbe. Did you mean web?"),
    "two words": ({}, ["web", "redis"], "argv:redis: `ide compose` takes one name"),
    "no file": ({"compose.yaml": None}, ["web"], "there is no compose.yaml, compose.yml"),
    "no YAML": ({"compose.yaml": "services:\n  web: {build: .\n"}, ["web"], "compose.yaml:3:1: not valid YAML"),
    "not Compose's": ({"compose.yaml": "services: {web: {build: ., extends: {file: no.yaml, service: x}}}\n"}, ["web"], "config` refuses it: "),
    "an image": ({"compose.yaml": "services: {web: {image: shop, command: gunicorn shop:app}}\n"}, ["web"], "service web: its image shop is not built here"),
    "another server": ({"compose.yaml": "services: {web: {build: ., command: redis-server}}\n"}, ["web"], "its command `redis-server` starts no server of a Flask app"),
    "another module": ({"compose.yaml": "services: {web: {build: ., command: python -m celery -A shop worker}}\n"}, ["web"], "its command `python -m celery -A shop worker` starts no server of a Flask app"),
    "a taken debug port": ({"compose.yaml": "services: {web: {build: .}, b: {image: b, ports: ['5678:1']}}\n"}, ["web"], "DEBUG_PORT is 5678, which another service publishes"),
    "no Flask": ({"shop.py": "import django\n"}, ["web"], "service web: has no Flask app: no Python file of . imports flask"),
    "no Dockerfile": ({"Dockerfile": None}, ["web"], "its Dockerfile can't be read"),
    "no FROM": ({"Dockerfile": "COPY . .\n"}, ["web"], "Dockerfile: has no FROM"),
    "no such stage": ({"compose.yaml": "services: {web: {build: {context: ., target: prod}}}\n", "Dockerfile": "FROM a AS one\nFROM b AS two\n"}, ["web"], "Dockerfile: has no stage prod, which `target` names; it has one, two"),
    "a stage that hides the source": ({"Dockerfile": f"FROM a AS one\nCOPY . /src\nRUN build\nFROM b\nCOPY --from=one /out /app\n{GUNICORN}"}, ["web"], "its Dockerfile copies no Python file of the project"),
    "several": ({"compose.yaml": "services: {a: {build: .}, b: {build: .}}\n"}, [], "several services serve a Flask app: name one, as in `ide compose NAME`: a, b"),
    "somebody's file": ({"compose.debug.yaml": "services: {}\n"}, ["web"], "compose.debug.yaml:1:1: it is not of `ide compose`"),
}  # fmt: skip


def test_what_podman_compose_only_extends_when_it_starts(shop: Shop) -> None:
    base = "base: {build: ., ports: ['8000:8000']}"
    shop.write({"compose.yaml": f"services: {{{base}, web: {{extends: {{service: base}}}}}}\n"})
    done = shop.ide("compose", "web")
    assert done.returncode == 2
    assert "service web: has its ports from what it extends" in done.stderr


NEEDS_THE_COMMAND = ("two words", "no file", "no YAML", "not Compose's", "somebody's file")


@pytest.mark.parametrize("case", sorted(BAD_INPUT.keys() - NEEDS_THE_COMMAND))
def test_what_can_not_be_brought_under_the_launcher(tmp_path: Path, case: str) -> None:
    files, names, message = BAD_INPUT[case]
    write(tmp_path, {**FILES, **{name: text for name, text in files.items() if text is not None}})
    for name in [name for name, text in files.items() if text is None]:
        (tmp_path / name).unlink()
    with pytest.raises(LaunchError) as caught:
        overlay(tmp_path, next(iter(names), None))
    assert message in str(caught.value)


@pytest.mark.parametrize("case", NEEDS_THE_COMMAND)
def test_bad_input_gets_one_message_and_nothing_is_written(shop: Shop, case: str) -> None:
    files, arguments, message = BAD_INPUT[case]
    shop.write({name: text for name, text in files.items() if text is not None})
    for name in [name for name, text in files.items() if text is None]:
        (shop.folder / name).unlink()
    before = contents(shop.folder)
    done = shop.ide("compose", *arguments)
    assert (done.returncode, done.stdout) == (2, "")
    assert done.stderr.startswith("Error: ")
    assert message in done.stderr
    assert "Traceback" not in done.stderr
    assert contents(shop.folder) == before


def contents(folder: Path) -> dict[Path, str]:
    return {path: path.read_text() for path in folder.rglob("*") if path.is_file()}
