"""A node that the cloud takes while the daemon is frozen: softly, and as `uninstall` does it.

The risk would have every Spot node moved, so that a freeze that let more than losses pass would
show at once.
"""

import time

import pytest

from tests.active.crash.test_crash import flow
from tests.active.scene.bench import CONFIG_MAPS, Size
from tests.active.scene.cloud import ImpatientSqs
from tests.active.scene.lives import tail
from tests.active.scene.town import steady
from tests.controlplane.api import wait_until
from tests.core.events import interruption
from tests.e2e.equipment.daemon import Daemon
from tests.witness.judge.names import FREEZE
from tests.witness.market import EMERGENCY

pytestmark = [pytest.mark.controlplane, pytest.mark.timeout(300)]

QUIET_S = 8.0
"""Many times the tick, and longer than the queue hides a message."""


def refused(daemon: Daemon, pool: str, how: str) -> bool:
    """Tell whether the newest decision meets a freeze of this kind; unchanged, it is not logged."""
    gates = daemon.pools().get(pool, {"gates": []})["gates"]
    words = f"ConfigMap {FREEZE} exists ({how})"
    return ("refuse", words) in [(gate["outcome"], gate["reason"]) for gate in gates]


def test_a_soft_freeze_empties_a_lost_node_and_moves_no_other_and_an_uninstall_not_even_that(
    plane, tmp_path
):
    with ImpatientSqs() as queue, flow(plane, tmp_path, Size()) as lives:
        bench, proxy = lives.bench, lives.proxy
        bench.freeze()
        variables = bench.variables(tmp_path, EMERGENCY, proxy.url) | queue.variables()
        with Daemon(tmp_path, variables) as daemon:
            daemon.wait_ready()
            wait_until(lambda: refused(daemon, bench.pool, "soft"), 60)
            queue.send(interruption(bench.an_instance(), at=time.time()))
            try:
                wait_until(lambda: bench.at_end(spot=1, on_demand=2), 90)
            except TimeoutError:
                raise AssertionError(f"{bench.standing()}\n{tail(daemon)}") from None
            wait_until(lambda: not queue.n_left(), 30)
            begun = proxy.counts()
            assert (begun.get("mark"), begun.get("delete-nodeclaim")) == (1, 1)
            assert not begun.get("create-anchor")

            bench.api.patch(f"{CONFIG_MAPS}/{FREEZE}", {"data": {"leave": "true"}})
            wait_until(lambda: refused(daemon, bench.pool, "leave"), 30)
            (left,) = [n for n in bench.nodes() if "-spot-" in n["metadata"]["name"]]
            instance = left["spec"]["providerID"].rpartition("/")[2]
            queue.send(interruption(instance, "another", at=time.time()))
            steady(lambda: proxy.counts().get("mark"), QUIET_S)
            assert proxy.counts().get("mark") == 1
            assert bench.at_end(spot=1, on_demand=2)
            assert queue.n_left() == 1
            assert daemon.stop() == 0
