"""The matrix of protocol 2 as text, JSON, page and metrics: every cell in each of them."""

import json
import xml.etree.ElementTree as ET
from io import StringIO
from pathlib import Path

import pytest
from jsonschema import Draft202012Validator
from prometheus_client.parser import text_string_to_metric_families
from rich.console import Console

from spotvortex.report.evaluation.figures import render_metrics
from spotvortex.report.evaluation.matrix import line_of, render, show
from spotvortex.report.evaluation.matrix_page import render_html
from tests.evaluation.matrix.test_judge import matrix

SCHEMA = Path(__file__).resolve().parents[3] / "docs" / "schemas" / "evaluation.json"


@pytest.fixture(scope="module")
def made():
    return matrix((57.0, 6.0), rival=(60.0, 5.0))


def test_the_text_has_every_cell_and_says_what_is_failed(made):
    out = StringIO()
    show(made, [made], Console(file=out, width=200))
    text = out.getvalue()
    assert line_of(made) in " ".join(text.split())
    for cell in made.cells:
        assert sum(cell.family in line and cell.rival in line for line in text.splitlines()) >= 2
    assert "FAIL stressed / none / K-under, half-the-outage: " in text
    assert made.constants_digest in text


def test_the_json_is_of_its_schema_and_names_both_figures(made):
    document = json.loads(render(made, [made]))
    Draft202012Validator(json.loads(SCHEMA.read_text())).validate(document)
    assert document["schema"] == "spotvortex.io/evaluation/v1"
    assert document["eval/net_profit_improvement_pct"] == made.net_profit_improvement_pct
    assert document["eval/outage_delta"] == {str(s.seed): 56.0 / 2 for s in made.seeds}
    assert len(document["cells"]) == len(made.cells)
    first = document["cells"][0]
    assert first["standing"] == "FAIL"
    assert [d["minutes"] for d in first["eval/outage_delta"]] == [7.0, 7.0]
    assert {a["condition"] for a in first["answers"]} >= {"points", "no-more-outage"}


def test_the_page_is_whole_and_needs_nothing_else(made):
    page = render_html(made, [made])
    body = ET.fromstring(page.removeprefix("<!DOCTYPE html>\n"))
    words = " ".join("".join(body.itertext()).split())
    for cell in made.cells:
        assert cell.family in words
        assert cell.rival in words
    assert "no-more-outage" in words
    assert "http" not in page.replace("http-equiv", "")


def test_the_metrics_have_both_figures_under_their_own_names(made):
    found = {f.name: f for f in text_string_to_metric_families(render_metrics(made))}
    profit, outage = found["eval_net_profit_improvement_pct"], found["eval_outage_delta"]
    assert {s.labels["figure"] for s in profit.samples} == {"eval/net_profit_improvement_pct"}
    assert {s.labels["figure"] for s in outage.samples} == {"eval/outage_delta"}
    whole = [s for s in profit.samples if s.labels["family"] == "all"]
    assert [s.value for s in whole] == [made.net_profit_improvement_pct]
    assert {s.labels["seed"] for s in outage.samples} == {"0", "1", "worst"}
    passed = found["eval_gate_passed"].samples
    assert len(passed) == 1 + len(made.judged)
    assert {s.value for s in passed} <= {0.0, 1.0}
