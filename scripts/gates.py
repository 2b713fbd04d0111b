"""Write docs/gates.md from the gates themselves, or check that it is up to date.

Usage: python -m scripts.gates [--check]
"""

from __future__ import annotations

import inspect
import re
import sys
from pathlib import Path

from spotvortex.core.decision.gates.base import Gate
from spotvortex.core.decision.gates.table import GATES

PAGE = Path(__file__).resolve().parent.parent / "docs" / "gates.md"

_ADR = re.compile(r"ADR (\d{4})")
_COMPARES = "Compares:"

HEAD = """# Gates

<!-- Generated from spotvortex/core/decision/gates by `python -m scripts.gates`; edit there. -->

Every gate is asked about every proposal, in this order, also where another one has refused. Any
refusal gives `HOLD`, else the smallest number of nodes counts; a gate can only reduce what is
proposed. The numbers named here are the defaults of [configuration.md](configuration.md). One whose
input does not exist answers `not-evaluated`: where the mode writes, that refuses. The last column
says whether `EMERGENCY_EXIT` obeys a refusal.

| gate | is about | promise | compares | an emergency waits |
|---|---|---|---|---|
"""


def row_of(gate: Gate) -> str:
    """Return the row of one gate."""
    subject = gate.judge.__module__.rpartition(".")[2]
    promise = _first_line(gate.judge).rstrip(".")
    compared = _ADR.sub(_link, _compared(gate.judge))
    return f"| `{gate.name}` | {subject} | {promise} | {compared} | {_waits(gate)} |"


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


def _waits(gate: Gate) -> str:
    if isinstance(gate.waits_on_exit, bool):
        return "yes" if gate.waits_on_exit else "no"
    return _first_line(gate.waits_on_exit).rstrip(".").lower()


def _first_line(function: object) -> str:
    text = inspect.getdoc(function)
    if not text:
        raise SystemExit(f"{function}: a gate needs a docstring")
    return text.splitlines()[0]


def page() -> str:
    """Return the whole page."""
    return HEAD + "\n".join(map(row_of, GATES)) + "\n"


def main() -> int:
    """Write the page, or compare with `--check`."""
    if "--check" not in sys.argv[1:]:
        PAGE.write_text(page(), "utf-8")
        return 0
    if PAGE.exists() and PAGE.read_text("utf-8") == page():
        return 0
    print(f"{PAGE.name} is out of date: run python -m scripts.gates")
    return 1


if __name__ == "__main__":
    raise SystemExit(main())
