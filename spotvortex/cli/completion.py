"""Completion of the command line in a shell, made from the parser.

Comes in: commands as the parser has them. Goes out: a script, which asks nobody while a person
types. May not run a command.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from enum import Enum
from pathlib import Path
from typing import TYPE_CHECKING, Final

from typer.core import TyperArgument, TyperOption

if TYPE_CHECKING:
    from typer._click import Command as ClickCommand
    from typer._click import Parameter

PROGRAM: Final = "spotvortex"


@dataclass(frozen=True, slots=True)
class Completable:
    """One option or argument.

    Attributes:
        names: `-o` and `--output`; none of an argument.
        values: what may follow, where that is known.
        takes_value: something follows.
        is_path: what follows is a file or a folder.
        help: what it is for.
    """

    names: tuple[str, ...]
    values: tuple[str, ...]
    takes_value: bool
    is_path: bool
    help: str


@dataclass(frozen=True, slots=True)
class Completed:
    """One command with all that may be typed behind it.

    Attributes:
        name: what is typed.
        summary: one line.
        words: its options and arguments.
    """

    name: str
    summary: str
    words: tuple[Completable, ...]


def completed(name: str, command: ClickCommand) -> Completed:
    """Read a command of the parser."""
    summary = (command.help or "").partition("\n")[0]
    return Completed(name, summary, tuple(map(_words, command.params)))


def _words(param: Parameter) -> Completable:
    assert isinstance(param, (TyperOption, TyperArgument))
    kind = param.type_descriptor.annotation
    is_enum = isinstance(kind, type) and issubclass(kind, Enum)
    return Completable(
        names=tuple(param.opts) if isinstance(param, TyperOption) else (),
        values=tuple(str(member.value) for member in kind) if is_enum else (),
        takes_value=not (isinstance(param, TyperOption) and param.is_flag),
        is_path=kind is Path,
        help=param.help or "",
    )


BASH: Final = """\
# Completion of {program}; `source <({program} completion bash)`
_{program}() {{
  local cur="${{COMP_WORDS[COMP_CWORD]}}" prev="${{COMP_WORDS[COMP_CWORD-1]}}" words=""
  COMPREPLY=()
  if [ "$COMP_CWORD" -eq 1 ]; then
    COMPREPLY=($(compgen -W "{commands} --help --version" -- "$cur"))
    return
  fi
  case "${{COMP_WORDS[1]}} $prev" in
{values}
  esac
  case "${{COMP_WORDS[1]}}" in
{options}
  esac
  COMPREPLY=($(compgen -W "$words" -- "$cur"))
}}
complete -F _{program} {program}
"""

ZSH: Final = """\
#compdef {program}
# Completion of {program}; `source <({program} completion zsh)`
autoload -U +X bashcompinit && bashcompinit
"""


def bash(commands: Sequence[Completed]) -> str:
    """Return the script for bash."""
    return BASH.format(
        program=PROGRAM,
        commands=" ".join(command.name for command in commands),
        values="\n".join(line for command in commands for line in _values(command)),
        options="\n".join(f'    {c.name}) words="{_options(c)}" ;;' for c in commands),
    )


def _values(command: Completed) -> Iterable[str]:
    """Return what may follow each option of a command that takes something."""
    for words in command.words:
        if not (words.names and words.takes_value):
            continue
        asked = "|".join(f'"{command.name} {name}"' for name in words.names)
        reply = '-f -- "$cur"' if words.is_path else f'-W "{" ".join(words.values)}" -- "$cur"'
        yield f"    {asked}) COMPREPLY=($(compgen {reply})); return ;;"


def _options(command: Completed) -> str:
    names = [name for words in command.words for name in words.names]
    values = [value for words in command.words if not words.names for value in words.values]
    return " ".join([*values, *names, "--help"])


def zsh(commands: Sequence[Completed]) -> str:
    """Return the script for zsh, which takes bash's."""
    return ZSH.format(program=PROGRAM) + bash(commands)


def fish(commands: Sequence[Completed]) -> str:
    """Return the script for fish."""
    lines = [f"# Completion of {PROGRAM}; `{PROGRAM} completion fish | source`"]
    lines.append(f"complete -c {PROGRAM} -f")
    for command in commands:
        shown = f"-a {command.name} -d {_fish(command.summary)}"
        lines.append(f"complete -c {PROGRAM} -n __fish_use_subcommand {shown}")
        lines += (_fish_line(command.name, words) for words in command.words)
    return "\n".join(lines) + "\n"


def _fish_line(command: str, words: Completable) -> str:
    parts = [f"complete -c {PROGRAM} -n '__fish_seen_subcommand_from {command}'"]
    parts += (f"-l {n[2:]}" if n.startswith("--") else f"-s {n[1:]}" for n in words.names)
    if words.names and words.takes_value:
        parts.append("-r -F" if words.is_path else "-x")
    if words.values:
        parts.append(f"-a {_fish(' '.join(words.values))}")
    return " ".join([*parts, f"-d {_fish(words.help)}"])


def _fish(text: str) -> str:
    """Quote a text for fish, in one line."""
    one = " ".join(text.split()).replace("\\", "\\\\").replace("'", "\\'")
    return f"'{one}'"
