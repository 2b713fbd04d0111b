"""Options that every command of a kind has, which no command declares by itself.

Comes in: what was typed. Goes out: two values for `options` and `progress`. May not know a command.
"""

from __future__ import annotations

from contextvars import ContextVar
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Final

import typer
from typer.main import get_command

if TYPE_CHECKING:
    from typer._click import Command as ClickCommand

KUBECONFIG: Final[ContextVar[str]] = ContextVar("KUBECONFIG", default="")
"""The kubeconfig that was typed, "" where none was."""

QUIET: Final[ContextVar[bool]] = ContextVar("QUIET", default=False)
"""Nothing but the answer and what went wrong is told."""

OF_A_CLUSTER: Final = "context"
"""The option by which a command that asks a cluster is known."""


def _say_kubeconfig(path: Path) -> None:
    KUBECONFIG.set("" if path == Path() else str(path))


def _say_quiet(wanted: bool) -> None:  # noqa: FBT001 - typer's own signature
    QUIET.set(wanted)


def _declared(
    *,
    kubeconfig: Annotated[
        Path,
        typer.Option(
            "--kubeconfig",
            help="The kubeconfig; else KUBECONFIG, else the usual one.",
            callback=_say_kubeconfig,
            expose_value=False,
            show_default=False,
        ),
    ] = Path(),
    quiet: Annotated[
        bool,
        typer.Option(
            "--quiet",
            "-q",
            help="Only the answer, and what went wrong.",
            callback=_say_quiet,
            expose_value=False,
        ),
    ] = False,
) -> None:
    """Declare both; callbacks have taken what was typed when it is called."""
    del kubeconfig, quiet


def with_common_options(command: ClickCommand) -> ClickCommand:
    """Add the options to a command that takes some already."""
    if not any(param.param_type_name == "option" for param in command.params):
        return command
    holder = typer.Typer(add_completion=False)
    holder.command()(_declared)
    asks = any(param.name == OF_A_CLUSTER for param in command.params)
    added = [p for p in get_command(holder).params if asks or p.name != "kubeconfig"]
    command.params += added
    return command
