"""What completes the command line in a shell."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from enum import StrEnum
from typing import Annotated, Final

import typer
from typer.core import TyperGroup

from spotvortex.cli.completion import Completed, bash, completed, fish, zsh


class Shell(StrEnum):
    """The shells that a script can be had for."""

    BASH = "bash"
    ZSH = "zsh"
    FISH = "fish"


SCRIPTS: Final[Mapping[Shell, Callable[[Sequence[Completed]], str]]] = {
    Shell.BASH: bash,
    Shell.ZSH: zsh,
    Shell.FISH: fish,
}


def command(
    context: typer.Context,
    shell: Annotated[Shell, typer.Argument(help="Which shell the script is for.")],
) -> None:
    """Print a script that completes commands, options and their values."""
    group = context.find_root().command
    assert isinstance(group, TyperGroup)
    loaded = []
    for name in group.list_commands(context):
        found = group.get_command(context, name)
        if found is not None:
            loaded.append(completed(name, found))
    typer.echo(SCRIPTS[shell](loaded), nl=False)
