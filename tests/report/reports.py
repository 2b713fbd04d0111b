"""Reports of one read-only cycle over pools of the core's builders."""

import io
import json

from rich.console import Console

from spotvortex.core.decision.messages import ControllerState
from spotvortex.core.decision.reconcile import reconcile
from spotvortex.report.assess.assessment import Provenance, make_report
from spotvortex.report.assess.forms import json_of
from spotvortex.report.assess.screen import show
from tests.core.builders import assessment, capped, observation

FRAME = Provenance(context="test", seconds=1.5, version="0.1.0")


def report(*pools, observed=None, **of_every_score):
    """The report of a cluster of these pools."""
    scored = assessment(observed or observation(*pools), **of_every_score)
    _, plan = reconcile(ControllerState(), scored, capped())
    return make_report(plan, FRAME)


def screen(made, *, details=False, width=120):
    """The lines that a terminal of so many columns shows."""
    return lines_of(lambda console: show(made, console, details=details), width)


def lines_of(shown, width=120):
    """The lines that a terminal of so many columns shows of whatever prints on it."""
    out = io.StringIO()
    shown(Console(file=out, width=width, color_system=None))
    return out.getvalue().splitlines()


def document(made):
    """The JSON output, read back; a constant that JSON does not know is an error."""

    def refuse(constant):
        raise AssertionError(f"{constant} is no JSON")

    return json.loads(json_of([made]), parse_constant=refuse)
