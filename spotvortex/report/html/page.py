"""One HTML page that needs nothing else: no script, no font, no picture from elsewhere.

Comes in: a title and parts. Goes out: a page that is well-formed as XML too, light or dark as the
reader's system is, and readable by a screen reader. Every text is escaped here. May not know what
the page is about.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from html import escape
from typing import Final

N_COLOURS: Final = 8
"""Colours of series; then they begin again with another pattern of dashes."""

_POLICY: Final = "default-src 'none'; style-src 'unsafe-inline'"

# Okabe and Ito, Color Universal Design (2008); the yellow and black are changed to be seen on both
# grounds.
_LIGHT: Final = (
    "#0072b2", "#d55e00", "#007a5a", "#aa4488", "#8a6d00", "#3b3b3b", "#2f8fc4", "#b3261e",
)  # fmt: skip
_DARK: Final = (
    "#56b4e9", "#ff9d5c", "#2fc59b", "#e08fc0", "#f0e442", "#dddddd", "#8ccbf2", "#ff8a80",
)  # fmt: skip

_STYLE: Final = """
:root { color-scheme: light dark; --ground: #ffffff; --ink: #1b1b1b; --faint: #595959;
  --line: #c8c8c8; --good: #00684c; --bad: #a5231b; LIGHT }
@media (prefers-color-scheme: dark) { :root { --ground: #15181c; --ink: #ececec; --faint: #b0b0b0;
  --line: #4a4f57; --good: #4fd1a5; --bad: #ff9a90; DARK } }
body { background: var(--ground); color: var(--ink); margin: 2rem auto; padding: 0 1rem;
  max-width: 60rem; font: 1rem/1.5 system-ui, sans-serif; }
h1 { font-size: 1.5rem; } h2 { font-size: 1.15rem; margin-top: 2rem; }
p.faint { color: var(--faint); } .good { color: var(--good); } .bad { color: var(--bad); }
div.wide { overflow-x: auto; }
table { border-collapse: collapse; font-variant-numeric: tabular-nums; margin: 1rem 0; }
caption { text-align: left; font-weight: 600; padding: 0.25rem 0; }
th, td { border-bottom: 1px solid var(--line); padding: 0.25rem 0.6rem; text-align: right; }
thead th { vertical-align: bottom; } tbody th, td { vertical-align: top; }
th:first-child, td:first-child, th.words, td.words { text-align: left; }
td.words { overflow-wrap: anywhere; min-width: 6rem; }
td.long { min-width: 18rem; } th.short, td.short { white-space: nowrap; }
dl.facts { display: grid; grid-template-columns: minmax(7rem, auto) 1fr; gap: 0.3rem 1rem; }
dl.facts dt { color: var(--faint); } dl.facts dd { margin: 0; overflow-wrap: anywhere; }
svg { width: 100%; height: auto; } svg text { fill: var(--ink); font-size: 12px; }
svg .axis { stroke: var(--line); stroke-width: 1; } svg .faint { fill: var(--faint); }
svg .line { fill: none; stroke-width: 1.8; } svg .limit { stroke: var(--bad); stroke-width: 1.5; }
"""


class Markup(str):
    """A part of a page that is escaped already."""

    __slots__ = ()


def text(value: object) -> str:
    """Escape a text; what cannot be printed, and XML forbids, becomes a question mark."""
    if isinstance(value, Markup):
        return value
    shown = "".join(c if c.isprintable() else "?" for c in str(value))
    return escape(shown, quote=True)


def link(address: str, words: str) -> Markup:
    """Return a link within the same server."""
    return Markup(f'<a href="{text(address)}">{text(words)}</a>')


def heading(words: str) -> str:
    """Return the heading of a section."""
    return f"<h2>{text(words)}</h2>"


def paragraph(words: str, kind: str = "") -> str:
    """Return a paragraph; `kind` is `faint`, `good` or `bad`."""
    return f'<p class="{text(kind)}">{text(words)}</p>' if kind else f"<p>{text(words)}</p>"


def table(caption: str, head: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    """Return a table; the first cell of each row is its header."""
    body = [tuple(row) for row in rows]
    kinds = [_kind(row[i] for row in body) for i in range(len(head))]
    columns = "".join(
        f'<th scope="col"{kind}>{text(name)}</th>' for name, kind in zip(head, kinds, strict=True)
    )
    named = f"<caption>{text(caption)}</caption>" if caption else ""
    stacks = any(_LONG_KIND in kind for kind in kinds)
    names = [f' data-name="{text(name)}"' if stacks else "" for name in head]
    cells = [f"{name}{kind}" for name, kind in zip(names, kinds, strict=True)]
    opening = '<table class="stacks">' if stacks else "<table>"
    return (
        f'<div class="wide" tabindex="0">{opening}{named}<thead><tr>{columns}</tr></thead>'
        f"<tbody>{''.join(_row(row, cells) for row in body)}</tbody></table></div>"
    )


_FIGURE: Final = re.compile(r"[-+$~<]*\d[\d,.]*( ?[%a-zA-Z/]{1,6})?|-|unknown|")


_TAG: Final = re.compile(r"<[^>]*>")
_SHORT: Final = 24
"""Characters of a name that is never broken, as an action or a moment."""

_LONG: Final = 48
"""Characters from which on a text is a sentence, whose column is never narrow."""

_LONG_KIND: Final = " long"
"""The class of a column of sentences; on a phone they stand below the other cells of their row."""


def _kind(cells: Iterable[str]) -> str:
    """Return the class of a column of words; a column of figures stands at the right."""
    shown = [_TAG.sub("", cell) if isinstance(cell, Markup) else cell for cell in cells]
    if all(_FIGURE.fullmatch(cell) for cell in shown):
        return ""
    longest = max(map(len, shown))
    width = " short" if longest <= _SHORT else _LONG_KIND if longest >= _LONG else ""
    return f' class="words{width}"'


def _row(cells: Sequence[str], attributes: Sequence[str]) -> str:
    first, *rest = cells
    others = "".join(
        f"<td{said}>{text(cell)}</td>" for cell, said in zip(rest, attributes[1:], strict=True)
    )
    return f'<tr><th scope="row"{attributes[0]}>{text(first)}</th>{others}</tr>'


def facts(pairs: Iterable[tuple[str, str]]) -> str:
    """Return names with what is said of each."""
    rows = "".join(f"<dt>{text(name)}</dt><dd>{text(words)}</dd>" for name, words in pairs)
    return f'<dl class="facts">{rows}</dl>'


def page(title: str, parts: Iterable[str]) -> str:
    """Return the page; `parts` are escaped already."""
    body = "\n".join(parts)
    return (
        '<!DOCTYPE html>\n<html lang="en">\n<head>\n<meta charset="utf-8"/>\n'
        f'<meta http-equiv="Content-Security-Policy" content="{escape(_POLICY)}"/>\n'
        '<meta name="viewport" content="width=device-width, initial-scale=1"/>\n'
        f"<title>{text(title)}</title>\n<style>{stylesheet()}</style>\n</head>\n"
        f"<body>\n<main>\n<h1>{text(title)}</h1>\n{body}\n</main>\n</body>\n</html>\n"
    )


def stylesheet() -> str:
    """Return the style of every page, with the colours of plots."""
    colours = (
        f"svg .s{i} {{ stroke: var(--s{i}); }} svg .f{i} {{ fill: var(--s{i}); }}"
        for i in range(N_COLOURS)
    )
    style = _STYLE.replace("LIGHT", _variables(_LIGHT)).replace("DARK", _variables(_DARK))
    return style + "\n".join(colours) + "\n"


def _variables(colours: Sequence[str]) -> str:
    assert len(colours) == N_COLOURS
    return " ".join(f"--s{i}: {colour};" for i, colour in enumerate(colours))
