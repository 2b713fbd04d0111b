"""Who sleeps on a real clock is known by name and has a reason; nobody else does.

A wait for our own tasks belongs on the virtual-time loop, and a wait for a server or a process into
a helper that asks until it holds. What is left is listed here, so that it cannot grow unseen.
"""

import ast
from pathlib import Path

import pytest

from tests.paths import ROOT

TESTS = ROOT / "tests"
VIRTUAL = ("VirtualLoop", "tests.pipeline.world", "tests.sim.runtime.test_virtual_loop")
"""Whoever imports one of these runs its coroutines in virtual time, unless pytest runs them."""

ASKS = "asks a server or a process of its own whether something holds, and ends once it does"
NOTHING = "shows over real sockets that nothing happens for a while: no event tells of that"
IS_TESTED = "the time that passes on a real socket is what is tested"
CLOSES = "lets a closed TLS connection end, which nothing tells of"
SCENE = "the pace of people and pods, or a fault that a proxy was told to play, on real servers"

ALLOWED = {
    "active/owner/test_ratio_and_floor.py::keep_quiet": NOTHING,
    "active/owner/test_ratio_and_floor.py::"
    "test_while_pods_alone_come_and_go_we_move_nothing_and_what_is_anchored_stays": SCENE,
    "active/test_replicas.py::freeze_and_thaw": SCENE,
    "aws/faults.py::answer": SCENE,
    "aws/test_interruptions.py::"
    "test_a_change_of_several_instances_goes_with_the_last_of_them": NOTHING,
    "aws/test_interruptions.py::"
    "test_who_does_not_lead_gives_back_what_it_holds_and_reads_nothing": NOTHING,
    "aws/test_interruptions.py::until": ASKS,
    "aws/test_interruptions.py::until_empty": ASKS,
    "browser/chromium.py::_port_of": ASKS,
    "browser/chromium.py::wait_for": ASKS,
    "contract/real_stage.py::lasts": NOTHING,
    "contract/real_stage.py::until": ASKS,
    "contract/test_watching.py::briefly": NOTHING,
    "controlplane/api.py::wait_until": ASKS,
    "controlplane/fill.py::__aexit__": CLOSES,
    "controlplane/fill.py::send": SCENE,
    "controlplane/processes/process.py::remove_folder": ASKS,
    "controlplane/test_control_plane.py::test_partition_blocks_and_heals": NOTHING,
    "e2e/commands/test_uninstall.py::test_a_running_daemon_is_frozen_and_undoes_its_work": SCENE,
    "karpenter_aws/test_late_room.py::test_room_that_comes_too_late_is_bought_once": SCENE,
    "karpenter_aws/test_losses.py::"
    "test_of_all_these_ends_one_is_a_loss_once_karpenters_metrics_were_read_again": NOTHING,
    "kube/api/test_client.py::test_a_slowed_client_writes_again_after_a_second": IS_TESTED,
    "kube/api/test_connection.py::"
    "test_a_loop_that_stood_still_sends_no_change_after_its_time": IS_TESTED,
    "kube/api/test_reflector.py::test_watches_that_end_at_once_do_not_spin": NOTHING,
    "kube/cache/test_view.py::test_probes_confirm_silent_streams": IS_TESTED,
    "kube/coordination/holding.py::hold": SCENE,
    "kube/coordination/test_config_maps.py::"
    "test_a_freeze_that_cannot_be_confirmed_is_not_known": IS_TESTED,
    "kube/coordination/test_kept_memory.py::wait": NOTHING,
    "kube/coordination/test_lease.py::_hands_over": NOTHING,
    "kube/coordination/test_lease.py::"
    "test_a_holder_that_is_cut_off_knows_it_before_anybody_follows": NOTHING,
    "kube/coordination/test_lease.py::test_many_candidates_make_one_holder": NOTHING,
    "kube/coordination/test_lease.py::until": ASKS,
    "kube/coordination/test_lease.py::watched": ASKS,
    "kube/coordination/test_writes_end_with_the_lease.py::fight": NOTHING,
    "kube/coordination/test_writes_end_with_the_lease.py::go_on": SCENE,
    "kube/coordination/test_writes_end_with_the_lease.py::leader": ASKS,
    "kube/coordination/test_writes_end_with_the_lease.py::note_stalls": IS_TESTED,
    "kube/coordination/test_writes_end_with_the_lease.py::turn": SCENE,
    "kube/fake_api.py::_stream": SCENE,
    "kube/fake_api.py::until": ASKS,
    "kube/scenes.py::await_true": ASKS,
    "kube/usage/test_aggregated_api.py::looked_until": ASKS,
    "kube/write/test_bounded.py::handle": IS_TESTED,
    "kube/write/test_writer.py::held_node": ASKS,
    "kube/write/test_writer_karpenter.py::"
    "test_an_anchor_keeps_a_node_that_karpenter_would_remove": NOTHING,
    "witness/crash_proxy.py::_act": SCENE,
    "witness/hand.py::after_lag": IS_TESTED,
    "witness/self_test/test_crash_proxy.py::"
    "test_a_partition_holds_everything_back_and_heals": NOTHING,
}


def sleeps(node):
    """Say whether a node is a call that waits; giving way (`sleep(0)`) is no wait."""
    called = node.func if isinstance(node, ast.Call) else None
    if getattr(called, "attr", getattr(called, "id", "")) != "sleep":
        return False
    return not (isinstance(node.args[0], ast.Constant) and node.args[0].value == 0)


def sleepers(text):
    """Yield the functions of a module and of its classes that sleep on a real clock."""
    if "sleep" not in text:
        return
    tree, virtual = ast.parse(text), any(name in text for name in VIRTUAL)
    classes = [node for node in tree.body if isinstance(node, ast.ClassDef)]
    for node in [*tree.body, *(inner for one in classes for inner in one.body)]:
        if not isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
            continue
        by_pytest = isinstance(node, ast.AsyncFunctionDef) and node.name.startswith("test_")
        for call in filter(sleeps, ast.walk(node)):
            if not virtual or by_pytest or ast.unparse(call.func) == "time.sleep":
                yield node.name


def test_nobody_else_sleeps_on_a_real_clock_and_nobody_is_listed_in_vain():
    paths = [path for path in sorted(TESTS.rglob("*.py")) if path != Path(__file__)]
    found = {f"{p.relative_to(TESTS)}::{name}" for p in paths for name in sleepers(p.read_text())}
    assert found == set(ALLOWED)


LOOP = "from spotvortex.sim.runtime.virtual_loop import VirtualLoop\n"


@pytest.mark.parametrize(
    ("text", "names"),
    [
        ("def test_a():\n    time.sleep(1)", ["test_a"]),
        ("async def test_a():\n    await asyncio.sleep(0.1)", ["test_a"]),
        ("async def test_a():\n    await asyncio.sleep(0)", []),
        ("def test_a():\n    async def go():\n        await sleep(x)", ["test_a"]),
        ("class A:\n    async def go(self):\n        await asyncio.sleep(1)", ["go"]),
        (LOOP + "def test_a():\n    async def go():\n        await asyncio.sleep(1)", []),
        (LOOP + "async def test_a():\n    await asyncio.sleep(1)", ["test_a"]),
        (LOOP + "def test_a():\n    time.sleep(1)", ["test_a"]),
        ("def test_a():\n    wait_until(sleepy)", []),
    ],
)
def test_a_sleep_on_a_real_clock_is_found_and_one_in_virtual_time_is_none(text, names):
    assert list(sleepers(text)) == names
