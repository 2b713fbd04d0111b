"""Write docs/gates.md from the gates themselves, or check that it is up to date.

Usage: python -m scripts.gates [--check]
"""

from __future__ import annotations

import inspect
import re
from pathlib import Path

from scripts.generated import write_or_check
from spotvortex.core.decision.gates.base import Gate
from spotvortex.core.decision.gates.table import GATES
from spotvortex.core.domain.moves import BINDINGS, Binding, Concern, MoveKind, Reach

PAGE = Path(__file__).resolve().parent.parent / "docs" / "gates.md"

_ADR = re.compile(r"ADR (\d{4})")
_COMPARES = "Compares:"

HEAD = """# Gates

<!-- Generated from spotvortex/core/decision/gates by `python -m scripts.gates`; edit there. -->

Every gate is asked about every proposal, in this order, also where another one has refused. Any
refusal gives `HOLD`, else the smallest number of nodes counts; a gate can only reduce what is
proposed. The numbers named here are the defaults of [configuration.md](configuration.md). One whose
input does not exist answers `not-evaluated`: where the mode writes, that refuses.

| gate | concern | promise | compares |
|---|---|---|---|
"""

REACHES = {
    Reach.INSIDE: "in the model's scope",
    Reach.OUTSIDE: "outside it",
    Reach.ALL: "any",
}

MIDDLE = """
## Which moves wait for which concern

Protection outranks doubt: doubt about prices is a reason not to buy Spot, and none to keep it. A
gate whose concern does not bind a kind of move is asked all the same, and allows with what it would
have said. A node of a family outside the model's scope holds by itself, and the rest of its pool
goes on. Records say the kind in `kind`. The table is `spotvortex/core/domain/moves.py`.

"""


def row_of(gate: Gate) -> str:
    """Return the row of one gate."""
    promise = _first_line(gate.judge).rstrip(".")
    compared = _ADR.sub(_link, _compared(gate.judge))
    return f"| `{gate.name}` | {gate.concern} | {promise} | {compared} |"


def kinds() -> str:
    """Return the table of what may refuse each kind of move."""
    gates = {c: ", ".join(f"`{g.name}`" for g in GATES if g.concern is c) for c in Concern}
    head = " | ".join(f"{c}: {gates[c]}" for c in Concern)
    rows = [f"| kind | moves | of which families | {head} |", "|" + "---|" * (3 + len(Concern))]
    rows += [kind_row(kind, binding) for kind, binding in BINDINGS.items()]
    return "\n".join(rows) + "\n"


def kind_row(kind: MoveKind, binding: Binding) -> str:
    """Return the row of one kind of move."""
    cells = (_waits(binding, concern) for concern in Concern)
    return f"| `{kind}` | {binding.moves} | {REACHES[binding.reach]} | {' | '.join(cells)} |"


def _compared(function: object) -> str:
    """Return what a gate says that it compares, in one line."""
    paragraphs = (inspect.getdoc(function) or "").split("\n\n")
    found = [" ".join(p.split()) for p in paragraphs if p.startswith(_COMPARES)]
    if len(found) != 1:
        raise SystemExit(f"{function}: one paragraph `{_COMPARES} ...` is expected")
    return found[0].removeprefix(_COMPARES).strip().rstrip(".")


def _link(found: re.Match[str]) -> str:
    (path,) = (PAGE.parent / "adr").glob(f"{found[1]}-*.md")
    return f"[{found[0]}](adr/{path.name})"


def _waits(binding: Binding, concern: Concern) -> str:
    waits = "yes" if concern in binding.concerns else "no"
    note = binding.notes.get(concern)
    return f"{waits}, {note}" if note else waits


def _first_line(function: object) -> str:
    text = inspect.getdoc(function)
    if not text:
        raise SystemExit(f"{function}: a gate needs a docstring")
    return text.splitlines()[0]


def page() -> str:
    """Return the whole page."""
    return HEAD + "\n".join(map(row_of, GATES)) + "\n" + MIDDLE + kinds()


def main() -> int:
    """Write the page, or compare with `--check`."""
    return write_or_check(PAGE, page, "gates")


if __name__ == "__main__":
    raise SystemExit(main())
