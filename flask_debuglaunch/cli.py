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

from flask_debuglaunch.click_command_group import LaunchGroup, explaining_command
from flask_debuglaunch.configuration.command_line_flags import (
    FlagValue,
    completed_with,
    completed_with_files,
    file_settings_options,
    read_argv,
    settings_options,
)
from flask_debuglaunch.configuration.load_settings import load_settings
from flask_debuglaunch.deployment.deployed_app import DEPLOYED_APP_SETTINGS
from flask_debuglaunch.terminal_messages import show_note

if TYPE_CHECKING:
    from click.shell_completion import CompletionItem

    from flask_debuglaunch.plan import Plan


_WITH_OPTION_HELP = "More configurations: browser, docker, wait."


def _complete_keys(
    ctx: click.Context,
    param: click.Parameter,
    typed: str,
) -> list[CompletionItem]:
    from flask_debuglaunch.explain_report import EXPLAINED_KEYS

    return completed_with(*EXPLAINED_KEYS)(ctx, param, typed)


def _complete_ides(ctx: click.Context, param: click.Parameter, typed: str) -> list[CompletionItem]:
    from flask_debuglaunch.ides.generate_files import IDE_OF

    return completed_with(*IDE_OF)(ctx, param, typed)


@click.group(
    cls=LaunchGroup,
    context_settings={"help_option_names": ["--help"]},
    examples=["--debug --debug-with vscode", "explain reload", "ide vscode --debug", "init"],
)
@click.version_option(package_name="flask-debuglaunch")
def main() -> None:
    """Start a Flask app under any debugger, from one YAML, and say why.

    Without a command, `run` is meant. COMMAND --help shows the flags of each.
    """


@main.command(examples=["--debug", "--debug --debug-with vscode --app shop.web:app"])
@settings_options
@click.pass_context
def run(ctx: click.Context, /, **flags: Any) -> None:
    """Start the app, its debugger and the reload."""
    from flask_debuglaunch.serving.child_process_main import is_child, run_child

    if is_child():
        sys.exit(run_child())
    from flask_debuglaunch.serving.serve import serve

    plan = _planner(ctx, flags, start_again=True)
    sys.exit(serve(plan(), resolve_plan=plan, explain_command=explaining_command(ctx)))


@main.command(examples=["explain", "explain reload --debug-with pycharm"])
@click.argument("explained_key", metavar="[KEY]", required=False, shell_complete=_complete_keys)
@click.option("--all", "defaults", is_flag=True, help="Show the defaults, too.")
@click.option("--json", "as_json", is_flag=True, help="Print JSON (stable, with a schema number).")
@settings_options
@click.pass_context
def explain(
    ctx: click.Context, /, explained_key: str | None, as_json: bool, defaults: bool, **flags: Any
) -> None:
    """Show what was given, what follows from it, and why it is so.

    KEY shows one setting or decision alone. JSON always has all of them.
    """
    from flask_debuglaunch import explain_report
    from flask_debuglaunch.launcher_notes import notes_of_launchers

    plan = _plan(ctx, flags)
    setting_name = explain_report.name_of(explained_key) if explained_key else None
    launcher_notes = notes_of_launchers(Path.cwd())
    if as_json:
        _print_json(explain_report.as_json(plan, setting_name, launcher_notes))
    else:
        click.echo(explain_report.as_text(plan, setting_name, launcher_notes, defaults=defaults))


@main.command(examples=["init", "init --debug-with vscode --app shop.web:app"])
@click.option("--force", is_flag=True, help="Replace the file if it is there.")
@click.option("--stdout", is_flag=True, help="Print it instead of writing it.")
@file_settings_options
@click.pass_context
def init(ctx: click.Context, /, force: bool, stdout: bool, **flags: Any) -> None:
    """Write a commented YAML for the app of this folder.

    What the flags say is written into it; the rest stands there as comments.
    """
    from flask_debuglaunch.app_in_source_files import find_app_in_source_files
    from flask_debuglaunch.atomic_file_changes import FileChange, apply_changes, read_text
    from flask_debuglaunch.configuration import starter_yaml

    folder = Path.cwd()
    _, given_flags = _config_and_flags(ctx, flags)
    project = find_app_in_source_files(folder)
    yaml_text = starter_yaml.starter_yaml(project, read_argv(given_flags, Path()))
    if stdout:
        _print_bytes_of(yaml_text)
        return
    starter_yaml.refuse_second(folder, force)
    starter_yaml.refuse_above_the_app(folder, project, given_flags)
    starter_texts = starter_yaml.starter_files(yaml_text)
    apply_changes(
        [FileChange(name, read_text(folder / name), text) for name, text in starter_texts.items()],
        folder,
    )
    click.echo(f"wrote {' and '.join(starter_texts)}")
    program = (ctx.parent or ctx).command_path
    is_app_known = project.app or "app" in given_flags
    naming_the_app = "" if is_app_known else f"name the app in {starter_yaml.STARTER_NAME}; "
    show_note(
        f"next: {naming_the_app}`{program}` starts it, `{program} ide` writes the IDE's files"
    )


@main.command()
def schema() -> None:
    """Print the JSON Schema of the YAML."""
    from flask_debuglaunch.configuration.json_schema import yaml_schema

    _print_json(yaml_schema())


@main.command(examples=["ide vscode --debug", "ide pycharm eclipse", "ide vscode --diff"])
@click.argument("ide_names", metavar="[IDE]...", nargs=-1, shell_complete=_complete_ides)
@click.option("--with", "extras", metavar="EXTRA,...", multiple=True, help=_WITH_OPTION_HELP)
@click.option("--check", "mode", flag_value="check", help="Show what would change; then exit 1.")
@click.option("--diff", "mode", flag_value="diff", help="Only show what would change.")
@click.option("--stdout", "mode", flag_value="stdout", help="Only print the files.")
@click.option("--dry-run", "mode", flag_value="dry-run", help="Only say which files would change.")
@settings_options
@click.pass_context
def ide(
    ctx: click.Context,
    /,
    ide_names: tuple[str, ...],
    extras: tuple[str, ...],
    mode: str | None,
    **flags: Any,
) -> None:
    """Write the files that make an IDE's Debug button work.

    IDE: vscode (cursor, windsurf, vscodium), pycharm (intellij), eclipse (pydev, liclipse), zed,
    neovim; without one, those that the folder is opened in, or the one of this terminal. The files
    name the YAML, and the flags that are given here; the YAML stays the one place of all else.
    What is there already is changed entry by entry, the rest of it stays as it is.
    """
    from flask_debuglaunch.atomic_file_changes import changes_as_text, something_changes
    from flask_debuglaunch.ides import generate_files

    config, given_flags = _config_and_flags(ctx, flags)
    generated = generate_files.generate(ide_names, extras, Path.cwd(), config, given_flags)
    if mode is None:
        generate_files.write(generated)
    _print_bytes_of(changes_as_text(generated.changes, mode))
    for note in generated.notes:
        show_note(note)
    for step in generated.next_steps if mode is None else ():
        show_note(f"next: {step}")
    if mode == "check" and something_changes(generated.changes):
        ctx.exit(1)


@main.command(examples=["doctor", "doctor shop/views.py:12 --debug-with vscode"])
@click.argument(
    "place", metavar="[FILE[:LINE]]", required=False, shell_complete=completed_with_files
)
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
    from flask_debuglaunch.doctor import findings, run_checks
    from flask_debuglaunch.doctor.evidence import gather_evidence

    if dry_run and not fix:
        raise click.UsageError("--dry-run goes with --fix: it shows what --fix would write", ctx)
    evidence = gather_evidence(lambda: _plan(ctx, flags), _environ_of_user(ctx))
    diagnosis = run_checks.diagnose(evidence, place, import_app=import_app)
    if as_json:
        _print_json(findings.as_json(diagnosis, place))
    else:
        click.echo(findings.as_text(diagnosis, place, verbose=verbose))
    if fix:
        from flask_debuglaunch.atomic_file_changes import changes_as_text
        from flask_debuglaunch.ides import generate_files

        repairs = run_checks.repairs_of(diagnosis, evidence.folder)
        if not dry_run:
            generate_files.write(repairs)
        mode = "diff" if dry_run else None
        click.echo(changes_as_text(repairs.changes, mode), nl=False, err=as_json)
    ctx.exit(findings.exit_status(diagnosis, strict=strict))


def _print_json(value: Any) -> None:
    import json

    _print_bytes_of(json.dumps(value, indent=2) + "\n")


def _print_bytes_of(text: str) -> None:
    """The bytes of a file: UTF-8 and its own line ends, whatever the system would make of them."""
    click.echo(text.encode("utf-8", "surrogateescape"), nl=False)


def _plan(ctx: click.Context, flags: Mapping[str, Any]) -> Plan:
    return _planner(ctx, flags)()


def _planner(
    ctx: click.Context, flags: Mapping[str, Any], *, start_again: bool = False
) -> Callable[[], Plan]:
    """What reads the files and decides: again whenever it is called, by the facts of now.

    start_again: where the flags name an account or a service, be that from here on.
    """
    from flask_debuglaunch.detect_environment import observe
    from flask_debuglaunch.plan import resolve

    config, given_flags = _config_and_flags(ctx, flags)
    environ = _environ_of_user(ctx)
    facts, deployed = observe(environ), None
    if given_flags.keys() & DEPLOYED_APP_SETTINGS:
        from flask_debuglaunch.deployment.run_as_account import as_deployed

        account = as_deployed(given_flags, environ, facts, start_again=start_again)
        facts, deployed, environ = account.facts, account.deployed, _environ_of_user(ctx)
    folder = Path.cwd()
    environment_origins = deployed.environment_origins if deployed else {}
    return lambda: resolve(
        load_settings(config, given_flags, environ, folder, origins=environment_origins),
        facts,
        deployed,
    )


def _config_and_flags(
    ctx: click.Context, flags: Mapping[str, Any]
) -> tuple[Path | None, dict[str, FlagValue]]:
    """`--config`, and the flags that were given."""
    given_flags = {name: raw for name, raw in flags.items() if raw not in (None, ())}
    config = given_flags.pop("config", None)
    return config, {**_app_flag_of_flask(ctx), **given_flags}


def _app_flag_of_flask(ctx: click.Context) -> dict[str, FlagValue]:
    """`flask --app NAME debuglaunch`: Flask keeps that flag on its own context."""
    flask_context = ctx.find_root()
    app = getattr(flask_context.obj, "app_import_path", None)
    # FLASK_APP is in there too; it has an origin of its own.
    return {"app": app} if app and app != os.environ.get("FLASK_APP") else {}


def _environ_of_user(ctx: click.Context) -> dict[str, str]:
    """The environment, less what `flask debuglaunch` itself has just put into it."""
    environ = dict(os.environ)
    if ctx.find_root().command is not main:
        environ.pop("FLASK_RUN_FROM_CLI", None)
    return environ
