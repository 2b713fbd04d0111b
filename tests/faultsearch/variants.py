"""Deliberately broken controllers, each with the promises that it breaks.

Each variant patches one decision of the product out. A fault search that finds none of them would
prove nothing by finding nothing in the product.
"""

from dataclasses import dataclass, replace
from itertools import count

import pytest

from spotvortex.core.decision import maintenance, rule_policy
from spotvortex.core.decision.gates import disruption, losses
from spotvortex.core.domain import sides
from spotvortex.core.domain.types import Freeze
from spotvortex.core.drain import machine, progress
from spotvortex.core.drain.calls import Done
from spotvortex.core.drain.messages import DrainEnd
from spotvortex.core.drain.views import Halt
from spotvortex.core.pool import group_fit, reduction, shifting, summary
from spotvortex.core.pool.survival import zone_loss
from spotvortex.core.scoring import scores
from spotvortex.core.scoring.features import OfferingScore
from spotvortex.kube.write import wanted_nodes
from spotvortex.kube.write.scaling import provisioner
from spotvortex.kube.write.scaling.provisioner import ScalingProvisioner
from spotvortex.pipeline import router
from spotvortex.pipeline.drains import guard
from spotvortex.pipeline.drains.actuators import Actuators
from spotvortex.ports.lease_timing import LeaseTiming
from spotvortex.sim.groups.cloud import ScalingCloud
from spotvortex.sim.runtime.coordination import Leadership


@dataclass(frozen=True)
class Variant:
    """`promises` are those that it may break, `within` the episodes in which it must be found.

    A search from the first episode on is a large test; the others begin at episode `begins`, a few
    before the one that broke it last.
    """

    name: str
    promises: frozenset
    within: int
    breaks: object
    begins: int = 1


def no_lease(patch):
    standing = Leadership.standing
    patch.setattr(Leadership, "standing", lambda self: replace(standing(self), leader=True))
    patch.setattr(Leadership, "writes_until", lambda _self: float("inf"))


def writes_outlive_the_lease(patch):
    """As it was: the lease is checked once a call, and each request then has 10 s."""
    patch.setattr(LeaseTiming, "answer_s", lambda _self, _left_s: 10.0)


def evicts_before_ready(patch):
    patch.setattr(progress, "_has_room", lambda _order, _progress, _view: True)


def no_budget(patch):
    patch.setattr(guard.GuardedActuator, "_over_budget", lambda _self, _call: None)


def no_journal(patch):
    patch.setattr(machine, "to_text", lambda _order: "")


def never_expires(patch):
    made = machine._placeholder
    patch.setattr(machine, "_placeholder", lambda *a: replace(made(*a), expires_s=86_400))


def freeze_read_once(patch):
    read, firsts = Leadership._freeze, {}

    def once(self):
        return firsts.setdefault(id(self), read(self))

    patch.setattr(Leadership, "_freeze", once)


def no_do_not_disrupt(patch):
    for module in (machine, progress, summary):
        patch.setattr(module, "HARD_BLOCKERS", frozenset())


def asks_again(patch):
    numbers = count()
    made = machine._placeholder
    patch.setattr(
        machine, "_placeholder", lambda *a: replace(made(*a), name=f"room-{next(numbers)}")
    )
    patch.setattr(progress, "_as_asked", lambda done, _view: done)


def acts_on_stale_inputs(patch):
    patch.setattr(guard.GuardedActuator, "_stale", lambda _self: "")


def never_undoes(patch):
    patch.setattr(
        machine, "_undo", lambda _o, _p, _v: machine.Finish(DrainEnd.ABORTED, "left as it is")
    )


def fears_a_failed_model(patch):
    def afraid(context, *, in_scope):
        return OfferingScore(
            offering=context.offering, capacity_score=0.99, runtime_score=0.99, in_scope=in_scope
        )

    patch.setattr(scores, "unscored", afraid)


def writes_in_shadow(patch):
    patch.setattr(Actuators, "of", lambda self, _mode: self.writing)


def no_precondition(patch):
    made = machine._mark
    patch.setattr(machine, "_mark", lambda *a: replace(made(*a), resource_version=""))


def saves_nothing(patch):
    async def unsaved(_self, plan):
        return plan.observation.standing.leader

    patch.setattr(router.Router, "_saved_first", unsaved)


def freeze_does_not_stop_a_drain(patch):
    objection = guard.GuardedActuator._objection

    def deaf(self, call):
        said = objection(self, call)
        frozen = self.authority.standing().freeze is not Freeze.NONE
        return None if frozen and said is not None else said

    patch.setattr(guard.GuardedActuator, "_objection", deaf)
    patch.setattr(guard.GuardedActuator, "_halt", lambda _self, **_: (Halt.NONE, ""))


def an_uninstall_lets_losses_pass(patch):
    """As a soft freeze does."""
    patch.setattr(Freeze, "lets_losses_pass", property(lambda self: self is not Freeze.HARD))


def a_soft_freeze_lets_all_pass(patch):
    """What is meant for a node that is lost anyway is given to every move."""
    patch.setattr(guard, "empties_lost_node", lambda _call: True)
    halt = guard.GuardedActuator._halt
    patch.setattr(guard.GuardedActuator, "_halt", lambda self, **_: halt(self, lost=True))


def no_floor(patch):
    for module in (rule_policy, disruption, maintenance):
        patch.setattr(module, "floor_nodes", lambda _pool, _limits: 0)


def leaves_its_pool(patch):
    wanted = wanted_nodes.nodes_wanted_of_karpenter
    patch.setattr(
        wanted_nodes, "nodes_wanted_of_karpenter", lambda call: replace(wanted(call), all_of=())
    )


def asks_its_own_nodepool(patch):
    """As it was: the other capacity type of the very NodePool that the node belongs to."""
    patch.setattr(reduction, "receiving_sides", lambda node, _groups, _to: (node.node_group,))


def drains_node_groups(patch):
    """As it was: the driver of Karpenter is asked for every node, by capacity type alone."""
    leaves_its_pool(patch)
    for module in (sides, group_fit):
        patch.setattr(module, "is_driven", lambda _node: True)


def keeps_no_receiver(patch):
    """Placeholders alone: once their pods are there, Cluster Autoscaler may find it unneeded."""
    for module in (machine, progress):
        patch.setattr(module, "to_keep", lambda _order, _progress, _view: [])


def gives_no_node_back(patch):
    patch.setattr(maintenance, "_kept_no_more", lambda _nodes, _flying: [])


def reads_budgets_as_losses(patch):
    """As it was: a loss is bounded by PodDisruptionBudgets, and without one by nothing."""

    def by_budgets(case, reply, _n_workloads):
        return losses._by_budgets(case, reply)

    patch.setattr(losses, "_by_words", by_budgets)


def forgets_what_is_on_spot(patch):
    made = zone_loss._margin
    patch.setattr(
        zone_loss, "_margin", lambda fact, *a: made(replace(fact, spot_by_offering=()), *a)
    )


def shifts_without_fear(patch):
    """A node goes from Spot to other Spot whatever a loss there would take."""
    patch.setattr(shifting, "pick_shiftable", lambda nodes, *_, **__: list(nodes))


def asks_a_group_again(patch):
    """As others do: a size is raised by so many, whatever was asked for before."""

    async def again(self, growth, group, until):
        size = min(group.largest, group.desired + growth.n_nodes)
        await self.service.set_desired(group, size, self._bound_s(until))
        return Done()

    patch.setattr(ScalingProvisioner, "_set", again)


def ends_without_decrement(patch):
    """The group replaces what is ended, so that a drained node comes back."""
    end = ScalingCloud.end
    patch.setattr(ScalingCloud, "end", lambda *a: end(*a, decrement=False))


def never_settles(patch):
    patch.setattr(maintenance, "_grown_no_more", lambda _cluster, _flying: [])


def forgets_what_was_moved(patch):
    """All that a wave has asked for is given back, although its nodes were drained and ended."""
    given = provisioner.to_give_back
    patch.setattr(
        provisioner,
        "to_give_back",
        lambda growth, group, _gone, _in_use: given(growth, group, 0, ()),
    )


VARIANTS = [
    Variant("no lease check", frozenset({7}), 200, no_lease),
    Variant("writes outlive the lease", frozenset({7}), 100, writes_outlive_the_lease, begins=13),
    Variant("evicts before room is Ready", frozenset({2}), 40, evicts_before_ready),
    Variant("no budget at the write", frozenset({3}), 100, no_budget, begins=30),
    Variant("no floor", frozenset({4}), 300, no_floor, begins=5),
    Variant("no journal in the mark", frozenset({5}), 40, no_journal),
    Variant("placeholders that never expire", frozenset({11}), 40, never_expires),
    Variant("freeze read only once", frozenset({7}), 100, freeze_read_once, begins=4),
    Variant("do-not-disrupt ignored", frozenset({6}), 100, no_do_not_disrupt, begins=4),
    Variant("waves and waits not saved", frozenset({8}), 400, saves_nothing, begins=90),
    Variant("asks for room again", frozenset({9}), 100, asks_again, begins=4),
    Variant("acts on stale inputs", frozenset({7}), 100, acts_on_stale_inputs),
    Variant("never undoes", frozenset({5, 11}), 400, never_undoes, begins=66),
    Variant("fears a failed model", frozenset({10}), 100, fears_a_failed_model, begins=14),
    Variant("writes in shadow", frozenset({1}), 100, writes_in_shadow, begins=3),
    Variant("no precondition in the mark", frozenset({7}), 40, no_precondition),
    Variant(
        "a freeze does not stop a drain",
        frozenset({7}),
        100,
        freeze_does_not_stop_a_drain,
        begins=4,
    ),
    Variant(
        "a soft freeze lets all pass", frozenset({7}), 100, a_soft_freeze_lets_all_pass, begins=7
    ),
    Variant(
        "an uninstall answers losses", frozenset({7}), 100, an_uninstall_lets_losses_pass, begins=13
    ),
    Variant("a placeholder without its pool", frozenset({12}), 40, leaves_its_pool, begins=5),
    Variant("a pair asks its own NodePool", frozenset({12}), 40, asks_its_own_nodepool),
    Variant("node groups are drained", frozenset({12}), 40, drains_node_groups, begins=5),
    Variant("keeps no receiver", frozenset({2}), 100, keeps_no_receiver, begins=4),
    Variant("gives no node back", frozenset({5}), 100, gives_no_node_back, begins=4),
    Variant("asks a group again", frozenset({14}), 40, asks_a_group_again, begins=9),
    Variant("ends without decrement", frozenset({14}), 100, ends_without_decrement),
    Variant("never settles", frozenset({14}), 40, never_settles),
    Variant("forgets what was moved", frozenset({14}), 100, forgets_what_was_moved),
    Variant("budgets are read as losses", frozenset({13}), 100, reads_budgets_as_losses, begins=57),
    Variant("a shift fears no loss", frozenset({13}), 100, shifts_without_fear, begins=18),
    Variant("what is on Spot is forgotten", frozenset({13}), 200, forgets_what_is_on_spot),
]


@pytest.fixture
def broken(request, monkeypatch):
    request.param.breaks(monkeypatch)
    return request.param
