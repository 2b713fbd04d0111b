"""A file is read again when it changes, and what it said before counts while it cannot be read."""

import asyncio
import os

import pytest

from spotvortex.core.domain.inputs import InputName, InputState
from spotvortex.errors import CommitmentsError
from spotvortex.market.files import watched
from spotvortex.market.files.watched import WatchedFile
from tests.market.files.config_map import mounted

NOW = 1_784_000_000.0


class Clock:
    """Wall time that a test sets."""

    def __init__(self):
        self.at = NOW

    def now(self):
        return self.at


class Words:
    """Reads a file's text, refuses `bad`, and counts how often it was asked."""

    def __init__(self):
        self.n_read = 0

    def __call__(self, path):
        self.n_read += 1
        try:
            text = path.read_text()
        except OSError as error:
            raise CommitmentsError(f"{path}: cannot be read.") from error
        if text == "bad":
            raise CommitmentsError("word: is bad; write another.")
        return text


def watching(path, clock=None):
    read = Words()
    file = WatchedFile(path, read, InputName.COMMITMENTS, clock or Clock())
    file.look()
    return file, read


def put(path, text):
    """Replace a file as a careful program does: written beside, then renamed."""
    beside = path.with_suffix(".new")
    beside.write_text(text)
    beside.rename(path)


def test_what_has_not_changed_is_not_read_again(tmp_path):
    put(tmp_path / "f", "one")
    file, read = watching(tmp_path / "f")
    for _ in range(3):
        file.look()
    assert (file.value, read.n_read) == ("one", 1)


def test_a_new_file_of_the_same_name_is_read(tmp_path, caplog):
    caplog.set_level("INFO")
    put(tmp_path / "f", "one")
    file, _ = watching(tmp_path / "f")
    put(tmp_path / "f", "two")
    file.look()
    assert file.value == "two"
    assert [r.message for r in caplog.records] == ["commitments.read_again"]


def test_a_file_written_over_in_place_is_read(tmp_path):
    path = tmp_path / "f"
    path.write_text("one")
    file, _ = watching(path)
    path.write_text("two")
    os.utime(path, ns=(1, 1))
    file.look()
    assert file.value == "two"


def test_a_config_map_that_is_mounted_changes_by_a_link(tmp_path):
    link = mounted(tmp_path, "..v1", "f", "one")
    file, _ = watching(link)
    assert file.value == "one"
    before = os.readlink(link)
    mounted(tmp_path, "..v2", "f", "two")
    assert os.readlink(link) == before
    file.look()
    assert file.value == "two"


def test_a_bad_new_file_keeps_what_was_read_and_is_told_once(tmp_path, caplog):
    clock = Clock()
    put(tmp_path / "f", "one")
    file, read = watching(tmp_path / "f", clock)
    assert file.health(clock.at).state is InputState.OK
    put(tmp_path / "f", "bad")
    clock.at += 60.0
    for _ in range(3):
        file.look()
    assert (file.value, read.n_read) == ("one", 2)
    health = file.health(clock.at)
    assert (health.state, health.age_s, health.required) == (InputState.STALE, 60.0, False)
    assert health.detail == "word: is bad; write another. What it said before counts."
    (record,) = caplog.records
    assert (record.message, record.kept) == ("commitments.unread", "the state before counts")
    put(tmp_path / "f", "three")
    file.look()
    assert (file.value, file.trouble) == ("three", "")
    assert file.health(clock.at).age_s == 0.0


def test_a_file_that_goes_keeps_what_was_read(tmp_path):
    path = tmp_path / "f"
    put(path, "one")
    file, _ = watching(path)
    path.unlink()
    file.look()
    assert file.value == "one"
    assert not file.is_there
    assert file.health(NOW).state is InputState.STALE


def test_where_there_never_was_a_file_nothing_is_said(tmp_path, caplog):
    file, _ = watching(tmp_path / "none")
    file.look()
    assert (file.value, file.is_there, file.health(NOW)) == (None, False, None)
    assert caplog.records == []
    put(tmp_path / "none", "one")
    file.look()
    assert file.value == "one"


def test_a_file_that_was_never_good_is_absent(tmp_path, caplog):
    put(tmp_path / "f", "bad")
    file, _ = watching(tmp_path / "f")
    health = file.health(NOW)
    assert (file.value, file.is_there) == (None, True)
    assert (health.state, health.detail) == (InputState.ABSENT, "word: is bad; write another.")
    assert caplog.records[0].kept == "nothing counts"


def test_what_changes_while_it_is_read_is_read_at_the_next_look(tmp_path):
    path = tmp_path / "f"
    put(path, "one")
    texts = []

    def slow(found):
        text = found.read_text()
        texts.append(text)
        if len(texts) == 1:
            put(path, "two")
        return text

    file = WatchedFile(path, slow, InputName.COMMITMENTS, Clock())
    file.look()
    assert file.value == "one"
    file.look()
    assert file.value == "two"


@pytest.mark.parametrize("fills", [True, False])
async def test_the_loop_goes_on_while_a_file_is_read(tmp_path, monkeypatch, fills):
    """The reader waits for the loop itself: read on the loop, it would never end."""
    monkeypatch.setattr(watched, "LOOK_S", 0.01)
    put(tmp_path / "f", "one")
    loop = asyncio.get_running_loop()
    begun, stop = asyncio.Event(), asyncio.Event()

    def waits(path):
        asyncio.run_coroutine_threadsafe(_set(begun), loop).result(10.0)
        if not fills:
            raise CommitmentsError("no.")
        return path.read_text()

    file = WatchedFile(tmp_path / "f", waits, InputName.COMMITMENTS, Clock())
    async with asyncio.TaskGroup() as group:
        group.create_task(file.run(stop))
        await asyncio.wait_for(begun.wait(), 10.0)
        stop.set()
    assert file.value == ("one" if fills else None)


async def _set(event):
    event.set()
