"""Prices come with the commitments and with how the files of both are; no quote is changed."""

import json
import time

from spotvortex.core.domain.cloud.commitments import Commitments, CommitmentState
from spotvortex.core.domain.inputs import InputName, InputState
from spotvortex.core.domain.types import Offering
from spotvortex.market.files.commitments import read_commitments
from spotvortex.market.files.stated import StatedMarket, WatchedMarket, stated_by
from spotvortex.market.files.watched import WatchedFile
from spotvortex.market.last_resort import LastResortMarket
from spotvortex.market.recorded import load_recorded

M6I = Offering(instance_type="m6i.large", zone="us-east-1a")


class Clock:
    """The machine's clock, as files carry real times."""

    def now(self):
        return time.time()


def watched(path, read, name=InputName.COMMITMENTS):
    file = WatchedFile(path, read, name, Clock())
    file.look()
    return file


def statement(path, text="{}"):
    path.write_text(text)
    return watched(path, read_commitments)


def test_quotes_are_as_without_and_the_commitments_beside(tmp_path):
    plain = LastResortMarket()
    file = statement(tmp_path / "c.json")
    facts, bare = (m.facts([M6I], Clock().now()) for m in (StatedMarket(plain, file), plain))
    assert facts.quotes == bare.quotes
    assert facts.commitments.state is CommitmentState.STATED
    assert facts.inputs[:-1] == bare.inputs
    assert (facts.inputs[-1].name, facts.inputs[-1].state) == (
        InputName.COMMITMENTS,
        InputState.OK,
    )


def test_without_a_path_or_a_file_there_nothing_is_stated_and_no_input_is_missed(tmp_path):
    nowhere = watched(tmp_path / "none.json", read_commitments)
    for file in (None, nowhere):
        facts = StatedMarket(LastResortMarket(), file).facts([M6I], 0.0)
        assert facts.commitments == Commitments()
        assert {i.name for i in facts.inputs} == {InputName.PRICES}


def test_a_statement_that_is_there_and_cannot_be_read_is_told_from_none(tmp_path):
    assert stated_by(statement(tmp_path / "c.json", "{")).state is CommitmentState.UNREADABLE


def test_a_statement_that_has_become_bad_still_counts(tmp_path):
    file = statement(tmp_path / "c.json")
    (tmp_path / "c.json").write_text("{{")
    file.look()
    assert stated_by(file).state is CommitmentState.STATED
    facts = StatedMarket(LastResortMarket(), file).facts([M6I], Clock().now())
    assert facts.inputs[-1].state is InputState.STALE


def record(price, at):
    return {
        "InstanceType": "m6i.large",
        "AvailabilityZone": "us-east-1a",
        "ProductDescription": "Linux/UNIX",
        "SpotPrice": price,
        "Timestamp": time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime(at)),
    }


def put(path, *records):
    beside = path.with_suffix(".new")
    beside.write_text("".join(f"{json.dumps(r)}\n" for r in records))
    beside.rename(path)


def test_a_new_price_file_counts_and_a_bad_one_keeps_the_old(tmp_path, caplog):
    now, path = Clock().now(), tmp_path / "prices.jsonl"
    put(path, record(0.03, now - 60))
    file = watched(path, load_recorded, InputName.PRICE_FILE)
    market = StatedMarket(WatchedMarket(file), None, [file])

    def price_and_state():
        facts = market.facts([M6I], Clock().now())
        found = {i.name: i.state for i in facts.inputs}
        return facts.quotes[M6I].spot_usd_per_hour, found[InputName.PRICE_FILE]

    assert price_and_state() == (0.03, InputState.OK)
    put(path, record(0.05, now - 30))
    file.look()
    assert price_and_state() == (0.05, InputState.OK)
    put(path, record(-1, now))
    file.look()
    assert price_and_state() == (0.05, InputState.STALE)
    (warning,) = [r for r in caplog.records if r.levelname == "WARNING"]
    assert warning.message == "price_file.unread"
    assert "line 1: SpotPrice is -1" in warning.error
    put(path, record(0.04, now))
    file.look()
    assert price_and_state() == (0.04, InputState.OK)
