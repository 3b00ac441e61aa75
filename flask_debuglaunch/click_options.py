"""A flag for every declared setting, with what a shell completes it with."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import click
from click.shell_completion import CompletionItem

from flask_debuglaunch.configuration.command_line_flags import is_repeatable
from flask_debuglaunch.configuration.setting_types import (
    AppImport,
    Certificate,
    Editor,
    FilePath,
    Kind,
    Paths,
    Seconds,
)
from flask_debuglaunch.configuration.settings import DECLARATIONS, Declaration
from flask_debuglaunch.editor_links import EDITORS

Command = Callable[..., Any]
Completion = Callable[[click.Context, click.Parameter, str], list[CompletionItem]]

_CONFIG_HELP = (
    "The YAML file. Unset: flask-debuglaunch.yaml, config.yaml or config.yml of this folder."
)


def settings_options(command: Command) -> Command:
    """Give a command `--config` and a flag for every setting."""
    for declaration in reversed(list(DECLARATIONS.values())):
        command = _option(declaration)(command)
    path = click.Path(readable=False, path_type=Path)  # reading it says more
    config = click.option("-c", "--config", type=path, help=_CONFIG_HELP)
    return config(command)


def file_settings_options(command: Command) -> Command:
    """Give a command a flag for every setting that a YAML can hold."""
    for declaration in reversed(list(DECLARATIONS.values())):
        if not declaration.argv_only:
            command = _option(declaration)(command)
    return command


def completed_with(*words: str) -> Completion:
    """Complete with those of the words that begin as what is typed."""

    def complete(ctx: click.Context, param: click.Parameter, typed: str) -> list[CompletionItem]:  # noqa: ARG001
        return [CompletionItem(word) for word in words if word.startswith(typed.lower())]

    return complete


def completed_with_files(
    ctx: click.Context,  # noqa: ARG001
    param: click.Parameter,  # noqa: ARG001
    typed: str,
) -> list[CompletionItem]:
    return [CompletionItem(typed, type="file")]


def _option(declaration: Declaration) -> Callable[[Command], Command]:
    if declaration.is_switch:
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
    kinds.update(shell_complete=_completion_of(declaration.kind))
    return click.option(*spelled, declaration.name, help=declaration.description, **kinds)


def _completion_of(kind: Kind[Any]) -> Completion:
    if isinstance(kind, (AppImport, Certificate, FilePath, Paths)):
        return completed_with_files
    if isinstance(kind, Editor):
        return completed_with("auto", "off", *EDITORS)
    if isinstance(kind, Seconds):
        return completed_with("on", "off")
    return completed_with(*getattr(kind, "words", ()))
