"""The list of commands, and how a command ends.

Comes in: arguments. Goes out: an exit code: 0 well, 1 a fault of SpotVortex, 2 something that the
user has to set right, and is told of. A command's module is imported only when that command is
typed, so that `--help` needs none of what runs. Every setting is a variable of the environment; see
`settings`.
"""

from __future__ import annotations

import sys
from collections.abc import Callable
from dataclasses import dataclass
from difflib import get_close_matches
from importlib import import_module
from io import TextIOWrapper
from typing import TYPE_CHECKING, Annotated, Any, Final

import typer
from typer._click.exceptions import UsageError
from typer.core import TyperCommand, TyperGroup, TyperOption
from typer.main import get_command

from spotvortex import __version__
from spotvortex.cli.common import with_common_options
from spotvortex.errors import SpotVortexError

if TYPE_CHECKING:
    from typer._click import Command as ClickCommand
    from typer._click import Context, HelpFormatter


@dataclass(frozen=True, slots=True, kw_only=True)
class Command:
    """A command: the module in `cli.commands` whose function `command` it is, and its summary.

    Attributes:
        name: what is typed.
        module: the module's name, where it is not the same.
        summary: one line for the list of commands.
    """

    name: str
    summary: str
    module: str = ""

    def load(self) -> Callable[..., None]:
        """Import the module and return its function."""
        module = import_module(f"spotvortex.cli.commands.{self.module or self.name}")
        function: Callable[..., None] = module.command
        return function


COMMANDS: Final = (
    Command(name="run", summary="Decide all day; what may be done with it is SPOTVORTEX_MODE."),
    Command(name="assess", summary="Look at the cluster once: what to gain, what would break."),
    Command(name="doctor", summary="Look at the cluster once: what blocks each node's drain."),
    Command(name="check", summary="Look at settings, bundle, prices, rights: what is missing."),
    Command(name="uninstall", summary="List what the daemon has left behind, or remove it."),
    Command(name="top", summary="Watch every pool of a running daemon."),
    Command(name="ledger", summary="Say what was spent and saved, by pool or by time."),
    Command(name="pools", summary="Say of every pool of a running daemon how it stands."),
    Command(name="explain", summary="Say what was decided and why, from its record."),
    Command(name="why-not", summary="Say which gates would refuse an action.", module="why_not"),
    Command(name="replay", summary="Make every decision of a log again, and compare."),
    Command(name="what-if", summary="Decide a log again under other settings.", module="what_if"),
    Command(name="history", summary="Write the cluster's own history as training data: export."),
    Command(name="simulate", summary="Play random episodes in which much goes wrong."),
    Command(name="evaluate", summary="Judge the policy against Karpenter alone, in many worlds."),
    Command(name="backtest", summary="Replay prices and capacity over a cluster, by policy."),
    Command(name="snapshot", summary="Write down what a backtest needs to know of the cluster."),
    Command(name="prices", summary="Fetch prices from AWS into a price file: fetch."),
    Command(name="karpenter", summary="Print a pair of NodePools made of a mixed one: split."),
    Command(name="ca", summary="Print priorities of node groups for Cluster Autoscaler."),
    Command(name="aws", summary="Print what AWS has to allow, and a queue: policies, resources."),
    Command(name="completion", summary="Print what completes these words: bash, zsh, fish."),
    Command(name="model", summary="Try a model bundle before it is used: check."),
    Command(name="version", summary="Print the version."),
)
"""Every command, in the order of the help."""


def _untyped(help_option: TyperOption | None) -> TyperOption | None:
    """Let False say that `--help` was not typed: for None, typer asks pydantic what it may be."""
    if help_option is not None:
        help_option.default = False
    return help_option


class LightCommand(TyperCommand):
    """A command that needs no pydantic before it has an option of its own."""

    def get_help_option(self, ctx: Context) -> TyperOption | None:
        """Return `--help`."""
        return _untyped(super().get_help_option(ctx))

    def parse_args(self, ctx: Context, args: list[str]) -> list[str]:
        """Read what was typed; what is wrong with a word is told without Python's own."""
        try:
            return super().parse_args(ctx, args)
        except UsageError as error:
            error.message = error.message.replace("Value error, ", "")
            raise


class LazyGroup(TyperGroup):
    """A group of commands that imports one only where it is typed."""

    def get_help_option(self, ctx: Context) -> TyperOption | None:
        """Return `--help`."""
        return _untyped(super().get_help_option(ctx))

    def list_commands(self, ctx: Context) -> list[str]:  # noqa: ARG002 - click's own signature
        """Return the names in the order of the table."""
        return [command.name for command in COMMANDS]

    def get_command(self, ctx: Context, cmd_name: str) -> ClickCommand | None:  # noqa: ARG002
        """Import a command, None where there is none of that name."""
        found = next((command for command in COMMANDS if command.name == cmd_name), None)
        if found is None:
            return None
        alone = typer.Typer(**_FORM)
        alone.command(name=found.name, cls=LightCommand)(found.load())
        return with_common_options(get_command(alone))

    def resolve_command(
        self, ctx: Context, args: list[str]
    ) -> tuple[str | None, ClickCommand | None, list[str]]:
        """Find the command that is typed; where there is none, name those that are near."""
        try:
            return super().resolve_command(ctx, args)
        except UsageError as error:
            near = get_close_matches(args[0], [command.name for command in COMMANDS])
            if near:
                error.message = f"{error.message.rstrip('.')}; did you mean {' or '.join(near)}?"
            raise

    def format_commands(self, ctx: Context, formatter: HelpFormatter) -> None:  # noqa: ARG002
        """Write the table without importing anything."""
        with formatter.section("Commands"):
            formatter.write_dl([(command.name, command.summary) for command in COMMANDS])


_FORM: Final[dict[str, Any]] = {
    "add_completion": False,
    "pretty_exceptions_enable": False,
    "rich_markup_mode": None,
    "context_settings": {"help_option_names": ["-h", "--help"]},
}

cli = typer.Typer(
    help="How much of each workload pool may run on Spot: decided, proven and explained.",
    no_args_is_help=True,
    cls=LazyGroup,
    **_FORM,
)


def _say_version(wanted: bool) -> None:  # noqa: FBT001 - typer's own signature
    if wanted:
        typer.echo(__version__)
        raise typer.Exit


@cli.callback()
def _every_command(
    *,
    version: Annotated[
        bool,
        typer.Option("--version", help="Print the version.", callback=_say_version, is_eager=True),
    ] = False,
) -> None:
    """How much of each workload pool may run on Spot: decided, proven and explained."""


def main() -> None:
    """Run the command line; what the user can set right is told in one line, not a traceback.

    A sign that the terminal's character set lacks is shown as `?`.
    """
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, TextIOWrapper):
            stream.reconfigure(errors="replace")
    sys.exit(_guarded(cli))


def _guarded(command: Callable[[], None]) -> int:
    try:
        command()
    except SpotVortexError as error:
        sys.stderr.write(f"spotvortex: {error}\n")
        return 2
    return 0
