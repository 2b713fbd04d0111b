"""The interruption memory survives a restart, and a spoilt file does not stop one."""

import asyncio
import logging
import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from spotvortex.core.domain.types import Offering
from spotvortex.core.scoring import hazard, interruption_memory
from spotvortex.core.scoring.interruption_memory import Memory, OfferingMemory
from spotvortex.core.scoring.memory_text import MemoryFormatError, from_text, to_text
from spotvortex.errors import SettingsError
from spotvortex.persistence.memory_file import FILE_NAME, MemoryFile, open_folder
from spotvortex.pipeline.assessor import Assessor
from spotvortex.pipeline.channels import Latest
from spotvortex.pipeline.health import Heartbeats
from spotvortex.pipeline.scorer import Scorer
from spotvortex.sim.runtime.virtual_loop import offload_inline
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
        loss_shares=counts,
        shaped_hours=counts,
        left_survivors=st.booleans(),
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
    restored = interruption_memory.update(
        from_text(to_text(KNOWN)), cluster(pool("web", n_spot=3)), AT + 7200.0
    )
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
    [
        "m6i.large us-east-1a 1",
        "m6i.large a 1 1 - 1",
        "m6i.large a x 1 1 1 - 0 1",
        "m6i.large a - 1 1 1 - 0 1",
        "m6i.large a nan 1 1 1 - 0 1",
        "m6i.large a 1 1 1 1 inf 0 1",
        "m a -1 1 1 1 - 0 1",
    ],
)
def test_a_row_that_is_none_is_named(row):
    text = to_text(Memory(offerings={}, nodes={})) + row
    with pytest.raises(MemoryFormatError, match="line 2"):
        from_text(text)


OLD = """\
# spotvortex interruption memory, version 1: type zone losses exposure_hours last_loss_at updated_at
c6i.large us-east-1b 0.0 100.0 - 1784000000.0
m6i.large us-east-1a 2.5 40.0 1783999940.0 1784000000.0
"""


def test_the_version_before_is_read_and_the_present_one_written():
    read = from_text(OLD)
    known = read.offerings[WEB]
    assert (known.losses, known.exposure_hours, known.last_loss_at) == (2.5, 40.0, AT - 60.0)
    assert (known.loss_shares, known.left_survivors) == (2.5, False)
    assert known.hazard_per_hour == KNOWN.offerings[WEB].hazard_per_hour
    level = (2.5 + 0.0) / known.shaped_hours
    rate = known.hazard_per_hour
    assert level == pytest.approx(2.5 / 40.0 * hazard.base_of(rate) / rate)
    text = to_text(read)
    assert text.startswith("# spotvortex interruption memory, version 4:")
    assert from_text(text) == read


def test_an_old_entry_without_a_loss_has_no_more_than_the_prior_level():
    quiet = from_text(OLD).offerings[Offering(instance_type="c6i.large", zone="us-east-1b")]
    assert quiet.loss_shares == 0.0
    assert 100.0 < quiet.shaped_hours < 110.0
    assert (
        quiet.level_per_hour(interruption_memory.PRIOR_LEVEL_PER_HOUR)
        < interruption_memory.PRIOR_LEVEL_PER_HOUR
    )


def test_the_level_that_offerings_share_is_known_again_after_a_restart():
    memory = from_text(OLD)
    assert from_text(to_text(memory)).shared_per_hour == memory.shared_per_hour
    assert memory.shared_per_hour > interruption_memory.PRIOR_LEVEL_PER_HOUR


def test_as_many_offerings_as_are_kept_fit_in_a_quarter_of_a_mebibyte():
    figures = OfferingMemory(
        losses=12.345678901234567,
        exposure_hours=1234.5678901234567,
        loss_shares=1.2345678901234567e-10,
        shaped_hours=12345.678901234567,
        last_loss_at=1783999940.1234567,
        left_survivors=True,
        updated_at=1784000000.1234567,
    )
    names = (f"u7inh-32tb.{i}xlarge" for i in range(interruption_memory.MAX_OFFERINGS))
    zone = "ap-southeast-2-akl-1a"
    many = {Offering(instance_type=name, zone=zone): figures for name in names}
    text = to_text(Memory(offerings=many, nodes={}))
    assert len(from_text(text).offerings) == interruption_memory.MAX_OFFERINGS == 1000
    assert len(text.encode()) <= 256 * 1024


def test_a_file_is_replaced_whole_and_read_again(tmp_path):
    store = open_folder(tmp_path)
    assert store.load() == interruption_memory.EMPTY_MEMORY
    assert store.save(KNOWN)
    assert store.load().offerings == KNOWN.offerings
    assert [path.name for path in tmp_path.iterdir()] == [FILE_NAME]


def test_a_spoilt_file_is_kept_aside(tmp_path, caplog):
    (tmp_path / FILE_NAME).write_text("# something newer\n")
    with caplog.at_level(logging.WARNING):
        assert open_folder(tmp_path).load() == interruption_memory.EMPTY_MEMORY
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
    subject = Assessor(
        scorer=Scorer(forecaster=FlatForecaster(), offload=offload_inline),
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
