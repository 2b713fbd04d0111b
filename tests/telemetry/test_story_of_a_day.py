"""The terminal of `make run` tells the story of its day: waves, their ends, new reasons to hold."""

import logging
from collections import Counter
from pathlib import Path

import pytest

from spotvortex.settings.model import Settings
from tests.sim.day import play_day

pytestmark = pytest.mark.trial

HOURS = 3.75
"""An hour of calm follows the famine of Spot, which ends after two and three quarters."""


@pytest.fixture(scope="module")
def day(tmp_path_factory):
    """The lines that a day's terminal shows, and those that only the log at DEBUG has."""
    path, kept = tmp_path_factory.mktemp("day") / "told.txt", Kept()
    log = logging.getLogger("spotvortex.telemetry.journal")
    log.addHandler(kept)
    log.setLevel(logging.DEBUG)
    try:
        play_day(settings(path), HOURS)
    finally:
        log.removeHandler(kept)
        log.setLevel(logging.NOTSET)
    return path.read_text().splitlines(), kept.lines


class Kept(logging.Handler):
    """Keeps the lines that were not told."""

    def __init__(self):
        super().__init__()
        self.lines = []

    def emit(self, record):
        if record.msg == "decision.not_told":
            self.lines.append(record.line)


def settings(path: Path) -> Settings:
    return Settings(
        mode="active", tick_s=60.0, http_port=0, decision_log=path, decision_format="text"
    )


def kind(line: str) -> str:
    """Return what a line is about: a wave, or HOLD."""
    return "HOLD" if line.split()[2] == "HOLD" else "wave"


def test_each_wave_is_a_line_and_few_holds_are(day):
    told, left_out = day
    kinds, others = Counter(map(kind, told)), Counter(map(kind, left_out))
    assert kinds["wave"] >= 10
    assert others["wave"] == 0
    assert kinds["HOLD"] <= 3 * kinds["wave"]
    # Before, each record was a line: some two hundred by the end of the famine.
    assert sum((kinds + others).values()) >= 150
    assert kinds["HOLD"] <= others["HOLD"] / 3


def test_no_wave_has_more_than_its_end_and_three_reasons_told_before_the_next(day):
    told, _ = day
    in_a_row: Counter[str] = Counter()
    for line in told:
        pool = line.split()[1]
        in_a_row[pool] = 0 if kind(line) == "wave" else in_a_row[pool] + 1
        assert in_a_row[pool] <= 8, line


def test_a_pool_in_which_nothing_happens_is_a_line_a_day(day):
    told, _ = day
    pools = Counter(line.split()[1] for line in told)
    assert (pools["legacy"], pools["stateful"]) == (1, 1)


def test_the_last_line_of_each_pool_says_why_it_holds_in_the_calm(day):
    told, left_out = day
    newest = {line.split()[1]: line for line in sorted(told + left_out)}
    last_told = {line.split()[1]: line for line in told}
    for pool, line in newest.items():
        assert why(line) == why(last_told[pool])


def why(line: str) -> str:
    """Return the main reason: the gate that refuses, or a word."""
    return line.split("conf ")[1].split()[1]
