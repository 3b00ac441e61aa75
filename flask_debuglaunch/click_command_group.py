"""The group of our commands, and how it differs from click's: which command is meant where none is
named, how --help shows examples, and how an error ends the program."""

from __future__ import annotations

import itertools
import shlex
import sys
from collections.abc import Sequence
from typing import Any

import click
from click.shell_completion import CompletionItem

from flask_debuglaunch.errors import LaunchError, did_you_mean
from flask_debuglaunch.redaction import redact
from flask_debuglaunch.terminal_messages import show_error

DEFAULT_COMMAND = "run"
_FLAGS_OF_THE_GROUP = ("--help", "--version")
_ARGUMENTS_IN_CONTEXT = "flask_debuglaunch.arguments"


class LaunchCommand(click.Command):
    """A command whose --help ends with examples, as they are typed for this very program."""

    def __init__(self, *args: Any, examples: Sequence[str] = (), **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.examples = examples

    def format_epilog(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        _write_examples_section(self.examples, ctx.parent or ctx, formatter)


class LaunchGroup(click.Group):
    """`run` is the command that is meant where none is named; LaunchErrors end here."""

    command_class = LaunchCommand

    def __init__(self, *args: Any, examples: Sequence[str] = (), **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.examples = examples

    def parse_args(self, ctx: click.Context, args: list[str]) -> list[str]:
        ctx.meta[_ARGUMENTS_IN_CONTEXT] = list(args)
        return super().parse_args(ctx, self._with_command_in_front(ctx, args))

    def _with_command_in_front(self, ctx: click.Context, args: list[str]) -> list[str]:
        """Flags may stand in front of a command: `--debug explain` is `explain --debug`."""
        if not args:
            return [] if ctx.resilient_parsing else [DEFAULT_COMMAND]
        if args[0] in _FLAGS_OF_THE_GROUP or not args[0].startswith("-"):
            return args
        flag_count = len(args) - len(self._from_first_word(ctx, args))
        if args[flag_count:] and args[flag_count] in self.commands:
            return [args[flag_count], *args[:flag_count], *args[flag_count + 1 :]]
        return [DEFAULT_COMMAND, *args]

    def _from_first_word(self, ctx: click.Context, args: list[str]) -> list[str]:
        """The arguments from the first one that is neither a flag nor a flag's value."""
        default_command = self.commands[DEFAULT_COMMAND]
        parser = default_command.make_parser(click.Context(default_command, parent=ctx))
        parser.allow_interspersed_args = False
        parser.ignore_unknown_options = True  # another command may have them
        try:
            _, remaining, _ = parser.parse_args(list(args))
        except click.UsageError:
            return []  # the default command says what is wrong
        return list(itertools.dropwhile(lambda word: word.startswith("-"), remaining))

    def resolve_command(
        self, ctx: click.Context, args: list[str]
    ) -> tuple[str | None, click.Command | None, list[str]]:
        try:
            return super().resolve_command(ctx, args)
        except click.UsageError:
            hint = _hint_at_flag_left_out(args[0]) or did_you_mean(args[0], self.commands, ".")
            raise click.UsageError(f"No such command {args[0]!r}{hint}", ctx) from None

    def shell_complete(self, ctx: click.Context, incomplete: str) -> list[CompletionItem]:
        completions = super().shell_complete(ctx, incomplete)
        if incomplete.startswith("-"):  # of the command that need not be named
            default_command = self.commands[DEFAULT_COMMAND]
            completions += default_command.shell_complete(
                click.Context(default_command, parent=ctx), incomplete
            )
        return completions

    def invoke(self, ctx: click.Context) -> Any:
        try:
            return super().invoke(ctx)
        except LaunchError as error:
            show_error(str(error))
            ctx.exit(error.exit_status)
        except click.UsageError as error:
            raise click.UsageError(redact(error.format_message()), error.ctx) from None
        except KeyboardInterrupt:
            ctx.exit(130)

    def format_epilog(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        _write_examples_section(self.examples, ctx, formatter)


def explaining_command(ctx: click.Context) -> str:
    """The command line that explains what this one, of `run`, starts."""
    group = ctx.parent or ctx
    group_arguments: list[str] = group.meta.get(_ARGUMENTS_IN_CONTEXT, [])
    flags = group_arguments[1:] if group_arguments[:1] == [ctx.info_name] else group_arguments
    # `flask --app shop debuglaunch`: those flags stand in front of our name.
    argv = sys.argv[1:]
    group_at = len(argv) - len(group_arguments)
    before_group = argv[:group_at] if argv[group_at:] == group_arguments else []
    command_path = group.command_path
    if before_group:
        command_path = f"{ctx.find_root().info_name or ''} {_as_typed(before_group)}"
    return f"{command_path} explain {_as_typed(flags)}".rstrip()


def _as_typed(arguments: Sequence[str]) -> str:
    """As they are typed; a secret is taken out before quoting, which would hide where it ends."""
    return shlex.join(map(redact, arguments))


def _hint_at_flag_left_out(word: str) -> str:
    """What to write, for an app or a configuration where a command was expected."""
    if word.endswith((".yaml", ".yml")):
        return f". To use this configuration: --config {word}"
    if word.endswith(".py") or ":" in word:
        return f". To start this app: --app {word}"
    return ""


def _write_examples_section(
    examples: Sequence[str], group: click.Context, formatter: click.HelpFormatter
) -> None:
    if examples:
        with formatter.section("Examples"):
            for example in examples:
                formatter.write(f"{'':{formatter.current_indent}}{group.command_path} {example}\n")
