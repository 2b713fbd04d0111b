"""Every n-th write of a whole fall back and return: the daemon dies there, and the end is the same.

`CRASH_EVERY` sets n (1 is every write); points lie before and after a request by turns. Each point
has a pool of its own, and the daemon dies twice in it: once on the way out, once on the way back.
"""

import os

import pytest

from tests.active.crash.test_crash import anchors_went, flow
from tests.active.scene.bench import Size
from tests.active.scene.lives import Point
from tests.controlplane.cluster import ControlPlane
from tests.witness.market import CALM, EMERGENCY

EVERY = int(os.environ.get("CRASH_EVERY", "4"))
MAX_WRITES = 400
"""More than any life here takes; reaching it is a fault."""

pytestmark = [
    pytest.mark.controlplane,
    pytest.mark.large,
    pytest.mark.timeout(3 * 3600),
]


@pytest.mark.parametrize("pair", [False, True], ids=["mixed", "pair"])
def test_no_write_is_one_that_the_daemon_may_not_die_at(plane: ControlPlane, tmp_path, pair):
    n_points = 0
    for turn, n in enumerate(range(1, MAX_WRITES, EVERY)):
        point = Point("mutating", after=turn % 2 == 1, n=n)
        folder = tmp_path / f"at-{n}"
        folder.mkdir()
        n_reached = _there_and_back(plane, folder, point, pair=pair)
        n_points += n_reached
        print(f"{point}: {n_reached} crashes, {n_points} so far")
        if not n_reached:
            break
    else:
        raise AssertionError("a life that never ends")
    assert n_points >= 2


def _there_and_back(plane: ControlPlane, folder, point: Point, *, pair: bool) -> int:
    # What never consolidates is brought back by drains of ours, of which there is more to cut.
    with flow(plane, folder, Size(pdb=False, consolidate_after="Never", pair=pair)) as lives:
        bench = lives.bench
        stressed = bench.variables(folder, EMERGENCY, lives.proxy.url)
        lives.die_or_live(point, stressed, lambda: bench.at_end(on_demand=2))
        bench.add_empty("spot", 2)
        calm = bench.variables(folder, CALM, lives.proxy.url)
        lives.die_or_live(point, calm, lambda: bench.at_end(spot=2))
        assert anchors_went(bench)
    return len(lives.reached)
