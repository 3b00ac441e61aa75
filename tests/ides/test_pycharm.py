"""PyCharm's run configurations: read by meaning, and run as PyCharm runs them.

PyCharm itself is not driven: what it makes of the options is rebuilt from its sources
(python/src/com/jetbrains/python/run, JetBrains/intellij-community).
"""

from __future__ import annotations

import re
import sys
import xml.etree.ElementTree as ET
from pathlib import Path

import pytest

from tests.ides.argument_splitting import as_pycharm
from tests.ides.workspace import Workspace, ide, written
from tests.support.dap import Editor
from tests.support.processes import TIMEOUT, Program, http_get, in_background
from tests.support.pydevd_ide import PyCharm
from tests.support.requirements import require_debugger

ALL = ["pycharm", "--with", "docker,wait"]


def run_file(folder: Path, name: str) -> Path:
    return folder / ".run" / f"{name}.run.xml"


def options(folder: Path, name: str) -> dict[str, str]:
    """The options of a configuration, with $PROJECT_DIR$ replaced."""
    component = ET.parse(run_file(folder, name)).getroot()
    assert component.attrib == {"name": "ProjectRunConfigurationManager"}
    [configuration] = component
    assert configuration.attrib["name"] == name
    return {
        option.attrib["name"]: option.attrib["value"].replace("$PROJECT_DIR$", str(folder))
        for option in configuration.iter("option")
    }


def kind(folder: Path, name: str) -> tuple[str | None, str | None]:
    configuration = ET.parse(run_file(folder, name)).getroot()[0]
    return configuration.get("type"), configuration.get("factoryName")


@pytest.fixture
def workspace(tmp_path: Path) -> Workspace:
    workspace = Workspace.copied("vscode", tmp_path / "my shop's $app & ünïcode")
    written(workspace.folder, *ALL, *workspace.flags)
    return workspace


def test_the_kinds(workspace: Workspace) -> None:
    kinds = {
        "debuglaunch debug": ("PythonConfigurationType", "Python"),
        "debuglaunch attach": ("PythonDapAttachConfiguration", None),
        "debuglaunch attach to container": ("PythonDapAttachConfiguration", None),
        "debuglaunch debug server": ("PyRemoteDebugConfigurationType", "Python Remote Debug"),
    }
    assert {name: kind(workspace.folder, name) for name in kinds} == kinds
    assert len(list(workspace.folder.glob(".run/*"))) == len(kinds)


def test_the_module_run(workspace: Workspace) -> None:
    found = options(workspace.folder, "debuglaunch debug")
    assert found["MODULE_MODE"] == "true"
    assert found["SCRIPT_NAME"] == "flask_debuglaunch"
    assert found["WORKING_DIRECTORY"] == str(workspace.folder)
    assert found["PARENT_ENVS"] == "true"
    assert as_pycharm(found["PARAMETERS"]) == ["--config", "config.yaml", *workspace.flags]


def test_debugging_the_module(workspace: Workspace) -> None:
    require_debugger("pydevd-pycharm")
    found = options(workspace.folder, "debuglaunch debug")
    with PyCharm(breakpoints={workspace.main: [workspace.line]}) as pycharm:
        program = pycharm.launch(
            found["SCRIPT_NAME"],
            *as_pycharm(found["PARAMETERS"]),
            cwd=found["WORKING_DIRECTORY"],
            module=True,
        )
        program.wait_for_line("Running on")
        stops_at_the_breakpoint(workspace, pycharm)


def test_the_debug_server(workspace: Workspace) -> None:
    require_debugger("pydevd-pycharm")
    found = options(workspace.folder, "debuglaunch debug server")
    breakpoints = {workspace.main: [workspace.line]}
    assert found["HOST"] == "127.0.0.1"
    pycharm = PyCharm(breakpoints=breakpoints, port=int(found["PORT"]))
    with pycharm, started(workspace, "--debug-with=pycharm") as program:
        program.wait_for_line("Running on")
        stops_at_the_breakpoint(workspace, pycharm)


def test_attaching_over_dap(workspace: Workspace) -> None:
    require_debugger("debugpy")
    found = options(workspace.folder, "debuglaunch attach")
    host, port = found["remoteAddress"].rsplit(":", 1)
    mapping = {"localRoot": found["localRoot"], "remoteRoot": found["remoteRoot"]}
    with started(workspace) as program:
        program.wait_for_line("Running on")
        with Editor.attach(
            int(port),
            host,
            configuration={"pathMappings": [mapping]},
            breakpoints={workspace.main: [workspace.line]},
        ) as editor:
            editor.wait_for_session(2)
            stops_at_the_breakpoint(workspace, editor)


def started(workspace: Workspace, *arguments: str) -> Program:
    argv = [sys.executable, "-m", "flask_debuglaunch", *workspace.flags, *arguments]
    return Program(argv, cwd=workspace.folder)


def stops_at_the_breakpoint(workspace: Workspace, ide: PyCharm | Editor) -> None:
    response = in_background(http_get, workspace.url("/hello/World"))
    stop = ide.wait_for_stop()
    assert (Path(stop.file), stop.line) == (workspace.main, workspace.line)
    assert stop.variables()["greeting"] == "'Hello, World!'"
    stop.resume()
    assert response.result(TIMEOUT).text == "Hello, World!"


# What the IDE has saved into it meanwhile
SAVED = """\
<component name="ProjectRunConfigurationManager">
  <configuration default="false" name="debuglaunch debug" type="PythonConfigurationType" \
factoryName="Python" nameIsGenerated="false">
    <module name="PARAMETERS" />
    <option name="ENV_FILES" value="" />
    <option name="INTERPRETER_OPTIONS" value="-X dev" />
    <option name="PARENT_ENVS" value="true" />
    <envs>
      <env name="SECRET" value="a &amp; b" />
    </envs>
    <option name="SDK_HOME" value="" />
    <option name="WORKING_DIRECTORY" value="/old" />
    <option name="IS_MODULE_SDK" value="true" />
    <option name="SCRIPT_NAME" value="flask_debuglaunch" />
    <option name="PARAMETERS" value="--debug  --config &quot;config.yaml&quot; --port 8000" />
    <option name="MODULE_MODE" value="true" />
    <method v="2">
      <option name="ToolBeforeRunTask" enabled="true" actionId="Tool_External Tools_x" />
    </method>
  </configuration>
</component>"""


def test_what_a_person_and_the_ide_have_changed_stays(tmp_path: Path) -> None:
    (tmp_path / "config.yaml").write_text("")
    file = run_file(tmp_path, "debuglaunch debug")
    file.parent.mkdir()
    file.write_text(SAVED)
    written(tmp_path, "pycharm")
    assert file.read_text() == SAVED
    assert ide(tmp_path, "pycharm", "--check").status == 0
    written(tmp_path, "pycharm", "--port=9000", "--no-reload")
    assert file.read_text() == SAVED.replace("8000", "9000 --no-reload")


def test_an_option_is_told_from_what_has_the_same_name(tmp_path: Path) -> None:
    """The IDE names a configuration's module by an attribute `name`, too."""
    module = '<module name="PARAMETERS" />'
    file = run_file(tmp_path, "debuglaunch debug")
    file.parent.mkdir()
    file.write_text(
        re.sub(r"<module .*|<option .*|<envs>[^$]*</envs>", "", SAVED).replace(
            '<method v="2">', f'{module}\n    <method v="2">'
        )
    )
    written(tmp_path, "pycharm", "--debug")
    assert module in file.read_text()
    assert options(tmp_path, "debuglaunch debug")["PARAMETERS"] == "--debug"


def test_another_kind_of_configuration_is_refused(tmp_path: Path) -> None:
    file = run_file(tmp_path, "debuglaunch attach")
    file.parent.mkdir()
    file.write_text(SAVED)
    outcome = ide(tmp_path, "pycharm")
    assert outcome.status == 2
    assert "not a run configuration of type PythonDapAttachConfiguration" in outcome.stderr
    assert file.read_text() == SAVED


def test_an_ipv6_address(tmp_path: Path) -> None:
    (tmp_path / "config.yaml").write_text("DEBUGLAUNCH: {DEBUG_HOST: '::1'}")
    written(tmp_path, "pycharm")
    assert options(tmp_path, "debuglaunch attach")["remoteAddress"] == "[::1]:5678"
