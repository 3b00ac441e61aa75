"""Eclipse's own launch manager reads the generated files as they are meant, and saves them as they
are."""

from __future__ import annotations

import random
import re
import xml.etree.ElementTree as ET
from pathlib import Path

import pytest

from flask_debuglaunch.ides.eclipse import edited_launch, quoted_argument, split_arguments
from tests.ides import real_eclipse
from tests.ides.workspace import ROOT, Workspace, ide, written

DEBUG, UI = "org.eclipse.debug.core.", "org.eclipse.debug.ui."
TOOLS, PYDEV = "org.eclipse.ui.externaltools.", "org.python.pydev.debug."
EVIL = "R&D 'n' $home #1 ünïcode 漢字 😀"


def attributes_of(project: str, arguments: str) -> dict[str, tuple[str, object]]:
    """All of them, by key, with the Java type that PyDev and Eclipse ask for."""
    folder = f"${{workspace_loc:{project}}}"
    return {
        DEBUG + "MAPPED_RESOURCE_PATHS": ("List", [f"/{project}/eclipse_launch.py"]),
        DEBUG + "MAPPED_RESOURCE_TYPES": ("List", ["1"]),
        DEBUG + "appendEnvironmentVariables": ("Boolean", True),
        DEBUG + "capture_output": ("Boolean", True),
        UI + "ATTR_CONSOLE_ENCODING": ("String", "UTF-8"),
        UI + "ATTR_LAUNCH_IN_BACKGROUND": ("Boolean", True),
        UI + "favoriteGroups": ("List", [f"{UI}launchGroup.debug", f"{UI}launchGroup.run"]),
        TOOLS + "ATTR_LOCATION": ("String", folder[:-1] + "/eclipse_launch.py}"),
        TOOLS + "ATTR_OTHER_WORKING_DIRECTORY": ("String", folder),
        TOOLS + "ATTR_TOOL_ARGUMENTS": ("String", arguments),
        TOOLS + "ATTR_WORKING_DIRECTORY": ("String", folder),
        PYDEV + "ATTR_INTERPRETER": ("String", "__default"),
        PYDEV + "ATTR_PROJECT": ("String", project),
        PYDEV + "ATTR_RESOURCE_TYPE": ("Integer", 1),
        "process_factory_id": ("String", f"{PYDEV}processfactory.PyProcessFactory"),
    }


def test_every_attribute_has_its_key_and_java_type(tmp_path: Path) -> None:
    project = Workspace.copied("eclipse", tmp_path / "eclipse").folder
    names = ["eclipse debug.launch", "eclipse debug server.launch"]
    launched, dialling = real_eclipse.load(project, *names)

    config = "--config config.yaml"
    dial = f"{config} --debug-with=eclipse --debug-connection=connect"
    assert launched.attributes == attributes_of("eclipse", config)
    assert dialling.attributes == attributes_of("eclipse", dial)
    for launch in (launched, dialling):
        assert launch.type == "org.python.pydev.debug.regularLaunchConfigurationType"
        assert launch.mapped == {"/eclipse/eclipse_launch.py": True}
        assert launch.location == str(project / "eclipse_launch.py")
        assert launch.working_directory == str(project)
    assert launched.arguments == ["--config", "config.yaml"]


@pytest.mark.slow
def test_its_own_save_leaves_every_byte(tmp_path: Path) -> None:
    project = Workspace.copied("eclipse", tmp_path / "eclipse").folder
    files = sorted(project.glob("*.launch"))
    assert len(files) == 2
    assert all(launch.same_bytes for launch in real_eclipse.load(project, *[f.name for f in files]))
    for file in files:
        assert file.read_bytes() == (ROOT / "eclipse" / file.name).read_bytes()


def test_any_folder_and_any_yaml(tmp_path: Path) -> None:
    evil = tmp_path / EVIL
    evil.mkdir()
    config = 'a "quoted" \\ one.yaml'
    (evil / config).write_text("FLASK: {DEBUG: true}")
    written(evil, "eclipse", "--config", config, "--extra-files", "it's a <file> & 😀\tmore")
    names = sorted(file.name for file in evil.glob("*.launch"))
    server, launch = real_eclipse.load(evil, *names)
    assert launch.arguments[:2] == ["--config", config]
    assert launch.arguments[2:] == ['--extra-files=["it\'s a <file> & \\ud83d\\ude00\\tmore"]']
    assert server.arguments[:3] == launch.arguments
    assert launch.working_directory == str(evil)
    assert (Path(launch.location)).exists()
    assert launch.same_bytes
    assert server.same_bytes


@pytest.mark.slow
def test_what_a_person_changed_in_the_dialog_stays(tmp_path: Path) -> None:
    project = Workspace.copied("eclipse", tmp_path / "eclipse").folder
    launch = project / "eclipse debug.launch"
    environment = (
        f'    <mapAttribute key="{DEBUG}environmentVariables">\n'
        '        <mapEntry key="SECRET" value="a &amp; b"/>\n'
        "    </mapAttribute>\n"
    )
    text = launch.read_text()
    text = text.replace('    <stringAttribute key="org.eclipse.debug.ui.ATTR_CONSOLE', environment
                        + '    <stringAttribute key="org.eclipse.debug.ui.ATTR_CONSOLE')  # fmt: skip
    text = text.replace('IN_BACKGROUND" value="true"', 'IN_BACKGROUND" value="false"')
    text = text.replace(
        '="--config config.yaml"', '="-h &apos;::1&apos;  --config config.yaml -p80"'
    )
    text = re.sub(r'(WORKING_DIRECTORY" value="\$\{workspace_loc:eclipse)', r"\1/templates", text)
    launch.write_text(text)
    written(project, "eclipse")
    assert launch.read_text() == text

    [loaded] = real_eclipse.load(project, launch.name)
    assert loaded.arguments == ["-h", "::1", "--config", "config.yaml", "-p80"]
    assert loaded.working_directory == str(project / "templates")
    assert loaded.attributes[f"{DEBUG}environmentVariables"] == ("Map", {"SECRET": "a & b"})


def test_what_makes_it_work_is_put_right(tmp_path: Path) -> None:
    project = Workspace.copied("eclipse", tmp_path / "eclipse").folder
    launch = project / "eclipse debug.launch"
    text = launch.read_text()
    lines = text.splitlines(keepends=True)
    location = next(line for line in lines if "ATTR_LOCATION" in line)
    wrong = text.replace(location, "").replace("intAttribute", "stringAttribute")
    assert wrong != text
    launch.write_text(wrong)
    written(project, "eclipse")
    assert launch.read_text() == text


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        ("<launchConfiguration>", r"debug.launch:1:22: no element found"),
        ("not XML", r"debug.launch:1:1: syntax error"),
        ('<launchConfiguration type="other"></launchConfiguration>', "not a PyDev launch"),
        ('<!DOCTYPE a [<!ENTITY b "b">]>\n<a>&b;</a>', "1:13: a document type is not expected"),
    ],
)
def test_a_file_that_is_none_is_refused(tmp_path: Path, text: str, problem: str) -> None:
    project = Workspace.copied("eclipse", tmp_path / "eclipse").folder
    launch = project / "eclipse debug.launch"
    launch.write_text(text)
    (project / ".pydevproject").unlink()
    outcome = ide(project, "eclipse")
    assert outcome.status == 2
    assert re.search(problem, outcome.stderr)
    assert "<stringAttribute" in outcome.stderr  # what to put there by hand
    assert launch.read_text() == text
    assert not (project / ".pydevproject").exists()


def test_project_files_that_are_there_are_not_touched(tmp_path: Path) -> None:
    project = tmp_path / "shop"
    project.mkdir()
    mine = "<projectDescription><name>my &amp; shop</name></projectDescription>"
    (project / ".project").write_text(mine)
    (project / ".pydevproject").write_text("<pydev_project/>")
    (project / "eclipse_launch.py").write_text("print('mine')")
    outcome = written(project, "eclipse")
    assert (project / ".project").read_text() == mine
    assert (project / ".pydevproject").read_text() == "<pydev_project/>"
    assert (project / "eclipse_launch.py").read_text() == "print('mine')"
    assert ".project has no PyDev nature" in outcome.stderr
    assert ".pydevproject names no source folder" in outcome.stderr
    assert "eclipse_launch.py is another file" in outcome.stderr
    # The launch files name the project as Eclipse does.
    launch = (project / "my - shop debug.launch").read_text()
    assert 'value="${workspace_loc:my &amp; shop}"' in launch
    # The notes of what is missing are for those who lack it.
    assert "nature" not in written(ROOT / "eclipse", "eclipse", "--dry-run").stderr


def test_the_aptana_limits_are_said(tmp_path: Path) -> None:
    assert "Aptana Studio 3" in written(tmp_path, "eclipse", "--dry-run").stderr


def test_what_pydev_keeps_and_eclipse_asks_for(tmp_path: Path) -> None:
    """Seen in Eclipse 4.26 with PyDev 13.1: it writes a .pydevproject with another version anew,
    and warns of a project without an encoding."""
    written(tmp_path, "eclipse")
    pydev = (tmp_path / ".pydevproject").read_text()
    assert re.findall(r"VERSION\">(.*)<", pydev) == ["python interpreter"]
    settings = tmp_path / ".settings" / "org.eclipse.core.resources.prefs"
    assert settings.read_text().splitlines()[1:] == ["encoding/<project>=UTF-8"]
    settings.write_text("encoding/<project>=latin-1\n")
    written(tmp_path, "eclipse")
    assert settings.read_text() == "encoding/<project>=latin-1\n"


@pytest.mark.slow
@pytest.mark.parametrize("name", ["a\rb", "a\nb\tc", "R&D <1>", 'say "so"', " edge "])
def test_a_folders_name_comes_back_from_the_project(tmp_path: Path, name: str) -> None:
    folder = tmp_path / name
    folder.mkdir()
    written(folder, "eclipse")
    project = ET.parse(folder / ".project").getroot().findtext("name")
    assert project == name
    [file] = folder.glob("* debug.launch")
    before = file.read_bytes()
    [launch] = real_eclipse.load(folder, file.name)
    assert launch.working_directory == str(folder)
    assert ide(folder, "eclipse", "--check").status == 0
    assert file.read_bytes() == before


def test_a_project_file_that_eclipse_can_t_read(tmp_path: Path) -> None:
    (tmp_path / ".project").write_text("<projectDescription><name>")
    outcome = ide(tmp_path, "eclipse")
    assert outcome.status == 2
    assert ".project: Eclipse can't read it: no element found: line 1" in outcome.stderr


def test_a_variable_of_eclipse_in_a_name_is_refused(tmp_path: Path) -> None:
    (tmp_path / "${home}.yaml").write_text("")
    outcome = ide(tmp_path, "eclipse", "--config", "${home}.yaml")
    assert outcome.status == 2
    assert "Eclipse would not take '${home}'" in outcome.stderr
    assert not list(tmp_path.glob("*.launch"))


@pytest.mark.slow
def test_it_splits_arguments_as_they_were(tmp_path: Path) -> None:
    """Its parser of arguments is the one that PyDev has copied."""
    project = Workspace.copied("eclipse", tmp_path / "eclipse").folder
    chance = random.Random(5678)
    special = " \t\n\\\"'$&<>|;%#!*?}ü漢😀ab"  # "${" is a variable
    written_arguments = [
        ["".join(chance.choices(special, k=chance.randint(0, 8))) for _ in range(3)]
        for _ in range(300)
    ]
    for number, arguments in enumerate(written_arguments):
        line = " ".join(map(quoted_argument, arguments))
        assert [word.text for word in split_arguments(line)] == arguments
        text = edited_launch("eclipse", "eclipse_launch.py", lambda _, line=line: line, None)
        (project / f"{number}.launch").write_text(text, newline="\n")
    launches = real_eclipse.load(project, *[f"{n}.launch" for n in range(300)])
    for arguments, launch in zip(written_arguments, launches, strict=True):
        assert launch.arguments == arguments
        assert launch.same_bytes
