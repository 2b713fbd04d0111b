"""Each form of an assessment says the same, and is read by what reads that form."""

import csv
import io
import json

import yaml

from spotvortex.report.assess.forms import COLUMNS, csv_of, html_of, json_of, yaml_of
from tests.core.builders import pool
from tests.report.reports import document, report

MADE = report(pool("web"), pool("api", n_spot=0, n_on_demand=3), pool("jobs", n_on_demand=0))


def rows(reports):
    return list(csv.DictReader(io.StringIO(csv_of(reports))))


def test_a_row_of_csv_is_a_pool_with_the_figures_of_the_document():
    found = {row["pool"]: row for row in rows([MADE])}
    decided = {d["pool"]: d for d in document(MADE)["decisions"]}
    assert found.keys() == decided.keys()
    for name, row in found.items():
        assert tuple(row) == COLUMNS
        assert row["action"] == decided[name]["action"]
        assert row["in_words"] == decided[name]["in_words"]
        assert float(row["current_ratio"]) == decided[name]["current_ratio"]
    free = {o["pool"]: o["n_free"] for o in document(MADE)["on_demand"]}
    assert {n: int(r["n_on_demand_free"]) for n, r in found.items() if n in free} == free
    assert found["jobs"]["n_on_demand_free"] == ""


def test_yaml_is_the_document():
    assert list(yaml.safe_load_all(yaml_of([MADE]))) == [document(MADE)]


def test_of_several_clusters_each_is_there_in_order():
    assert json.loads(json_of([MADE, MADE])) == [document(MADE)] * 2
    assert len(list(yaml.safe_load_all(yaml_of([MADE, MADE])))) == 2
    assert len(rows([MADE, MADE])) == 6
    assert html_of([MADE, MADE]).count("<h2>Context test</h2>") == 2


def test_the_page_has_every_pool_and_every_loss_and_escapes_what_it_is_told():
    page = html_of([report(pool("<web>"))])
    assert "&lt;web&gt;" in page
    assert "<web>" not in page
    for words in ("on-demand you may not need", "What one loss of Spot breaks"):
        assert words in page
