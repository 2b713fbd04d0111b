"""The published file of Spot Advisor is read as it is, and what is wrong with one is said."""

import json
from datetime import UTC, datetime

import pytest

from spotvortex.core.domain.cloud.signals import AdvisorBands
from spotvortex.core.domain.inputs import InputName, InputState
from spotvortex.core.domain.types import Offering
from spotvortex.errors import AdvisorFileError
from spotvortex.market.files.advisor import read_advisor
from spotvortex.market.files.watched import WatchedFile
from spotvortex.market.last_resort import LastResortMarket
from spotvortex.market.signals import SignalledMarket

M5 = Offering(instance_type="m5.large", zone="us-east-1a")
DAY = datetime(2026, 11, 1, tzinfo=UTC).timestamp()
AT = DAY + 86_400.0


def published(**changes):
    """The form of the file that AWS publishes."""
    labels = ("<5%", "5-10%", "10-15%", "15-20%", ">20%")
    limits = (5, 11, 16, 22, 100)
    return {
        "global_rate": "<10%",
        "instance_types": {"m5.large": {"emr": True, "cores": 2, "ram_gb": 8.0}},
        "ranges": [
            {"index": i, "label": label, "dots": i, "max": most}
            for i, (label, most) in enumerate(zip(labels, limits, strict=True))
        ],
        "spot_advisor": {
            "us-east-1": {
                "Linux": {"m5.large": {"s": 62, "r": 4}, "c5.large": {"s": 50, "r": 0}},
                "Windows": {"m5.large": {"s": 30, "r": 1}},
            },
            "eu-west-1": {"Linux": {"m5.large": {"s": 70, "r": 1}}},
        },
    } | changes


def written(path, document=None):
    path.write_text(json.dumps(document or published()))
    return path


@pytest.mark.parametrize(
    ("name", "member"),
    [
        ("spot-advisor-2026-11-01.json", {}),
        ("spot-advisor-20261101.json", {}),
        ("a.json", {"date": "2026-11-01"}),
        ("a-2020-01-01.json", {"date": "2026-11-01"}),
    ],
)
def test_bands_of_linux_are_read_with_the_date_that_the_file_states(tmp_path, name, member):
    found = read_advisor(written(tmp_path / name, published(**member)))
    assert found.at == DAY
    assert found.band_of(M5) == 4
    assert found.band_of(Offering(instance_type="m5.large", zone="eu-west-1b")) == 1
    assert found.band_of(Offering(instance_type="x9.large", zone="us-east-1a")) is None


@pytest.mark.parametrize("name", ["a.json", "a-2026-13-41.json"])
def test_a_date_is_never_guessed(tmp_path, name):
    assert read_advisor(written(tmp_path / name)).at is None


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("{", "no file of Spot Advisor"),
        ('{"instance_types": {}}', "no file of Spot Advisor"),
        ('{"spot_advisor": {"us-east-1": {"Linux": {"m5.large": {"r": "high"}}}}}', "Expected"),
        ('{"spot_advisor": {"us-east-1": {"Windows": {}}}}', "lists no type of Linux"),
        ('{"spot_advisor": {"us-east-1": {"Linux": {"m5.large": {"r": 9}}}}}', "lists no type"),
    ],
)
def test_a_file_of_another_form_is_refused_with_where_to_look(tmp_path, text, words):
    path = tmp_path / "a.json"
    path.write_text(text)
    with pytest.raises(AdvisorFileError, match=words) as said:
        read_advisor(path)
    assert "docs/market-signals.md" in str(said.value)


def test_a_file_that_is_not_there_is_refused(tmp_path):
    with pytest.raises(AdvisorFileError, match="No such file"):
        read_advisor(tmp_path / "none.json")


class Clock:
    def now(self):
        return AT


def signalled(path):
    file = WatchedFile(path, read_advisor, InputName.ADVISOR, Clock())
    file.look()
    return SignalledMarket(LastResortMarket(), file, None)


def health_of(facts):
    return next(h for h in facts.inputs if h.name is InputName.ADVISOR)


def test_a_market_brings_the_bands_and_says_how_they_are(tmp_path):
    facts = signalled(written(tmp_path / "a-2026-11-01.json")).facts([M5], AT)
    assert facts.signals.bands.band_of(M5) == 4
    assert health_of(facts).state is InputState.OK
    assert M5 in facts.quotes


@pytest.mark.parametrize(
    ("name", "words"), [("a.json", "has no date"), ("a-2024-01-01.json", "older than 365 days")]
)
def test_bands_that_scale_nothing_are_said_to(tmp_path, name, words):
    health = health_of(signalled(written(tmp_path / name)).facts([M5], AT))
    assert (health.state, health.required) == (InputState.STALE, False)
    assert words in health.detail


def test_a_file_that_cannot_be_read_stops_nothing(tmp_path):
    path = tmp_path / "a.json"
    path.write_text("{")
    facts = signalled(path).facts([M5], AT)
    assert health_of(facts).state is InputState.ABSENT
    assert facts.signals.bands == AdvisorBands()
