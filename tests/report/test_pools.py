"""Each form of the pools of a daemon says what it has answered."""

import csv
import io

import yaml
from typer.testing import CliRunner

from spotvortex.cli.main import cli
from spotvortex.core.decision.messages import ControllerState
from spotvortex.core.decision.reconcile import reconcile
from spotvortex.core.domain.limits import Limits
from spotvortex.report.pools import COLUMNS, csv_of, html_of, yaml_of
from tests.core.builders import assessment, observation, pool
from tests.server.test_server import Served


async def answered():
    _, plan = reconcile(ControllerState(), assessment(observation(pool(), pool("api"))), Limits())
    async with Served().open() as served:
        served.daemon.plan = plan
        return (await served.get("/pools"))[1]


async def test_a_row_of_csv_is_a_pool():
    answer = await answered()
    found = list(csv.DictReader(io.StringIO(csv_of(answer))))
    assert [row["pool"] for row in found] == [p["pool"] for p in answer["pools"]]
    for row, one in zip(found, answer["pools"], strict=True):
        assert tuple(row) == COLUMNS
        assert (row["action"], int(row["spot"])) == (one["action"], one["nodes"]["spot"])
        assert float(row["cost_usd_per_hour"]) == one["cost_usd_per_hour"]


async def test_yaml_is_the_answer_and_the_page_has_every_pool():
    answer = await answered()
    assert yaml.safe_load(yaml_of(answer)) == answer
    assert all(f">{p['pool']}<" in html_of(answer) for p in answer["pools"])


async def test_a_daemon_that_has_decided_nothing_has_no_rows():
    empty = {"schema": "spotvortex.io/pools/v1", "cycle": None, "time": None, "pools": []}
    assert csv_of(empty).splitlines() == [",".join(COLUMNS)]
    assert "Pools" in html_of(empty)


def test_nobody_who_answers_is_one_line_on_standard_error():
    result = CliRunner().invoke(cli, ["pools", "--url", "http://127.0.0.1:1", "-o", "json"])
    assert result.stdout == ""
    assert result.exception is not None
