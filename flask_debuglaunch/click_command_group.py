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

DEFAULT = "run"
_OWN_FLAGS = ("--help", "--version")
_ARGUMENTS = "flask_debuglaunch.arguments"


class LaunchCommand(click.Command):
    """A command whose --help ends with examples, as they are typed for this very program."""

    def __init__(self, *args: Any, examples: Sequence[str] = (), **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.examples = examples

    def format_epilog(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        _format_examples(self.examples, ctx.parent or ctx, formatter)


class LaunchGroup(click.Group):
    """`run` is the command that is meant where none is named; LaunchErrors end here."""

    command_class = LaunchCommand

    def __init__(self, *args: Any, examples: Sequence[str] = (), **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.examples = examples

    def parse_args(self, ctx: click.Context, args: list[str]) -> list[str]:
        ctx.meta[_ARGUMENTS] = list(args)
        return super().parse_args(ctx, self._with_command_in_front(ctx, args))

    def _with_command_in_front(self, ctx: click.Context, args: list[str]) -> list[str]:
        """Flags may stand in front of a command: `--debug explain` is `explain --debug`."""
        if not args:
            return [] if ctx.resilient_parsing else [DEFAULT]
        if args[0] in _OWN_FLAGS or not args[0].startswith("-"):
            return args
        flags = len(args) - len(self._without_flags(ctx, args))
        if args[flags:] and args[flags] in self.commands:
            return [args[flags], *args[:flags], *args[flags + 1 :]]
        return [DEFAULT, *args]

    def _without_flags(self, ctx: click.Context, args: list[str]) -> list[str]:
        """The arguments from the first one that is neither a flag nor a flag's value."""
        default = self.commands[DEFAULT]
        parser = default.make_parser(click.Context(default, parent=ctx))
        parser.allow_interspersed_args = False
        parser.ignore_unknown_options = True  # another command may have them
        try:
            _, rest, _ = parser.parse_args(list(args))
        except click.UsageError:
            return []  # the default command says what is wrong
        return list(itertools.dropwhile(lambda one: one.startswith("-"), rest))

    def resolve_command(
        self, ctx: click.Context, args: list[str]
    ) -> tuple[str | None, click.Command | None, list[str]]:
        try:
            return super().resolve_command(ctx, args)
        except click.UsageError:
            known = _flag_left_out(args[0]) or did_you_mean(args[0], self.commands, ".")
            raise click.UsageError(f"No such command {args[0]!r}{known}", ctx) from None

    def shell_complete(self, ctx: click.Context, incomplete: str) -> list[CompletionItem]:
        found = super().shell_complete(ctx, incomplete)
        if incomplete.startswith("-"):  # of the command that need not be named
            default = self.commands[DEFAULT]
            found += default.shell_complete(click.Context(default, parent=ctx), incomplete)
        return found

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
        _format_examples(self.examples, ctx, formatter)


def explaining_command(ctx: click.Context) -> str:
    """The command line that explains what this one, of `run`, starts."""
    group = ctx.parent or ctx
    given: list[str] = group.meta.get(_ARGUMENTS, [])
    flags = given[1:] if given[:1] == [ctx.info_name] else given
    # `flask --app shop debuglaunch`: those flags stand in front of our name.
    typed = sys.argv[1:]
    front = typed[: len(typed) - len(given)] if typed[len(typed) - len(given) :] == given else []
    root = ctx.find_root().info_name or ""
    name = f"{root} {_shown(front)}" if front else group.command_path
    return f"{name} explain {_shown(flags)}".rstrip()


def _shown(arguments: Sequence[str]) -> str:
    """As they are typed; a secret is taken out before quoting, which would hide where it ends."""
    return shlex.join(map(redact, arguments))


def _flag_left_out(word: str) -> str:
    """What to write, for an app or a configuration where a command was expected."""
    if word.endswith((".yaml", ".yml")):
        return f". To use this configuration: --config {word}"
    if word.endswith(".py") or ":" in word:
        return f". To start this app: --app {word}"
    return ""


def _format_examples(
    examples: Sequence[str], group: click.Context, formatter: click.HelpFormatter
) -> None:
    if examples:
        with formatter.section("Examples"):
            for example in examples:
                formatter.write(f"{'':{formatter.current_indent}}{group.command_path} {example}\n")
