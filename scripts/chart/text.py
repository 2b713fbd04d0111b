"""The text of a template: one object, with what a value adds or changes between conditions.

Comes in: an object as it is without any value set, and as each condition makes it. Goes out: lines
of a template. What differs is found by comparing lines, so that a new component needs nothing here.
May not know which values there are.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from difflib import SequenceMatcher
from typing import Any

import yaml

Manifest = dict[str, Any]


class OverlapError(RuntimeError):
    """Two conditions change the same lines differently."""


class _Dumper(yaml.SafeDumper):
    """Writes texts of several lines as they are read."""

    def increase_indent(self, flow: bool = False, *_: object, **__: object) -> None:
        """Indent lists below their key, as the manifests do."""
        super().increase_indent(flow, False)


def _text(dumper: yaml.SafeDumper, text: str) -> yaml.ScalarNode:
    style = "|" if "\n" in text else None
    return dumper.represent_scalar("tag:yaml.org,2002:str", text, style=style)


_Dumper.add_representer(str, _text)


def dumped(manifest: Manifest) -> str:
    """Return an object as YAML, the same bytes whichever kustomize has built it."""
    return yaml.dump(manifest, Dumper=_Dumper, width=10_000, sort_keys=True)


def lines_of(manifest: Manifest) -> list[str]:
    """Return an object as lines of YAML in which Helm finds nothing to do."""
    return dumped(manifest).replace("{{", '{{ "{{" }}').splitlines()


@dataclass(frozen=True, slots=True)
class Change:
    """Lines of the plain object that a condition puts others in place of.

    Attributes:
        start: the first line that goes.
        end: the first line behind that stays; `start` where lines are only added.
        lines: what comes in their place.
    """

    start: int
    end: int
    lines: tuple[str, ...]


def merged(plain: Sequence[str], variants: Mapping[str, Sequence[str]]) -> list[str]:
    """Return the plain lines with those of each variant between its conditions.

    Args:
        plain: the object where no condition holds.
        variants: by condition, the object where that one alone holds.

    Raises:
        OverlapError: two of them change the same lines differently.
    """
    conditions: dict[Change, list[str]] = defaultdict(list)
    for condition, lines in variants.items():
        for change in _changes(plain, lines):
            conditions[change].append(condition)
    merged_lines: list[str] = []
    at = 0
    for change in sorted(conditions, key=lambda c: (c.start, c.end, c.lines)):
        if change.start < at:
            raise OverlapError(f"{conditions[change]} change what another changes: {change.lines}")
        merged_lines += plain[at : change.start]
        merged_lines += _either(conditions[change], change.lines, plain[change.start : change.end])
        at = change.end
    return [*merged_lines, *plain[at:]]


def _changes(plain: Sequence[str], lines: Sequence[str]) -> list[Change]:
    matcher = SequenceMatcher(None, plain, lines, autojunk=False)
    return [
        Change(start, end, tuple(lines[first:last]))
        for tag, start, end, first, last in matcher.get_opcodes()
        if tag != "equal"
    ]


def _either(conditions: Sequence[str], lines: Sequence[str], other: Sequence[str]) -> list[str]:
    """Return lines that stand where any of the conditions holds, and others where none does."""
    if not lines:
        return [f"{{{{- if not ({any_of(conditions)}) }}}}", *other, "{{- end }}"]
    otherwise = ["{{- else }}", *other] if other else []
    return [f"{{{{- if {any_of(conditions)} }}}}", *lines, *otherwise, "{{- end }}"]


def any_of(conditions: Sequence[str]) -> str:
    """Return one condition for several, of which one suffices."""
    if len(conditions) == 1:
        return conditions[0]
    return "or " + " ".join(f"({condition})" for condition in conditions)
