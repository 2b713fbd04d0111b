"""A checkpoint stands among records, is told from them, and is read back."""

import json

import pytest

from spotvortex.core.record.checkpoint import Checkpoint, is_checkpoint, read_checkpoint
from spotvortex.core.record.codec import CodecError
from spotvortex.core.record.record import record_of
from tests.telemetry.decisions import AT, decision

ONE = Checkpoint(checkpoint=100, start="a" * 64, last="b" * 64, closed=False)


@pytest.mark.parametrize("closed", [True, False])
def test_a_checkpoint_is_one_line_and_is_read_back(closed):
    made = Checkpoint(checkpoint=7, start="a", last="b", closed=closed)
    line = made.line(AT)
    assert "\n" not in line
    assert read_checkpoint(line) == made
    assert json.loads(line)["time"] == "2026-07-14T04:34:30.250Z"


def test_a_checkpoint_is_told_from_a_record():
    assert is_checkpoint(ONE.line(AT))
    assert not is_checkpoint(record_of(decision(), "", "1").line)


@pytest.mark.parametrize(
    ("line", "words"),
    [
        ("{", "no JSON"),
        ("[" * 100_000, "no JSON"),
        ("[1]", "no checkpoint"),
        ("null", "no checkpoint"),
        ('{"checkpoint":"seven","start":"a","last":"b","closed":true}', "checkpoint"),
        ('{"checkpoint":7,"start":"a","last":"b"}', "closed"),
        ('{"checkpoint":7,"start":"a","last":"b","closed":true,"more":1}', "exactly"),
    ],
)
def test_what_is_no_checkpoint_is_refused(line, words):
    with pytest.raises(CodecError, match=words):
        read_checkpoint(line)
