"""Every query of a dashboard asks for series that the daemon shows, in good PromQL."""

import json

import pytest
import yaml

from scripts.dashboards import DASHBOARDS, FOLDER
from tests.deploy.monitoring.test_rules import series_in, shown_series
from tests.prometheus import promtool

NAMES = sorted(DASHBOARDS)


def queries(name):
    document = json.loads((FOLDER / f"{name}.json").read_text())
    return [target["expr"] for panel in document["panels"] for target in panel["targets"]]


@pytest.mark.parametrize("name", NAMES)
def test_every_query_asks_for_series_that_are_there(name):
    for query in queries(name):
        assert series_in(query), query
        assert series_in(query) <= shown_series(), query


@pytest.mark.program
def test_prometheus_understands_every_query(tmp_path):
    rules = [
        {"record": f"q{n}", "expr": query.replace("$pool", ".*")}
        for n, query in enumerate(q for name in NAMES for q in queries(name))
    ]
    (tmp_path / "rules.yaml").write_text(
        yaml.safe_dump({"groups": [{"name": "all", "rules": rules}]})
    )
    done = promtool(tmp_path, "check", "rules", "rules.yaml")
    assert done.returncode == 0, done.stderr


@pytest.mark.parametrize("name", NAMES)
def test_panels_lie_beside_each_other_and_have_names_of_their_own(name):
    panels = json.loads((FOLDER / f"{name}.json").read_text())["panels"]
    places = {(p["gridPos"]["x"], p["gridPos"]["y"]) for p in panels}
    assert len(places) == len(panels) == len({p["title"] for p in panels})
    assert {p["id"] for p in panels} == set(range(1, len(panels) + 1))
