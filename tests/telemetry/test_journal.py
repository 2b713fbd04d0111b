"""The journal keeps what changed, chains it, and survives a writer that fails."""

import asyncio
import errno
import hashlib
import io
import json
import logging
import os
from dataclasses import dataclass, field, replace

import pytest

from spotvortex.core.decision.messages import Decision
from spotvortex.core.domain.types import Action
from spotvortex.errors import SettingsError
from spotvortex.telemetry import journal as module
from spotvortex.telemetry.journal import DecisionJournal, LineFormat, open_sink
from tests.telemetry.decisions import AT, REFUSAL, decision, plan


@dataclass
class Counted:
    records: list[Decision] = field(default_factory=list)
    n_unchanged: int = 0
    n_lost: int = 0

    def recorded(self, decision: Decision) -> None:
        self.records.append(decision)

    def unchanged(self, n: int) -> None:
        self.n_unchanged += n

    def lost(self, n: int) -> None:
        self.n_lost += n


class BrokenSink:
    """Takes what its script says: a number of bytes, everything, or an error."""

    def __init__(self, *script: int | OSError | None) -> None:
        self.script = list(script)
        self.taken = b""

    def write(self, data: bytes) -> int | None:
        step = self.script.pop(0) if self.script else len(data)
        if isinstance(step, OSError):
            raise step
        if step is None:
            return None
        self.taken += data[:step]
        return min(step, len(data))


def keep(kept, plan):
    asyncio.run(kept.append(plan))


def journal(sink=None, **options):
    counts = Counted()
    return DecisionJournal(code_version="0.1.0", counts=counts, sink=sink, **options), counts


def acting(cycle: int, pool: str = "web", at: float = AT) -> Decision:
    return decision(cycle=cycle, pool=pool, n_nodes=1, at=at)


def test_an_unchanged_hold_is_counted_and_not_written():
    kept, counts = journal()
    for cycle in range(5):
        keep(kept, plan(decision(cycle=cycle, at=AT + cycle), decision(pool="batch", cycle=cycle)))
    assert [d.decision_id for d in counts.records] == ["0-web", "0-batch"]
    assert counts.n_unchanged == 8


def test_a_pool_that_came_back_is_recorded_anew():
    kept, counts = journal()
    keep(kept, plan(decision(cycle=1)))
    keep(kept, plan(decision(cycle=2, pool="batch")))
    keep(kept, plan(decision(cycle=3)))
    assert [d.decision_id for d in counts.records] == ["1-web", "2-batch", "3-web"]


def test_each_record_carries_the_digest_of_the_one_before(tmp_path):
    with open_sink(tmp_path / "decisions.jsonl") as sink:
        kept, _ = journal(sink)
        for cycle in range(4):
            keep(kept, plan(acting(cycle), acting(cycle, "batch")))
    previous = ""
    for line in (tmp_path / "decisions.jsonl").read_text().splitlines():
        body, _, _ = line.rpartition(',"digest":')
        record = json.loads(line)
        assert record["previous"] == previous
        previous = hashlib.sha256(f"{body}}}".encode()).hexdigest()
        assert record["digest"] == previous


def test_a_file_is_appended_to(tmp_path):
    path = tmp_path / "decisions.jsonl"
    path.write_text("before\n")
    with open_sink(path) as sink:
        kept, _ = journal(sink, line_format=LineFormat.TEXT)
        keep(kept, plan(decision()))
    before, line = path.read_text().splitlines()
    assert before == "before"
    assert line.startswith("04:34:30 web      HOLD ")


def test_a_file_that_cannot_be_opened_names_its_setting(tmp_path):
    with pytest.raises(SettingsError, match=r"SPOTVORTEX_DECISION_LOG=.*No such file"):
        open_sink(tmp_path / "absent" / "decisions.jsonl")


def test_a_standard_output_that_is_closed_is_named(monkeypatch):
    with open(os.devnull) as file:
        closed = file.fileno()
    monkeypatch.setattr(module, "STDOUT_FD", closed)
    with pytest.raises(SettingsError, match=r"standard output .*name a file in SPOTVORTEX_DECI"):
        open_sink(None)


def test_text_tells_a_person_less_than_is_recorded_and_the_log_has_the_rest(caplog):
    caplog.set_level(logging.DEBUG, "spotvortex.telemetry.journal")
    sink = io.BytesIO()
    kept, counts = journal(sink, line_format=LineFormat.TEXT)
    for cycle in range(4):
        refused = REFUSAL if cycle % 2 else replace(REFUSAL, gate="market")
        keep(kept, plan(decision(cycle=cycle, at=AT + cycle, verdicts=(refused,))))
    assert [line.split()[0] for line in sink.getvalue().decode().splitlines()] == [
        "04:34:30",
        "04:34:31",
    ]
    assert len(counts.records) == len(kept.find()) == 4
    assert counts.n_unchanged == 0
    left_out = [r.line for r in caplog.records if r.message == "decision.not_told"]
    assert [line.split()[0] for line in left_out] == ["04:34:32", "04:34:33"]


def test_a_pool_that_came_back_is_told_anew():
    sink = io.BytesIO()
    kept, _ = journal(sink, line_format=LineFormat.TEXT)
    for cycle, pool in enumerate(("web", "batch", "web")):
        keep(kept, plan(decision(cycle=cycle, pool=pool, at=AT + cycle)))
    assert [line.split()[1] for line in sink.getvalue().decode().splitlines()] == [
        "web",
        "batch",
        "web",
    ]


def test_standard_output_is_written_to_without_a_path(capfd):
    kept, _ = journal(open_sink(None), line_format=LineFormat.TEXT)
    keep(kept, plan(decision()))
    assert "pool_safety refuses" in capfd.readouterr().out


def test_the_lines_of_a_plan_are_one_write():
    sink = BrokenSink()
    kept, _ = journal(sink)
    sink.script = [10**9, OSError("a second write")]
    keep(kept, plan(acting(1), acting(1, "batch"), acting(1, "jobs")))
    assert sink.taken.count(b"\n") == 3


def test_nothing_is_written_where_nothing_changed():
    sink = BrokenSink()
    kept, counts = journal(sink)
    keep(kept, plan(decision()))
    sink.script = [OSError("no write is due")]
    keep(kept, plan(decision(cycle=8)))
    assert counts.n_lost == 0


def test_a_full_disk_is_counted_and_told_once_a_minute(caplog):
    full = OSError(errno.ENOSPC, "No space left on device")
    kept, counts = journal(BrokenSink(*[full] * 4))
    with caplog.at_level(logging.ERROR):
        for cycle, seconds in enumerate((0, 30, 59, 61)):
            keep(kept, plan(acting(cycle), at=AT + seconds))
    assert counts.n_lost == 4
    assert [record.message for record in caplog.records] == ["journal.write_failed"] * 2
    assert len(kept.find()) == 4


def test_a_reader_that_went_away_does_not_end_the_daemon(caplog):
    read_end, write_end = os.pipe()
    os.close(read_end)
    with open(write_end, "wb", buffering=0) as pipe:
        kept, counts = journal(pipe)
        keep(kept, plan(acting(1)))
    assert counts.n_lost == 1


def test_a_pipe_that_takes_nothing_loses_the_lines_only(caplog):
    sink = BrokenSink(None)
    kept, counts = journal(sink)
    keep(kept, plan(acting(1), acting(1, "batch")))
    keep(kept, plan(acting(2)))
    assert counts.n_lost == 2
    assert [json.loads(line)["id"] for line in sink.taken.splitlines()] == ["2-web"]


def test_a_torn_line_is_ended_before_the_next_one(caplog):
    sink = BrokenSink(40)
    kept, counts = journal(sink)
    keep(kept, plan(acting(1)))
    keep(kept, plan(acting(2)))
    torn, whole = sink.taken.splitlines()
    assert len(torn) == 40
    assert json.loads(whole)["id"] == "2-web"
    assert counts.n_lost == 1


def test_the_ring_is_bounded_and_forgets_the_oldest():
    kept, _ = journal(capacity=3)
    for cycle in range(5):
        keep(kept, plan(acting(cycle)))
    assert [r.decision_id for r in kept.find()] == ["4-web", "3-web", "2-web"]
    assert kept.get("1-web") is None
    assert kept.get("4-web").pool == "web"


def test_a_repeated_id_is_the_newer_record():
    kept, _ = journal(capacity=3)
    keep(kept, plan(acting(1)))
    keep(kept, plan(acting(1, at=AT + 5)))
    assert [r.at for r in kept.find()] == [AT + 5]


@pytest.mark.parametrize(
    ("query", "ids"),
    [
        ({}, ["3-web", "2-jobs", "1-web"]),
        ({"pool": "web"}, ["3-web", "1-web"]),
        ({"action": Action.DECREASE_10}, ["2-jobs"]),
        ({"since": AT + 2}, ["3-web", "2-jobs"]),
        ({"limit": 1}, ["3-web"]),
        ({"pool": "web", "since": AT + 2, "action": Action.HOLD, "limit": 9}, ["3-web"]),
    ],
)
def test_records_are_found_newest_first(query, ids):
    kept, _ = journal()
    keep(kept, plan(acting(1, at=AT + 1)))
    keep(kept, plan(decision(cycle=2, pool="jobs", at=AT + 2, action=Action.DECREASE_10)))
    keep(kept, plan(acting(3, at=AT + 3)))
    assert [r.decision_id for r in kept.find(**query)] == ids


def test_without_a_sink_records_are_kept_in_memory_only():
    kept, counts = journal()
    keep(kept, plan(acting(1)))
    assert counts.n_lost == 0
    assert len(kept.find()) == 1


def test_a_file_object_without_a_buffer_serves_as_a_sink():
    raw = io.BytesIO()
    kept, _ = journal(raw)
    keep(kept, plan(acting(1)))
    assert json.loads(raw.getvalue())["id"] == "1-web"


def test_a_checkpoint_counts_after_an_hour_with_a_record_and_at_the_stop():
    sink = BrokenSink()
    kept, counts = journal(sink)
    for at in (AT, AT + 3599.0, AT + 3600.0):
        keep(kept, replace(plan(decision()), at=at))
    kept.close(AT + 3601.0)
    lines = [json.loads(line) for line in sink.taken.splitlines()]
    counted = [line for line in lines if "checkpoint" in line]
    n = len(lines) - len(counted)
    assert [line["closed"] for line in counted][-1] is True
    assert counted[-1]["checkpoint"] == n == len(counts.records)
    assert counts.n_lost == 0


def test_without_a_record_and_in_text_there_is_no_checkpoint():
    sink = BrokenSink()
    kept, _ = journal(sink)
    kept.close(AT)
    assert sink.taken == b""
    kept, _ = journal(sink, line_format=LineFormat.TEXT)
    keep(kept, plan(decision()))
    kept.close(AT)
    assert b"checkpoint" not in sink.taken


def test_a_checkpoint_that_could_not_be_written_is_no_lost_record(caplog):
    kept, counts = journal(BrokenSink(None, OSError(errno.ENOSPC, "full")))
    keep(kept, plan(decision()))
    assert counts.n_lost == 1
    kept.close(AT)
    assert counts.n_lost == 1
