"""What is opened for prices and commitments, and what a file that is bad does at the start."""

import asyncio
import json
from random import Random

import pytest

from spotvortex.app.prices import open_prices
from spotvortex.core.domain.cloud.commitments import CommitmentState
from spotvortex.core.domain.inputs import InputName, InputState
from spotvortex.errors import PriceFileError
from spotvortex.market.files import watched
from spotvortex.settings.model import Settings
from tests.app.test_check import write_prices
from tests.market.scenarios import SHIPPED

PLAN = {"name": "sp", "type": "compute", "usd_per_hour": 1, "discount_percent": 25}


def opened(**values):
    return open_prices(Settings(**values), Random(0))


def stated(sources):
    return sources.market.facts([], 0.0).commitments.state


def test_a_bad_price_file_ends_the_start_and_a_bad_statement_does_not(tmp_path):
    path = tmp_path / "bad"
    path.write_text("{")
    with pytest.raises(PriceFileError, match="bad, line 1"):
        opened(price_file=path)
    sources = opened(commitments_path=path)
    assert stated(sources) is CommitmentState.UNREADABLE
    (health,) = [i for i in sources.market.facts([], 0.0).inputs if i.name is InputName.COMMITMENTS]
    assert (health.state, health.required) == (InputState.ABSENT, False)


def test_only_files_that_are_named_are_watched(tmp_path):
    path = write_prices(tmp_path / "prices.jsonl", 60.0)
    assert [name for name, _ in opened().background] == []
    both = opened(price_file=path, commitments_path=tmp_path / "none.json")
    assert [name for name, _ in both.background] == ["price_file", "commitments"]
    assert stated(both) is CommitmentState.UNSTATED


def test_scripted_prices_have_commitments_beside_them(tmp_path):
    path = tmp_path / "c.json"
    path.write_text("{}")
    script = json.dumps(SHIPPED)
    sources = opened(test_price_provider_json=script, commitments_path=path)
    assert stated(sources) is CommitmentState.STATED


async def test_a_statement_that_comes_later_counts_without_a_restart(tmp_path, monkeypatch):
    monkeypatch.setattr(watched, "LOOK_S", 0.01)
    path, stop = tmp_path / "c.json", asyncio.Event()
    sources = opened(commitments_path=path)
    async with asyncio.timeout(10.0), asyncio.TaskGroup() as group:
        for _, background in sources.background:
            group.create_task(background(stop))
        assert stated(sources) is CommitmentState.UNSTATED
        path.write_text(json.dumps({"savings_plans": [PLAN]}))
        while stated(sources) is not CommitmentState.STATED:
            await asyncio.sleep(0)
        stop.set()
    assert [c.name for c in sources.market.facts([], 0.0).commitments.items] == ["sp"]
