"""What all pages of the console share: frame, style, script, and small pieces.

Comes in: parts that are escaped already. Goes out: a whole page that loads nothing from elsewhere,
light or dark as the reader's system is. May not know what a page is about.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Final

from spotvortex.core.domain.types import Outcome
from spotvortex.core.record.codec import rfc3339
from spotvortex.report.html.page import Markup, stylesheet, text

ROOT: Final = "/console"
RENEW_S: Final = 5
"""How often an open page asks anew, in seconds."""

_STYLE: Final = """
body { max-width: 76rem; margin: 0 auto; }
a { color: inherit; text-underline-offset: 0.2em; }
a:focus-visible, select:focus-visible, button:focus-visible, div.wide:focus-visible {
  outline: 3px solid var(--s0); outline-offset: 2px; }
header { display: flex; flex-wrap: wrap; gap: 0.25rem 1.5rem; align-items: baseline;
  border-bottom: 1px solid var(--line); padding: 1rem 0 0.5rem; }
header strong { font-size: 1.15rem; }
nav { display: flex; flex-wrap: wrap; gap: 0.25rem 1rem; }
nav a[aria-current] { font-weight: 600; text-decoration-thickness: 3px; }
dl.tiles { display: grid; gap: 1rem; grid-template-columns: repeat(auto-fit, minmax(9.5rem, 1fr)); }
dl.tiles div { border: 1px solid var(--line); border-radius: 0.4rem; padding: 0.6rem 0.8rem; }
dl.tiles dt { color: var(--faint); font-size: 0.85rem; }
dl.tiles dd { margin: 0; font-size: 1.5rem; font-variant-numeric: tabular-nums; }
dl.tiles dd small { display: block; font-size: 0.85rem; color: var(--faint); }
meter { width: 7rem; height: 0.9rem; vertical-align: middle; }
ul.needs { padding-left: 1.2rem; }
.gates { letter-spacing: 0.15em; font-family: monospace; white-space: nowrap; }
.gates abbr { text-decoration: none; } .gates .refuse { color: var(--bad); font-weight: 700; }
form.filter { display: flex; flex-wrap: wrap; gap: 0.75rem; align-items: end; }
form.filter label { display: grid; font-size: 0.85rem; color: var(--faint); }
select, button { font: inherit; color: inherit; background: var(--ground);
  border: 1px solid var(--line); border-radius: 0.3rem; padding: 0.3rem 0.6rem; }
@media (max-width: 40rem) {
  svg { overflow: visible; margin: 1rem 0 1.8rem; } svg text { font-size: 25px; }
  svg .line { stroke-width: 3.6; } svg .above { transform: translateY(-14px); }
  svg .tick { transform: translateY(9px); } svg .unit { transform: translateY(26px); }
  svg .key { transform: translateY(46px); }
  table.stacks thead { position: absolute; clip-path: inset(50%); }
  table.stacks tr { display: flex; flex-wrap: wrap; gap: 0 0.9rem; padding: 0.4rem 0;
    border-bottom: 1px solid var(--line); }
  table.stacks tbody th, table.stacks td { border: 0; padding: 0; min-width: 0; text-align: left; }
  table.stacks td:not(.words)::before { content: attr(data-name) " "; color: var(--faint); }
  table.stacks td:empty { display: none; } table.stacks td.long { flex-basis: 100%; } }
#stale:empty { display: none; } #stale { color: var(--bad); font-weight: 600; }
"""

SCRIPT: Final = f"""\
"use strict";
// Renews the part of the page that lives, and keeps the focus where it was.
async function renew() {{
  const shown = document.getElementById("live");
  const stale = document.getElementById("stale");
  if (document.hidden || shown === null || shown.querySelector("form:focus-within")) return;
  try {{
    const answer = await fetch(location.href, {{cache: "no-store"}});
    const text = await answer.text();
    const page = new DOMParser().parseFromString(text, "text/html");
    const fresh = page.getElementById("live");
    if (fresh === null) throw new Error(String(answer.status));
    const focus = document.activeElement;
    const href = shown.contains(focus) ? focus.getAttribute("href") : null;
    shown.replaceWith(fresh);
    if (href !== null) {{
      const again = [...fresh.querySelectorAll("a")].find(a => a.getAttribute("href") === href);
      if (again) again.focus();
    }}
    stale.textContent = "";
  }} catch (error) {{
    if (stale.textContent === "") {{
      const since = new Date().toLocaleTimeString();
      stale.textContent = "The daemon has not answered since " + since + ": this page is old.";
    }}
  }}
}}
setInterval(renew, {RENEW_S * 1000});
"""

_SIGNS: Final = {
    Outcome.ALLOW: "\N{MIDDLE DOT}",
    Outcome.REFUSE: "\N{MULTIPLICATION X}",
    Outcome.AT_MOST: "\N{LESS-THAN OR EQUAL TO}",
    Outcome.NOT_EVALUATED: "?",
}
"""One character for what a gate says."""

_PLACES: Final = (
    ("", "Overview"),
    ("/decisions", "Decisions"),
    ("/waves", "Waves"),
    ("/ledger", "Ledger"),
    ("/doctor", "Doctor"),
)


def style() -> str:
    """Return the style sheet of all pages."""
    return stylesheet() + _STYLE


def frame(title: str, place: str, parts: Iterable[str]) -> str:
    """Return a whole page.

    Args:
        title: what it is called.
        place: which of the places in the header it belongs to, by its path below the root.
        parts: what it shows, escaped already.
    """
    links = "".join(_place(path, words, here=path == place) for path, words in _PLACES)
    body = "\n".join(parts)
    return (
        '<!DOCTYPE html>\n<html lang="en">\n<head>\n<meta charset="utf-8"/>\n'
        '<meta name="viewport" content="width=device-width, initial-scale=1"/>\n'
        f"<title>{text(title)} - SpotVortex</title>\n"
        f'<link rel="stylesheet" href="{ROOT}/style.css"/>\n'
        f'<script src="{ROOT}/live.js" defer="defer"></script>\n</head>\n<body>\n'
        f'<header><strong>SpotVortex</strong><nav aria-label="Pages">{links}</nav></header>\n'
        '<p id="stale" role="status"></p>\n'
        f'<main id="live">\n<h1>{text(title)}</h1>\n{body}\n</main>\n</body>\n</html>\n'
    )


def _place(path: str, words: str, *, here: bool) -> str:
    current = ' aria-current="page"' if here else ""
    return f'<a href="{ROOT}{path}"{current}>{text(words)}</a>'


def tiles(figures: Iterable[tuple[str, str, str]]) -> str:
    """Return large figures: each a name, the figure, and words below it."""
    cells = "".join(
        f"<div><dt>{text(name)}</dt><dd>{text(figure)}<small>{text(words)}</small></dd></div>"
        for name, figure, words in figures
    )
    return f'<dl class="tiles">{cells}</dl>'


def bullets(words: Sequence[object]) -> str:
    """Return a list of sentences."""
    return '<ul class="needs">' + "".join(f"<li>{text(w)}</li>" for w in words) + "</ul>"


def meter(ratio: float, words: str) -> Markup:
    """Return a bar for a share, with its words for those who do not see it."""
    value = f"{min(max(ratio, 0.0), 1.0):.3f}"
    said = text(words)
    return Markup(f'<meter min="0" max="1" value="{value}" aria-label="{said}">{said}</meter>')


def sign(outcome: Outcome) -> str:
    """Return the character that stands for what a gate says."""
    return _SIGNS[outcome]


def legend() -> str:
    """Say what the characters of gates mean."""
    return ", ".join(f"{mark} {outcome.value}" for outcome, mark in _SIGNS.items())


def score(value: float | None) -> str:
    """Write a probability, or that it is not known."""
    return "unknown" if value is None else f"{value:.3f}"


def moment(at: float) -> str:
    """Write a time to the second, UTC."""
    return rfc3339(at)[:19].replace("T", " ")
