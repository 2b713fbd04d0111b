"""The interruption memory survives a restart, and a spoilt file does not stop one."""

import asyncio
import logging
import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from spotvortex.core import risk
from spotvortex.core.risk import Memory, MemoryFormatError, OfferingMemory, from_text, to_text
from spotvortex.core.types import Offering
from spotvortex.errors import SettingsError
from spotvortex.pipeline.channels import Latest
from spotvortex.pipeline.heartbeats import Heartbeats
from spotvortex.pipeline.inference import Inference
from spotvortex.sim.loop import offload_inline
from spotvortex.state.memory_file import FILE_NAME, MemoryFile, open_folder
from tests.core.builders import AT, cluster, observation, pool
from tests.pipeline.world import FlatForecaster, MemoryTelemetry

WEB = Offering(instance_type="m6i.large", zone="us-east-1a")
KNOWN = Memory(
    at=AT,
    offerings={
        WEB: OfferingMemory(losses=2.5, exposure_hours=40.0, last_loss_at=AT - 60.0, updated_at=AT)
    },
    nodes={},
)

counts = st.floats(0.0, 1e9)
memories = st.dictionaries(
    st.builds(
        Offering,
        instance_type=st.from_regex(r"[a-z]\d\.(large|\d+xlarge)", fullmatch=True),
        zone=st.from_regex(r"us-east-1[a-f]", fullmatch=True),
    ),
    st.builds(
        OfferingMemory,
        losses=counts,
        exposure_hours=counts,
        last_loss_at=st.none() | counts,
        updated_at=counts,
    ),
    max_size=5,
)


@given(memories)
def test_what_is_written_is_read_back(offerings):
    memory = Memory(at=AT, offerings=offerings, nodes={})
    assert from_text(to_text(memory)).offerings == offerings


def test_a_restored_memory_counts_nothing_of_the_time_between():
    restored = risk.update(from_text(to_text(KNOWN)), cluster(pool("web", n_spot=3)), AT + 7200.0)
    assert restored.offerings[WEB].exposure_hours < KNOWN.offerings[WEB].exposure_hours
    assert restored.offerings[WEB].losses == pytest.approx(2.5 * math.exp(-2.0 / 72.0))


@given(st.text())
def test_any_text_is_a_memory_or_an_error_that_names_the_line(text):
    error = "line 1"
    try:
        from_text(text)
    except MemoryFormatError as caught:
        error = str(caught)
    assert "line " in error


@pytest.mark.parametrize(
    "row",
    ["m6i.large us-east-1a 1", "m6i.large a x 1 - 1", "m6i.large a nan 1 - 1", "m a -1 1 - 1"],
)
def test_a_row_that_is_none_is_named(row):
    text = to_text(Memory(offerings={}, nodes={})) + row
    with pytest.raises(MemoryFormatError, match="line 2"):
        from_text(text)


def test_a_file_is_replaced_whole_and_read_again(tmp_path):
    store = open_folder(tmp_path)
    assert store.load() == risk.EMPTY_MEMORY
    assert store.save(KNOWN)
    assert store.load().offerings == KNOWN.offerings
    assert [path.name for path in tmp_path.iterdir()] == [FILE_NAME]


def test_a_spoilt_file_is_kept_aside(tmp_path, caplog):
    (tmp_path / FILE_NAME).write_text("# something newer\n")
    with caplog.at_level(logging.WARNING):
        assert open_folder(tmp_path).load() == risk.EMPTY_MEMORY
    assert [record.message for record in caplog.records] == ["memory.unreadable"]
    assert [path.suffix for path in tmp_path.iterdir()] == [".unreadable"]


def test_a_folder_that_is_gone_is_told_and_survived(tmp_path, caplog):
    store = MemoryFile(tmp_path / "gone")
    with caplog.at_level(logging.WARNING):
        assert not store.save(KNOWN)
    assert [record.message for record in caplog.records] == ["memory.not_saved"]


def test_a_folder_that_is_none_stops_the_start_and_names_its_setting(tmp_path):
    with pytest.raises(SettingsError, match="SPOTVORTEX_STATE_DIR"):
        open_folder(tmp_path / "gone")


def test_inference_goes_on_from_the_saved_memory_and_saves_at_the_end(tmp_path):
    store = open_folder(tmp_path)
    store.save(KNOWN)
    subject = Inference(
        forecaster=FlatForecaster(),
        offload=offload_inline,
        telemetry=MemoryTelemetry(),
        heartbeats=Heartbeats({"inference": 60.0}),
        store=store,
    )

    async def main():
        source, out = Latest("observations"), Latest("assessments")
        source.put(observation(pool("web", n_spot=3)))
        source.close()
        await subject.run(source, out)

    asyncio.run(main())
    assert store.load().offerings[WEB].losses == pytest.approx(2.5)
