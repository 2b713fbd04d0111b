"""What is really printed, served and kept is what the schemas say, and they say every field."""

import json
from dataclasses import replace
from functools import cache

import pytest
from jsonschema import Draft202012Validator
from referencing import Registry, Resource

from scripts.generated import write_or_check
from scripts.schemas import __main__ as schemas
from scripts.schemas.classes import explained
from spotvortex.code_digest import code_version
from spotvortex.core.decision.messages import ControllerState
from spotvortex.core.decision.reconcile import decide, reconcile
from spotvortex.core.domain.limits import Limits
from spotvortex.core.domain.types import Mode, Predictor
from spotvortex.core.record.record import record_of
from spotvortex.core.record.schema import SCHEMA
from spotvortex.core.scoring.calibration.live import Calibration, CalibrationTally, TallyKey
from spotvortex.report.assess.assessment import Report
from tests.core.builders import (
    CHEAP,
    WEB_A,
    assessment,
    basis,
    market,
    observation,
    pool,
    pool_input,
    quote,
)
from tests.report.reports import document, report
from tests.server.test_server import Served

DEAR = replace(CHEAP, spot_usd_per_hour=0.095)
UNPRICED = observation(pool(), market=market(quote(WEB_A, spot_usd_per_hour=None)))


@cache
def validator(name):
    """A validator of a file as it is kept, which finds the record's beside it."""
    kept = [json.loads(path.read_text()) for path in (schemas.DOCS / "schemas").glob("*.json")]
    registry = Registry().with_resources((s["$id"], Resource.from_contents(s)) for s in kept)
    (schema,) = [s for s in kept if s["title"].split("/")[1] == name]
    Draft202012Validator.check_schema(schema)
    return Draft202012Validator(schema, registry=registry)


@pytest.mark.parametrize("name", ["assess", "pools", "decisions", "record"])
def test_what_is_kept_is_what_is_made(name):
    assert (schemas.DOCS / "schemas" / f"{name}.json").read_text() == getattr(schemas, name)()


def test_the_page_is_what_is_made(monkeypatch):
    monkeypatch.setattr("sys.argv", ["schemas", "--check"])
    assert write_or_check(schemas.DOCS / "schemas.md", schemas.page, "schemas") == 0


@pytest.mark.parametrize(
    "made",
    [
        report(pool("web"), pool("api", n_spot=0), pool("jobs", n_on_demand=0)),
        report(observed=UNPRICED),
        report(),
    ],
    ids=["three pools", "no price", "nothing"],
)
def test_an_assessment_is_what_its_schema_says(made):
    found = document(made)
    validator("assess").validate(found)
    assert found["schema"] == "spotvortex.io/assess/v1"


@pytest.mark.parametrize(
    "change",
    [
        {},
        {"entry_money": DEAR},
    ],
)
def test_a_record_is_what_its_schema_says(change):
    known = pool_input()
    one = basis(replace(known, **{k: v for k, v in change.items() if hasattr(known, k)}))
    for limits in (Limits(), Limits(mode=Mode.ACTIVE)):
        line = record_of(decide(replace(one, limits=limits)), "", code_version()).line
        validator("record").validate(json.loads(line))


def test_a_record_of_another_version_is_another_schemas():
    found = json.loads(record_of(decide(basis()), "", code_version()).line)
    assert not validator("record").is_valid(found | {"v": SCHEMA.version + 1})
    assert not validator("record").is_valid(found | {"n_nodes": "1"})


async def test_what_the_daemon_serves_is_what_the_schemas_say():
    made = assessment(observation(pool(), pool("api")))
    key = TallyKey(Predictor.NETWORK, 3, 60)
    judged = Calibration(tallies={key: CalibrationTally(n=2.0, predicted=0.1)})
    _, plan = reconcile(ControllerState(), replace(made, calibration=judged), Limits())
    async with Served().open() as served:
        for expected in (0, 2):
            _, pools = await served.get("/pools")
            _, decisions = await served.get("/decisions")
            validator("pools").validate(pools)
            validator("decisions").validate(decisions)
            assert len(pools["pools"]) == len(decisions["decisions"]) == expected
            assert len(pools.get("calibration", {}).get("rows", [])) == expected
            served.daemon.plan = plan
            await served.journal.append(plan)
        _, one = await served.get(f"/decisions/{plan.decisions[0].decision_id}")
        validator("record").validate(one)


def test_every_field_of_a_report_is_described():
    said = explained(Report)
    schema = json.loads(schemas.assess())
    for name, member in schema["properties"].items():
        if name in said:
            assert member["description"]
    lacking = set(schema["properties"]) - said.keys()
    assert lacking == {"schema", "saving_usd_per_hour"}
