"""The flags of the command line, one for every declared setting: as click's options, with what a
shell completes them with; their values; and the command line that gives settings again."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import click
from click.shell_completion import CompletionItem

from flask_debuglaunch.configuration.setting_types import (
    AppImport,
    Certificate,
    Editor,
    FilePath,
    PathMappings,
    Paths,
    Seconds,
    SettingType,
    not_fitting,
)
from flask_debuglaunch.configuration.settings import (
    DECLARATIONS,
    Declaration,
    Settings,
    values_of,
)
from flask_debuglaunch.configuration.value_origins import Origin, Value
from flask_debuglaunch.editor_links import LINKS_OF_EDITORS
from flask_debuglaunch.errors import LaunchError

FlagValue = bool | str | tuple[str, ...]
"""What click gives: a bool for an on/off flag, else its text, or texts where it is repeatable."""
ClickCommand = Callable[..., Any]
ShellCompletion = Callable[[click.Context, click.Parameter, str], list[CompletionItem]]

_CONFIG_HELP = (
    "The YAML file. Unset: flask-debuglaunch.yaml, config.yaml or config.yml of this folder."
)


def settings_options(command: ClickCommand) -> ClickCommand:
    """Give a command `--config` and a flag for every setting."""
    for declaration in reversed(list(DECLARATIONS.values())):
        command = _click_option(declaration)(command)
    config_path = click.Path(readable=False, path_type=Path)  # reading it says more
    config_option = click.option("-c", "--config", type=config_path, help=_CONFIG_HELP)
    return config_option(command)


def file_settings_options(command: ClickCommand) -> ClickCommand:
    """Give a command a flag for every setting that a YAML can hold."""
    for declaration in reversed(list(DECLARATIONS.values())):
        if not declaration.argv_only:
            command = _click_option(declaration)(command)
    return command


def completed_with(*words: str) -> ShellCompletion:
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


def _click_option(declaration: Declaration) -> Callable[[ClickCommand], ClickCommand]:
    if declaration.is_switch:
        on_off_flag = "/".join(filter(None, (declaration.flag, declaration.off_flag)))
        return click.option(
            on_off_flag, declaration.name, is_flag=True, default=None, help=declaration.description
        )
    flag_names = [name for name in (declaration.short_flag, declaration.flag) if name]
    option_attributes: dict[str, Any] = {"metavar": declaration.key}
    if declaration.bare_flag:
        option_attributes.update(is_flag=False, flag_value=declaration.bare_flag)
    if is_repeatable(declaration):
        option_attributes.update(multiple=True)
    option_attributes.update(shell_complete=_completion_of_type(declaration.type))
    return click.option(
        *flag_names, declaration.name, help=declaration.description, **option_attributes
    )


def _completion_of_type(setting_type: SettingType[Any]) -> ShellCompletion:
    if isinstance(setting_type, (AppImport, Certificate, FilePath, Paths)):
        return completed_with_files
    if isinstance(setting_type, Editor):
        return completed_with("auto", "off", *LINKS_OF_EDITORS)
    if isinstance(setting_type, Seconds):
        return completed_with("on", "off")
    return completed_with(*getattr(setting_type, "words", ()))


# The values of the flags


def read_argv(flags: Mapping[str, FlagValue], base: Path) -> dict[str, Value[Any]]:
    """The settings that flags gave: a bool for an on/off flag, else its text or texts.

    Raises LaunchError, naming the flag, for a text that does not fit.
    """
    return {
        name: _value_of_flag(DECLARATIONS[name], flag_value, base)
        for name, flag_value in flags.items()
    }


def to_argv(settings: Settings) -> list[str]:
    """The command line that gives these settings again; defaults are left out.

    The inverse of parsing: reading the result yields the same values.
    """
    argv = ["--config", str(settings.config_file)] if settings.config_file else []
    for declaration, setting in values_of(settings):
        if not setting.is_default:
            argv += _flag_with_value(declaration, setting.value)
    return argv


def is_repeatable(declaration: Declaration) -> bool:
    """Lists and mappings may be given piece by piece, a flag each."""
    return isinstance(declaration.type, (Paths, PathMappings))


def _flag_with_value(declaration: Declaration, setting_value: Any) -> list[str]:
    if isinstance(setting_value, bool) and declaration.is_switch:
        flag = declaration.flag if setting_value else declaration.off_flag
        return [flag] if flag else []
    if setting_value is None and declaration.off_flag:
        return []  # "auto" has no flag: it is what no flag means
    flag_text = declaration.type.to_text(setting_value)
    return [f"{declaration.flag}={flag_text}"] if flag_text else []


def _value_of_flag(declaration: Declaration, flag_value: FlagValue, base: Path) -> Value[Any]:
    if isinstance(flag_value, bool):
        flag = declaration.flag if flag_value else declaration.off_flag or declaration.flag
        return Value(flag_value, Origin.flag(flag))
    origin = Origin.flag(declaration.flag)
    if isinstance(flag_value, str):
        return Value(_parsed_flag(declaration, flag_value, base), origin)
    return Value(
        tuple(
            item for flag_text in flag_value for item in _parsed_flag(declaration, flag_text, base)
        ),
        origin,
    )


def _parsed_flag(declaration: Declaration, flag_text: str, base: Path) -> Any:
    try:
        return declaration.type.from_text(flag_text, base)
    except ValueError:
        raise LaunchError(
            f"argv:{declaration.flag}: {not_fitting(declaration.type, flag_text)}"
        ) from None
