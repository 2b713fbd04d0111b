"""A simulated run names each variable that is set and that it does not read."""

import pytest

from spotvortex.cli.commands import run
from spotvortex.settings.model import Settings
from tests.sim.day import play_day

READ_BY_THE_COMMAND = {"log_level", "log_format"}
PARTS_OF_WEIGHTS = {"weights", "spot_weight", "on_demand_weight"}
"""Read for a pair of NodePools only where a right to steer is there; they harm nothing here."""


def test_what_is_named_is_what_a_simulated_run_never_reads(tmp_path):
    read = set()

    class Watched(Settings):
        """Notes which settings are asked for."""

        def __getattribute__(self, name):
            read.add(name)
            return super().__getattribute__(name)

    settings = Watched(mode="active", http_port=0, decision_log=tmp_path / "log.jsonl")
    play_day(settings, hours=0.02)
    never = Settings.model_fields.keys() - read - READ_BY_THE_COMMAND - PARTS_OF_WEIGHTS
    # Its value is read, and is not used beside a real clock only.
    assert run.OF_A_REAL_CLUSTER - {"state_dir"} == never


@pytest.mark.parametrize(
    ("given", "named"),
    [
        ({}, []),
        ({"tick_s": "10", "max_wave_nodes": "3"}, []),
        (
            {"state_dir": "/srv/state", "price_file": "/srv/prices.jsonl"},
            ["SPOTVORTEX_PRICE_FILE", "SPOTVORTEX_STATE_DIR"],
        ),
        ({"namespace": "spotvortex", "provisioner": "none"}, ["SPOTVORTEX_PROVISIONER"]),
    ],
)
def test_each_variable_that_is_set_in_vain_is_named(given, named):
    assert run.ignored(Settings(**given)) == named
