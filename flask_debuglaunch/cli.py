"""The command line: commands, printing and exit codes; it decides nothing.

`python -m flask_debuglaunch` and `flask debuglaunch` are this same group. Flask is not imported
here: only the commands that serve the app need it.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from flask_debuglaunch.configuration.command_line_flags import Given, is_repeatable
from flask_debuglaunch.configuration.load_settings import load_settings
from flask_debuglaunch.configuration.settings import DECLARATIONS, Declaration
from flask_debuglaunch.errors import LaunchError
from flask_debuglaunch.redaction import redact

if TYPE_CHECKING:
    from flask_debuglaunch.plan import Plan


class LaunchGroup(click.Group):
    """`run` is the command that is meant where none is named; LaunchErrors end here."""

    def parse_args(self, ctx: click.Context, args: list[str]) -> list[str]:
        own = ("--help", "--version")
        if not args or (args[0].startswith("-") and args[0] not in own):
            args = ["run", *args]
        return super().parse_args(ctx, args)

    def resolve_command(
        self, ctx: click.Context, args: list[str]
    ) -> tuple[str | None, click.Command | None, list[str]]:
        try:
            return super().resolve_command(ctx, args)
        except click.UsageError as error:
            message = error.format_message() + _flag_left_out(args[0])
            raise click.UsageError(message, ctx) from None

    def invoke(self, ctx: click.Context) -> Any:
        try:
            return super().invoke(ctx)
        except LaunchError as error:
            click.echo(f"Error: {error}", err=True)
            ctx.exit(error.exit_status)
        except click.UsageError as error:
            raise click.UsageError(redact(error.format_message()), error.ctx) from None
        except KeyboardInterrupt:
            ctx.exit(130)


def _flag_left_out(word: str) -> str:
    """What to write, for an app or a configuration where a command was expected."""
    if word.endswith((".yaml", ".yml")):
        return f" To use this configuration: --config {word}"
    if word.endswith(".py") or ":" in word:
        return f" To start this app: --app {word}"
    return ""


def settings_options(command: Callable[..., Any]) -> Callable[..., Any]:
    """Give a command `--config` and a flag for every declared setting."""
    for declaration in reversed(list(DECLARATIONS.values())):
        command = _option(declaration)(command)
    path = click.Path(readable=False, path_type=Path)  # reading it says more
    config = click.option("-c", "--config", type=path, help=_CONFIG_HELP)
    return config(command)


_WITH_HELP = "More configurations: browser, docker, wait."
_CONFIG_HELP = (
    "The YAML file. Unset: flask-debuglaunch.yaml, config.yaml or config.yml of this folder."
)


def _option(declaration: Declaration) -> Callable[..., Any]:
    if declaration.off_flag or declaration.argv_only:
        flags = [declaration.flag + (f"/{declaration.off_flag}" if declaration.off_flag else "")]
        return click.option(
            *flags, declaration.name, is_flag=True, default=None, help=declaration.description
        )
    spelled = [one for one in (declaration.short_flag, declaration.flag) if one]
    kinds: dict[str, Any] = {"metavar": declaration.key}
    if declaration.bare_flag:
        kinds.update(is_flag=False, flag_value=declaration.bare_flag)
    if is_repeatable(declaration):
        kinds.update(multiple=True)
    return click.option(*spelled, declaration.name, help=declaration.description, **kinds)


@click.group(cls=LaunchGroup, context_settings={"help_option_names": ["--help"]})
@click.version_option(package_name="flask-debuglaunch")
def main() -> None:
    """Start a Flask app under any debugger, from one YAML, and say why.

    Without a command, `run` is meant: `python -m flask_debuglaunch --port 8000`.
    """


@main.command()
@settings_options
@click.pass_context
def run(ctx: click.Context, /, **flags: Any) -> None:
    """Start the app; the debugger and the reload follow from the settings."""
    from flask_debuglaunch import serving

    if serving.is_worker():
        sys.exit(serving.work())
    plan = _planner(ctx, flags)
    sys.exit(serving.serve(plan(), resolve=plan))


@main.command()
@click.argument("what", metavar="[KEY]", required=False)
@click.option("--json", "as_json", is_flag=True, help="Print JSON (stable, with a schema number).")
@settings_options
@click.pass_context
def explain(ctx: click.Context, /, what: str | None, as_json: bool, **flags: Any) -> None:
    """Show every setting with its origin, and every decision with its reason.

    KEY shows one alone: `explain reload`.
    """
    from flask_debuglaunch import explanation

    plan = _plan(ctx, flags)
    name = explanation.name_of(what, plan) if what else None
    if as_json:
        _print_json(explanation.as_json(plan, name))
    else:
        click.echo(explanation.as_text(plan, name))


@main.command()
@click.option("--force", is_flag=True, help="Replace the file if it is there.")
@click.option("--stdout", is_flag=True, help="Print it instead of writing it.")
def init(force: bool, stdout: bool) -> None:
    """Write a commented flask-debuglaunch.yaml for the app of this folder."""
    from flask_debuglaunch.configuration import starter_yaml
    from flask_debuglaunch.project_files import Change, apply, read

    folder = Path.cwd()
    text = starter_yaml.starter_yaml(starter_yaml.look_at_project(folder))
    if stdout:
        click.echo(text, nl=False)
        return
    starter_yaml.refuse_second(folder, force)
    files = starter_yaml.starter_files(text)
    apply([Change(name, read(folder / name), text) for name, text in files.items()], folder)
    click.echo(f"wrote {' and '.join(files)}")


@main.command()
def schema() -> None:
    """Print the JSON Schema (draft-07) of the YAML."""
    from flask_debuglaunch.configuration.json_schema import yaml_schema

    _print_json(yaml_schema())


@main.command()
@click.argument("names", metavar="[IDE]...", nargs=-1)
@click.option("--with", "extras", metavar="EXTRA,...", multiple=True, help=_WITH_HELP)
@click.option("--check", "mode", flag_value="check", help="Show what would change; then exit 1.")
@click.option("--diff", "mode", flag_value="diff", help="Only show what would change.")
@click.option("--stdout", "mode", flag_value="stdout", help="Only print the files.")
@click.option("--dry-run", "mode", flag_value="dry-run", help="Only say which files would change.")
@settings_options
@click.pass_context
def ide(
    ctx: click.Context,
    /,
    names: tuple[str, ...],
    extras: tuple[str, ...],
    mode: str | None,
    **flags: Any,
) -> None:
    """Write what IDEs need to debug the app of this folder: vscode, eclipse, pycharm, neovim, zed.

    Without an IDE, those that the folder is opened in. The files name the YAML, and the flags that
    are given here; the YAML stays the one place of all else. What is there already is changed
    entry by entry, the rest of it stays as it is.
    """
    from flask_debuglaunch.ides import change_report, generate_files

    config, given = _given(ctx, flags)
    generated = generate_files.generate(names, extras, Path.cwd(), config, given)
    if mode is None:
        generate_files.write(generated)
    click.echo(change_report.text(generated.changes, mode), nl=False)
    for note in generated.notes:
        click.echo(f"note: {redact(note)}", err=True)
    if mode == "check" and change_report.something_changes(generated.changes):
        ctx.exit(1)


@main.command()
@click.argument("place", metavar="[FILE[:LINE]]", required=False)
@click.option("--json", "as_json", is_flag=True, help="Print JSON (stable, with a schema number).")
@click.option("--strict", is_flag=True, help="Exit 1 for warnings too, not for errors alone.")
@click.option("-v", "--verbose", is_flag=True, help="Also say what is fine.")
@click.option("--fix", is_flag=True, help="Make the edits that are safe, and say which.")
@click.option("--dry-run", is_flag=True, help="With --fix: only show the edits.")
@click.option("--import-app", is_flag=True, help="Import the app too, in a process of its own.")
@settings_options
@click.pass_context
def doctor(
    ctx: click.Context,
    /,
    place: str | None,
    as_json: bool,
    strict: bool,
    verbose: bool,
    fix: bool,
    dry_run: bool,
    import_app: bool,
    **flags: Any,
) -> None:
    """Say why a breakpoint is not hit, and what to type to mend it.

    With FILE:LINE for that very line: `doctor shop/views.py:12`.
    """
    from flask_debuglaunch.doctor import doctor_report, examination

    if dry_run and not fix:
        raise click.UsageError("--dry-run goes with --fix: it shows what --fix would write", ctx)
    evidence = examination.gather(lambda: _plan(ctx, flags), _environ_of_user(ctx))
    diagnosis = examination.diagnose(evidence, place, import_app=import_app)
    if as_json:
        _print_json(doctor_report.as_json(diagnosis, place))
    else:
        click.echo(doctor_report.as_text(diagnosis, place, verbose=verbose))
    if fix:
        from flask_debuglaunch.ides import change_report, generate_files

        repairs = examination.repairs_of(diagnosis, evidence.folder)
        if not dry_run:
            generate_files.write(repairs)
        mode = "diff" if dry_run else None
        click.echo(change_report.text(repairs.changes, mode), nl=False, err=as_json)
    ctx.exit(doctor_report.exit_status(diagnosis, strict=strict))


def _print_json(value: Any) -> None:
    import json

    click.echo(json.dumps(value, indent=2))


def _plan(ctx: click.Context, flags: Mapping[str, Any]) -> Plan:
    return _planner(ctx, flags)()


def _planner(ctx: click.Context, flags: Mapping[str, Any]) -> Callable[[], Plan]:
    """What reads the files and decides: again whenever it is called, by the facts of now."""
    from flask_debuglaunch.detection import observe
    from flask_debuglaunch.plan import resolve

    config, given = _given(ctx, flags)
    environ = _environ_of_user(ctx)
    facts, folder = observe(environ), Path.cwd()
    return lambda: resolve(load_settings(config, given, environ, folder), facts)


def _given(ctx: click.Context, flags: Mapping[str, Any]) -> tuple[Path | None, dict[str, Given]]:
    """`--config`, and the flags that were given."""
    given = {name: raw for name, raw in flags.items() if raw not in (None, ())}
    config = given.pop("config", None)
    return config, {**_flags_of_flask(ctx), **given}


def _flags_of_flask(ctx: click.Context) -> dict[str, Given]:
    """`flask --app NAME debuglaunch`: Flask keeps that flag on its own context."""
    parent = ctx.find_root()
    app = getattr(parent.obj, "app_import_path", None)
    # FLASK_APP is in there too; it has an origin of its own.
    return {"app": app} if app and app != os.environ.get("FLASK_APP") else {}


def _environ_of_user(ctx: click.Context) -> dict[str, str]:
    """The environment, less what `flask debuglaunch` itself has just put into it."""
    environ = dict(os.environ)
    if ctx.find_root().command is not main:
        environ.pop("FLASK_RUN_FROM_CLI", None)
    return environ
