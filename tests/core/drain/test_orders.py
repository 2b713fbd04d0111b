"""An order's journal is read back as it was written, and what cannot be read is said to be so."""

import json
import math
from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from spotvortex.core.domain.sides import MAX_SIDES
from spotvortex.core.domain.types import CapacityType, Mode, Offering
from spotvortex.core.drain.messages import DrainOrder, OrderKind
from spotvortex.core.drain.orders import (
    MAX_AVOIDED,
    MAX_REASON,
    MAX_TEXT,
    TAKEN,
    from_text,
    in_flight,
    plan_in,
    to_text,
)
from tests.core import odd
from tests.core.builders import cluster, on_demand, pool, spot
from tests.core.in_flight import anchor, loss, marked, order, placeholder, with_nodes

words = st.text(max_size=63)
finite = st.floats(allow_nan=False, allow_infinity=False)
orders = st.builds(
    DrainOrder,
    plan_id=words,
    pool=words,
    node=words,
    uid=words,
    claim=words,
    sides=st.lists(words, max_size=MAX_SIDES).map(tuple),
    to=st.sampled_from(CapacityType),
    reason=st.text(max_size=MAX_REASON),
    deadline=finite,
    traceparent=words,
    kind=st.sampled_from(OrderKind),
    mode=st.just(Mode.ACTIVE),
    avoid=st.lists(
        st.builds(Offering, instance_type=words.map(lambda w: w.replace("/", "")), zone=words),
        max_size=MAX_AVOIDED,
    ).map(tuple),
    bind_by=st.one_of(finite, st.just(math.inf)),
)


@odd.many
@given(orders)
def test_an_order_is_read_back_as_it_was_written(made):
    assert from_text(to_text(made)) == made
    assert to_text(from_text(to_text(made))) == to_text(made)


def test_the_longest_order_of_a_cluster_fits():
    long = "n" * 253
    made = order(
        long,
        pool=long,
        claim=long,
        # Group names are values of labels.
        sides=("n" * 63,) * MAX_SIDES,
        reason="r" * 9999,
        traceparent="t" * 55,
    )
    assert len(to_text(made)) <= MAX_TEXT
    assert from_text(to_text(made)).reason == "r" * MAX_REASON


def changed(**values):
    return json.dumps(json.loads(to_text(order())) | values)


def lacking(name):
    return json.dumps({k: v for k, v in json.loads(to_text(order())).items() if k != name})


@pytest.mark.parametrize(
    "text",
    [
        "",
        "{",
        "null",
        "[]",
        '"text"',
        "{}",
        changed(v=2),
        changed(v=None),
        changed(kind="other"),
        changed(to="moon"),
        changed(to=["spot"]),
        changed(node=7),
        changed(deadline=None),
        changed(deadline="soon"),
        changed(deadline=math.inf),
        changed(deadline=math.nan),
        changed(deadline=10**400),
        changed(bind_by="never"),
        changed(bind_by=10**400),
        lacking("uid"),
        lacking("bind_by"),
        "[" * MAX_TEXT,
        changed(reason="x" * MAX_TEXT),
        changed(sides="web"),
        changed(sides={"web": 1}),
        changed(sides=["web", 7]),
        changed(avoids=["m6i.large/us-east-1a", 7]),
        changed(avoids={"m6i.large/us-east-1a": 1}),
    ],
)
def test_what_is_no_order_of_ours_is_not_read(text):
    assert from_text(text) is None


@pytest.mark.parametrize(("own", "sides"), [("web-spot", ("web-spot",)), ("", ())])
def test_an_older_journal_names_the_nodes_own_group_as_the_only_side(own, sides):
    document = json.loads(lacking("sides")) | {"nodepool": own}
    assert from_text(json.dumps(document)) == order(sides=sides)


def test_a_text_of_the_greatest_length_is_read_and_a_longer_one_is_not():
    assert from_text(to_text(order()).ljust(MAX_TEXT)) == order()
    assert from_text(to_text(order()).ljust(MAX_TEXT + 1)) is None


@odd.many
@given(st.text(max_size=200))
def test_no_text_is_a_fault(text):
    assert from_text(text) is None


@pytest.mark.parametrize("text", ["", "{", "null", "[]", "{}", '{"plan":7}', "[" * 10**5])
def test_what_names_no_plan_has_none(text):
    assert plan_in(text) == ""


def test_the_plan_of_a_newer_version_is_read():
    assert plan_in(changed(v=2, plan="p7")) == "p7"


FACTS = pool()


def test_nothing_of_ours_is_nothing_in_flight():
    found = in_flight(cluster(FACTS))
    assert (found.orders, found.unread_marks, found.unread_pods) == ((), (), ())
    assert found.uids == frozenset()


def test_orders_are_found_on_nodes_and_on_placeholders_sorted_by_uid():
    one, two = order("web-s1"), order("web-s0")
    facts = with_nodes(FACTS, marked(FACTS.nodes[1], one))
    found = in_flight(cluster(facts, own_pods=(placeholder(two), placeholder(two, 1))))
    assert found.orders == (two, one)
    assert found.uids == {"uid-web-s0", "uid-web-s1"}


def test_the_journal_of_a_node_counts_before_that_of_its_placeholders():
    first, later = order("web-s0"), loss("web-s0")
    facts = with_nodes(FACTS, marked(FACTS.nodes[0], later))
    assert in_flight(cluster(facts, own_pods=(placeholder(first),))).orders == (later,)


def test_of_two_placeholders_the_first_counts():
    first, second = order("web-s0"), order("web-s0", plan_id="p2")
    found = in_flight(cluster(FACTS, own_pods=(placeholder(first), placeholder(second))))
    assert found.orders == (first,)


def test_anchors_and_what_has_ended_tell_of_no_order():
    made = order()
    over = (placeholder(made, 0, finished=True), placeholder(made, 1, terminating=True))
    found = in_flight(cluster(FACTS, own_pods=(*over, anchor("web-d0"))))
    assert found == in_flight(cluster(FACTS))


def test_an_order_of_a_node_that_is_gone_is_still_in_flight():
    made = order("gone")
    assert in_flight(cluster(FACTS, own_pods=(placeholder(made),))).orders == (made,)


def test_what_cannot_be_read_or_is_about_another_node_is_listed():
    odd_mark = replace(FACTS.nodes[0], mark="{")
    strange = marked(FACTS.nodes[1], order("web-s1", uid="another"))
    facts = with_nodes(FACTS, odd_mark, strange)
    pods = (placeholder(order(), order=changed(v=2)), placeholder(order(), 1, for_uid="another"))
    found = in_flight(cluster(facts, own_pods=pods))
    assert found.orders == ()
    assert [n.name for n in found.unread_marks] == ["web-s0", "web-s1"]
    assert found.unread_pods == pods


def test_a_marked_node_of_no_pool_counts_too():
    lone = marked(on_demand("lone", pool=""), order("lone", pool=""))
    found = in_flight(cluster(pool(nodes=(spot("s1"),)), unpooled=(lone,)))
    assert [o.node for o in found.orders] == ["lone"]


def test_shared_room_tells_no_order_and_is_orphaned_once_no_node_of_its_plan_is_left():
    made = loss("web-s0")
    room = placeholder(made, for_uid=made.plan_id, order="")
    here = with_nodes(pool(), marked(pool().nodes[0], made))
    found = in_flight(cluster(here, own_pods=(room,)))
    assert [o.uid for o in found.orders] == [made.uid]
    assert (found.unread_pods, found.orphaned_plans) == ((), frozenset())
    assert in_flight(cluster(pool(), own_pods=(room,))).orphaned_plans == {made.plan_id}


@pytest.mark.parametrize(
    ("made", "is_taken"),
    [
        (loss("web-s0"), True),
        (loss("web-s0", reason="notice scheduled-change"), False),
        (order("web-s0", reason=TAKEN), False),
    ],
)
def test_only_a_node_that_the_cloud_takes_by_notice_counts_as_interrupted(made, is_taken):
    facts = with_nodes(FACTS, marked(FACTS.nodes[0], made))
    assert bool(in_flight(cluster(facts)).interrupted) is is_taken


def test_a_node_of_an_order_that_is_on_its_way_out_is_leaving():
    made = order("web-s0")
    going = marked(replace(FACTS.nodes[0], moving=True), made)
    other = replace(FACTS.nodes[1], moving=True)
    assert in_flight(cluster(with_nodes(FACTS, going, other))).leaving == {made.uid}
    assert in_flight(cluster(with_nodes(FACTS, marked(FACTS.nodes[0], made)))).leaving == set()
