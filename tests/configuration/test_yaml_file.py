"""The YAML file: what is read from it, and the message for everything that is wrong with it."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from flask_debuglaunch.configuration.yaml_file import read_yaml
from flask_debuglaunch.errors import LaunchError

pytestmark = pytest.mark.quick


@pytest.fixture(autouse=True)
def in_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)


def read(text: str | bytes, block: str | None = None) -> dict[str, tuple[object, str]]:
    file = Path.cwd() / "config.yaml"
    file.write_bytes(text if isinstance(text, bytes) else text.encode())
    values = read_yaml(file, block).values
    return {name: (value.value, str(value.origin)) for name, value in values.items()}


def test_the_docs_recipe() -> None:
    assert read("FLASK:\n  DEBUG: True\n  DEBUG_WITH_APTANA: True\n") == {
        "debug": (True, "config.yaml:2"),
        "debug_with": ("pydevd", "config.yaml:3"),
    }


def test_every_kind_of_value() -> None:
    values = read(
        "DEBUGLAUNCH:\n"
        "  APP: shop:create_app('x')\n"
        "  HOST: ::1\n"
        "  PORT: 8000\n"
        "  WAIT: 2.5\n"
        "  RELOAD: auto\n"
        "  STOP_ON_ERRORS: off\n"
        "  DEBUG_WITH: off\n"
        "  EDITOR: vscode://vscode-remote/wsl+Debian{path}:{line}\n"
        "  PATH_MAPPINGS: {C:\\shop: /app, src: /app/src}\n"
        "  EXTRA_FILES: [data.json, /etc/app.ini]\n"
        "  EXCLUDE_PATTERNS: '*/generated/*'\n"
    )
    here = Path.cwd()
    assert {name: value for name, (value, _) in values.items()} == {
        "app": "shop:create_app('x')",
        "host": "::1",
        "port": 8000,
        "wait": 2.5,
        "reload": None,
        "stop_on_errors": "off",
        "debug_with": "off",
        "editor": "vscode://vscode-remote/wsl+Debian{path}:{line}",
        "path_mappings": ((r"C:\shop", "/app"), (str(here / "src"), "/app/src")),
        "extra_files": (str(here / "data.json"), "/etc/app.ini"),
        "exclude_patterns": ("*/generated/*",),
    }


@pytest.mark.parametrize("text", ["", "# nothing\n", "FLASK:\n", "OTHER: 1\n", "DEBUGLAUNCH:\n"])
def test_nothing_given(text: str) -> None:
    assert read(text) == {}


@pytest.mark.parametrize(
    "text",
    [
        "MYAPP: {DEBUG: true}\nDEBUGLAUNCH: {BLOCK: MYAPP}\n",
        "FLASK: {DEBUG: false}\nMYAPP: {DEBUG: true}\nDEBUGLAUNCH:\n  BLOCK: MYAPP\n",
    ],
)
def test_renamed_block(text: str) -> None:
    assert read(text)["debug"][0] is True


def test_block_named_outside_the_file() -> None:
    assert read("A: {DEBUG: true}\nB: {DEBUG: false}\n", block="A")["debug"][0] is True


def test_merge_keys_and_aliases() -> None:
    text = (
        "base: &base {DEBUG: false, DEBUG_WITH_VSCODE: true}\nFLASK:\n  <<: *base\n  DEBUG: true\n"
    )
    assert read(text) == {
        "debug": (True, "config.yaml:4"),
        "debug_with": ("debugpy", "config.yaml:1"),
    }


def test_what_is_the_apps_is_left_to_the_app() -> None:
    """Its keys, its tags, its duplicates: the app's own loader may know what to do with them."""
    text = (
        "FLASK:\n  DEBUG: true\n  SECRET: !vault abc\n  X: 1\n  X: 2\n  DEBUG_TB: 1\nLOG: !env L\n"
    )
    assert read(text) == {"debug": (True, "config.yaml:2")}


def test_both_spellings_of_one_debugger_agree() -> None:
    text = "FLASK: {DEBUG_WITH_APTANA: true, DEBUG_WITH_ECLIPSE: true}\nDEBUGLAUNCH: {DEBUG_WITH: eclipse}\n"
    assert read(text)["debug_with"][0] == "eclipse"


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("FLASK: [\n", r"config\.yaml:2:1: not valid YAML: .*"),
        ("FLASK:\n\tDEBUG: 1\n", r"config\.yaml:2:1: not valid YAML: .*Indent with spaces.*"),
        ("a: 1\n---\nb: 2\n", r"config\.yaml:2:1: not valid YAML: expected a single document.*"),
        ("- 1\n", r"config\.yaml:1: the file holds a list, expected a mapping.*"),
        ("hello\n", r"config\.yaml:1: the file holds the single value 'hello'.*"),
        ("FLASK: 3\n", r"config\.yaml:1: FLASK holds the single value '3', expected a mapping.*"),
        ("FLASK:\n  DEBUG: 'False'\n",
         r"config\.yaml:2: FLASK\.DEBUG must be true or false, not 'False'\. Remove the quotes"),
        ("FLASK:\n  DEBUG: maybe\n",
         r"config\.yaml:2: FLASK\.DEBUG must be true or false, not 'maybe'"),
        ("FLASK:\n  DEBUG: 1\n", r"config\.yaml:2: FLASK\.DEBUG must be true or false, not 1"),
        ("FLASK:\n  DEBUG:\n", r"config\.yaml:2: FLASK\.DEBUG is empty, expected true or false.*"),
        ("FLASK:\n  DEBUG: true\n  DEBUG: false\n",
         r"config\.yaml:3: DEBUG is given again; line 2 has it too\. Remove one of them"),
        ("FLASK:\n  DEBUG_WIHT_APTANA: true\n",
         r"config\.yaml:2: FLASK\.DEBUG_WIHT_APTANA looks like DEBUG_WITH_APTANA.*"),
        ("FLASK:\n  DEBUG_WITH_APTANA: true\n  DEBUG_WITH_PYCHARM: true\n",
         r"config\.yaml:3: DEBUG_WITH_PYCHARM asks for pydevd-pycharm, but config\.yaml:2 asks"
         r" for pydevd\..*"),
        ("FLASK:\n  DEBUG_WITH_APTANA: true\nDEBUGLAUNCH:\n  DEBUG_WITH: vscode\n",
         r"config\.yaml:2: this flag asks for pydevd, but config\.yaml:4 has DEBUG_WITH: vscode.*"),
        ("DEBUGLAUNCH:\n  PROT: 1\n",
         r"config\.yaml:2: DEBUGLAUNCH has no setting PROT\. Did you mean PORT\?"),
        ("DEBUGLAUNCH:\n  DEBUG: true\n",
         r"config\.yaml:2: DEBUG belongs to the app's own block: move it below FLASK:"),
        ("DEBUGLAUNCH:\n  ALLOW_REMOTE_DEBUG: true\n",
         r"config\.yaml:2: .*give --allow-remote-debug on the command line"),
        ("DEBUGLAUNCH:\n  PORT: 70000\n", r"config\.yaml:2: .*PORT must be a port.*, not 70000"),
        ("DEBUGLAUNCH:\n  PORT: '80'\n", r"config\.yaml:2: .*PORT must be .*Remove the quotes"),
        ("DEBUGLAUNCH:\n  WAIT: -1\n", r"config\.yaml:2: .*WAIT must be off, on.*, not -1"),
        ("DEBUGLAUNCH:\n  WAIT: .inf\n", r"config\.yaml:2: .*WAIT must be .*, not inf"),
        ("DEBUGLAUNCH:\n  RELOAD: sometimes\n",
         r"config\.yaml:2: .*RELOAD must be true, false or auto, not 'sometimes'"),
        ("DEBUGLAUNCH:\n  EDITOR: notepad\n", r"config\.yaml:2: .*EDITOR must be auto, off, vscode.*"),
        ("DEBUGLAUNCH:\n  EDITOR: 'javascript://{path}'\n", r"config\.yaml:2: .*EDITOR must be.*"),
        ("DEBUGLAUNCH:\n  HOST: 2026-99-99\n", r"config\.yaml:2: .*HOST can't be read: .*"),
        ("flask: {DEBUG: true}\n",
         r"config\.yaml:1: the block is FLASK, not flask\. Write FLASK, or name it with"
         r" DEBUGLAUNCH: \{BLOCK: flask\}"),
        ("Debuglaunch: {PORT: 1}\n",
         r"config\.yaml:1: the block is DEBUGLAUNCH, not Debuglaunch\. Write DEBUGLAUNCH"),
        ("DEBUGLUNCH: {PORT: 1}\n", r"config\.yaml:1: the block is DEBUGLAUNCH, not DEBUGLUNCH\..*"),
        ("FLASK:\n  debug: true\n", r"config\.yaml:2: FLASK\.debug looks like DEBUG\. .*"),
        ("FLASK:\n  DEBUGG: true\n", r"config\.yaml:2: FLASK\.DEBUGG looks like DEBUG\. .*"),
        ("FLASK:\n  DEBUG_WITH: vscode\n", r"config\.yaml:2: DEBUG_WITH is the launcher's: move.*"),
        ("DEBUGLAUNCH: {BLOCK: MYAP}\nMYAPP: {}\n",
         r"config\.yaml: there is no block MYAP\. Did you mean MYAPP\?"),
        # Numbers as people write them, and as YAML 1.1 reads them.
        ("DEBUGLAUNCH:\n  PORT: 05000\n",
         r"config\.yaml:2: DEBUGLAUNCH\.PORT: '05000' is, to YAML, an octal number\. Write 5000 .*"),
        ("DEBUGLAUNCH:\n  DEBUG_PORT: 22:22\n",
         r"config\.yaml:2: DEBUGLAUNCH\.DEBUG_PORT: '22:22' is, to YAML, a number in base 60\..*"),
        ("DEBUGLAUNCH:\n  WAIT: 1:30.5\n", r"config\.yaml:2: .*'1:30\.5' is, to YAML, .*"),
        ("DEBUGLAUNCH:\n  PORT: 08080\n",
         r"config\.yaml:2: .*PORT must be a port.*, not '08080'\. Remove the leading 0"),
        # A block or a flag that would be lost.
        ("FLASK:\n  DEBUG: true\nOTHER: 1\nFLASK:\n  TITLE: x\n",
         r"config\.yaml:4: FLASK is given again; line 1 has it too\. Remove one of them"),
        ("MINE: {DEBUG: true}\nMINE: {A: 1}\nDEBUGLAUNCH: {BLOCK: MINE}\n",
         r"config\.yaml:2: MINE is given again; .*"),
        ("DEBUG_WITH_VSCODE: true\nFLASK: {DEBUG: true}\n",
         r"config\.yaml:1: DEBUG_WITH_VSCODE does not count here: move it below FLASK:"),
        ("FLASK: {DEBUG: true}\nAPP:\n  DEBUG_WITH_VSCODE: true\n",
         r"config\.yaml:3: APP\.DEBUG_WITH_VSCODE does not count: the app's block is FLASK\. If APP"
         r" is meant, name it with DEBUGLAUNCH: \{BLOCK: APP\}"),
        ("FLASKS:\n  DEBUG: true\n", r"config\.yaml:1: the block is FLASK, not FLASKS\. Write FLASK.*"),
        # Placeholders.
        ("DEBUGLAUNCH:\n  HOST: ${HOST}\n",
         r"config\.yaml:2: DEBUGLAUNCH\.HOST: placeholders such as '\$\{HOST\}' are not expanded in"
         r" the YAML\. Write the value, or set DEBUGLAUNCH_HOST in the environment or in \.env"),
        ("FLASK:\n  DEBUG: ${DEBUG:-1}\n", r"config\.yaml:2: .* or set FLASK_DEBUG in .*"),
        ("DEBUGLAUNCH:\n  EXTRA_FILES: [a, '{{ b }}']\n", r"config\.yaml:2: .*placeholders such as .*"),
        ("DEBUGLAUNCH:\n  HOST: localhost:8000\n",
         r"config\.yaml:2: .*HOST must be a host name or an IP address, without a port, not .*"),
        # Values at which PyYAML itself raises something.
        *[(f"DEBUGLAUNCH:\n  WAIT: {value}\n", r"config\.yaml:2:.*(can't be read|must be|not valid YAML:).*")
          for value in ("!!int ''", "!!bool maybe", "!!float ''", "!!timestamp x", "!!binary ü",
                        "1" + "0" * 400, "1" + "0" * 5000, "0x" + "f" * 5000, "!!set {a}", "!mine x")],
        ('FLASK:\n  X: "\\UFFFFFFFF"\n', r"config\.yaml:2: not valid YAML: .*"),
        ("".join(f"x{n}: &x{n} {{<<: [*x{n - 1}, *x{n - 1}], k{n}: 1}}\n" if n else "x0: &x0 {a: 1}\n"
                 for n in range(60)) + "FLASK:\n  <<: *x59\n",
         r"config\.yaml:62: more than 10000 keys are merged .*"),
        ("DEBUGLAUNCH:\n  PATH_MAPPINGS: [a]\n", r"config\.yaml:2: .*must be a mapping.*"),
        ("x: !!python/object/apply:os.system ['id']\n",
         r"config\.yaml:1: the tag !!python/object/apply:os\.system makes Python objects.*"),
        (b"FLASK:\n  DEBUG: \xff\n", r"config\.yaml:2: not UTF-8 text\..*"),
        (b"\0\1\2binary", r"config\.yaml: not a text file: .*"),
        ("[" * 700, r"config\.yaml: nested too deeply.*"),
        pytest.param("[" * 100_000, r"config\.yaml: nested too deeply.*", marks=pytest.mark.slow),
        ("#" * (128 * 1024 + 1), r"config\.yaml: cannot be read: it is larger than 128 KiB\. Name .* --config"),
    ],
)  # fmt: skip
def test_bad_files(text: str | bytes, message: str) -> None:
    with pytest.raises(LaunchError) as caught:
        read(text)
    assert re.fullmatch(message, str(caught.value)), str(caught.value)
    assert caught.value.exit_status == 2


@pytest.mark.parametrize(
    ("text", "note"),
    [
        (
            "DEBUG: true\n",
            "config.yaml:1: DEBUG does not count here. If meant, move it below FLASK:",
        ),
        (
            "APP:\n  DEBUG: true\n",
            "config.yaml:2: APP.DEBUG does not count: the app's block is FLASK.",
        ),
    ],
)
def test_a_debug_that_does_not_count_is_said(text: str, note: str) -> None:
    """It may be the app's own: no error. Beside the app's block it certainly is."""
    Path("config.yaml").write_text(text)
    (said,) = read_yaml(Path.cwd() / "config.yaml", None).notes
    assert said.startswith(note)
    Path("config.yaml").write_text(text + "FLASK: {}\n")
    assert read_yaml(Path.cwd() / "config.yaml", None).notes == ()


def test_missing_file(tmp_path: Path) -> None:
    with pytest.raises(LaunchError, match=r"^other\.yaml: no such file\. Write one with: .* init$"):
        read_yaml(tmp_path / "other.yaml", None)


def test_folder(tmp_path: Path) -> None:
    (tmp_path / "sub").mkdir()
    with pytest.raises(LaunchError, match=r"^sub: cannot be read: it is a folder"):
        read_yaml(tmp_path / "sub", None)


def test_found_values_are_never_long() -> None:
    """An alias bomb is small in memory and endless in print."""
    bomb = "".join(f"x{n}: &x{n} [*x{n - 1}, *x{n - 1}, *x{n - 1}]\n" for n in range(1, 40))
    with pytest.raises(LaunchError) as caught:
        read(f"x0: &x0 [lol]\n{bomb}DEBUGLAUNCH: {{HOST: *x39}}\n")
    assert len(str(caught.value)) < 300
