"""A pair `x-spot` and `x-od` made of a mixed NodePool `x`, as YAML with what to do in which order.

Comes in: the NodePool as its owner wrote it. Goes out: the text of two, in which everything but
name, capacity types and weight is as it was. May not read or write a cluster.
"""

from __future__ import annotations

import copy
from collections.abc import Mapping
from typing import Final

import yaml

from spotvortex.core.domain import labels
from spotvortex.errors import NodePoolError

API: Final = "karpenter.sh/v1"
CAPACITY_TYPE: Final = "karpenter.sh/capacity-type"
SPOT, ON_DEMAND, RESERVED = "spot", "on-demand", "reserved"
LONGEST_NAME: Final = 63
"""Nodes carry the name of their NodePool as a label."""

LARGEST_WEIGHT: Final = 100
_SERVERS: Final = (
    "kubectl.kubernetes.io/last-applied-configuration",
    "karpenter.sh/nodepool-hash",
    "karpenter.sh/nodepool-hash-version",
    labels.RESTORE,
)
"""Annotations that belong to the one object alone."""

Json = dict[str, object]


def pair_text(pool: Mapping[str, object]) -> str:
    """Return the two NodePools as YAML, with comments above them.

    Raises:
        NodePoolError: it is no NodePool that can be split; the text says why.
    """
    sides = pair_of(pool)
    name = _named(pool)
    head = "".join(f"# {line}".rstrip() + "\n" for line in _steps(name, pool))
    return head + yaml.safe_dump_all(sides, sort_keys=False, explicit_start=True)


def pair_of(pool: Mapping[str, object]) -> tuple[Json, Json]:
    """Return the Spot side and the on-demand side.

    Raises:
        NodePoolError: it is no NodePool that can be split; the text says why.
    """
    name, spec = _named(pool), _mapping(pool.get("spec"))
    allowed = _allowed(name, spec)
    if spec.get("replicas") is not None:
        raise NodePoolError(f"NodePool {name} keeps a fixed number of nodes: Karpenter weighs none")
    weight = spec.get("weight")
    light = min(weight, LARGEST_WEIGHT - 1) if isinstance(weight, int) else None
    other = [kind for kind in (ON_DEMAND, RESERVED) if kind in allowed]
    return (
        _side(pool, f"{name}-spot", [SPOT], (light or 0) + 1),
        _side(pool, f"{name}-od", other, light),
    )


def _named(pool: Mapping[str, object]) -> str:
    """Return the name of what may be split by its kind and name."""
    kind, version = pool.get("kind"), pool.get("apiVersion")
    if kind != "NodePool":
        raise NodePoolError(f"it is a {kind or 'text without a kind'}, and no NodePool")
    if version != API:
        raise NodePoolError(f"its version is {version}: give one of {API}, as the server has it")
    name = _mapping(pool.get("metadata")).get("name")
    if not isinstance(name, str) or not name:
        raise NodePoolError("it has no metadata.name")
    if name.endswith(("-spot", "-od")):
        raise NodePoolError(f"NodePool {name} is named like a side of a pair already")
    if len(name) + len("-spot") > LONGEST_NAME:
        raise NodePoolError(f"{name}-spot would be no label of a node: it is longer than 63")
    return name


def _allowed(name: str, spec: Json) -> set[str]:
    """Return how its nodes may be bought; both ways, or there is nothing to split."""
    rules = _requirements(spec)
    if not rules:
        raise NodePoolError(f"NodePool {name} has no spec.template.spec.requirements")
    allowed = {SPOT, ON_DEMAND, RESERVED}
    for rule in rules:
        listed = rule.get("values")
        values = {str(value) for value in listed} if isinstance(listed, list) else set()
        if rule.get("key") == CAPACITY_TYPE and rule.get("operator") == "In":
            allowed &= values
        if rule.get("key") == CAPACITY_TYPE and rule.get("operator") == "NotIn":
            allowed -= values
    if SPOT not in allowed or ON_DEMAND not in allowed:
        kinds = ", ".join(sorted(allowed)) or "nothing"
        raise NodePoolError(f"NodePool {name} is not mixed: it allows {kinds} alone")
    return allowed


def _requirements(spec: Json) -> list[Json]:
    template = _mapping(_mapping(spec.get("template")).get("spec"))
    listed = template.get("requirements")
    return [rule for rule in listed if isinstance(rule, dict)] if isinstance(listed, list) else []


def _side(pool: Mapping[str, object], name: str, kinds: list[str], weight: int | None) -> Json:
    metadata, spec = _mapping(pool.get("metadata")), copy.deepcopy(_mapping(pool.get("spec")))
    served = _pool_of(str(metadata["name"]), pool)
    notes = {k: v for k, v in _mapping(metadata.get("annotations")).items() if k not in _SERVERS}
    kept: Json = {"name": name}
    if metadata.get("labels"):
        kept["labels"] = copy.deepcopy(metadata["labels"])
    if notes:
        kept["annotations"] = notes
    template = _mapping(spec.get("template"))
    of_nodes = _mapping(template.get("metadata"))
    given = {labels.POOL: served} | _mapping(of_nodes.get("labels"))
    wanted: Json = {"key": CAPACITY_TYPE, "operator": "In", "values": list(kinds)}
    rest = [rule for rule in _requirements(spec) if rule.get("key") != CAPACITY_TYPE]
    inner = _mapping(template.get("spec")) | {"requirements": [wanted, *rest]}
    template |= {"metadata": of_nodes | {"labels": given}, "spec": inner}
    spec["template"] = template
    spec.pop("weight", None)
    if weight is not None:
        spec["weight"] = weight
    return {"apiVersion": API, "kind": "NodePool", "metadata": kept, "spec": spec}


def _pool_of(name: str, pool: Mapping[str, object]) -> str:
    """Return the pool that it serves: the one that it names, or its own name."""
    metadata = _mapping(pool.get("metadata"))
    template = _mapping(_mapping(_mapping(pool.get("spec")).get("template")).get("metadata"))
    said = (metadata.get("labels"), metadata.get("annotations"), template.get("labels"))
    named = (str(_mapping(one).get(labels.POOL, "")) for one in said)
    return next(filter(None, named), name)


def _mapping(value: object) -> Json:
    return dict(value) if isinstance(value, Mapping) else {}


def _steps(name: str, pool: Mapping[str, object]) -> list[str]:
    """Say what to do, in order, and what the pair changes."""
    spec, served = _mapping(pool.get("spec")), _pool_of(name, pool)
    told = [
        f"A pair made of NodePool {name}. While all three are there they are one pool, {served}.",
        "",
        f"1. Keep the old one: kubectl get nodepool {name} -o yaml > {name}.yaml",
        "2. Apply this. New capacity goes to the heaviest that fits: to Spot, as before.",
        f"3. Workloads that select karpenter.sh/nodepool: {name} would stay there; let them select",
        f"   {labels.POOL}: {served} instead, which the nodes of both sides carry.",
        f"4. Close the old one: kubectl patch nodepool {name} --type merge \\",
        '     -p \'{"spec":{"limits":{"cpu":"0"}}}\'',
        "5. Empty it, a few nodes at a time, each when the pods of the last run again:",
        f"     kubectl get nodeclaims -l karpenter.sh/nodepool={name}",
        "     kubectl delete nodeclaim ONE",
        f"6. When it has no node left: kubectl delete nodepool {name}",
        f"7. Look: spotvortex assess --details shows pool {served} with both sides.",
        "",
    ]
    if spec.get("limits"):
        told += [
            "Each side has the whole limit, since a fall back or a return may need all of it; so",
            "both together may grow to twice of it. Lower them if that is too much: less than the",
            "pool uses keeps part of it from moving.",
            "",
        ]
    budgets = _mapping(spec.get("disruption")).get("budgets")
    rows = [row for row in budgets if isinstance(row, dict)] if isinstance(budgets, list) else []
    if any("%" not in str(row.get("nodes", "%")) and row.get("nodes") != "0" for row in rows):
        told += [
            "A disruption budget in nodes counts each side by itself: both together may disrupt",
            "twice as many.",
            "",
        ]
    return told
