"""Label selectors.

Comes in: a selector as the server sends it. Goes out: a predicate over labels. Semantics of
policy/v1 (https://kubernetes.io/docs/tasks/run-application/configure-pdb/): an empty selector
matches everything in the namespace, no selector at all matches nothing.
"""

from __future__ import annotations

from collections.abc import Mapping

from spotvortex.kube.api.wire import objects as wire

Labels = Mapping[str, str]


def matches(selector: wire.LabelSelector | None, labels: Labels) -> bool:
    """Tell whether a selector matches a set of labels.

    Raises:
        ValueError: an expression has an operator that Kubernetes does not know.
    """
    if selector is None:
        return False
    for key, value in (selector.match_labels or {}).items():
        if labels.get(key) != value:
            return False
    return all(_holds(rule, labels) for rule in selector.match_expressions or ())


def check(selector: wire.LabelSelector | None) -> None:
    """Make sure that a selector can be matched with any labels, whatever came of the first ones.

    Raises:
        ValueError: as for `matches`.
    """
    for rule in (selector and selector.match_expressions) or ():
        _holds(rule, {})


def _holds(rule: wire.Requirement, labels: Labels) -> bool:
    match rule.operator:
        case "In":
            return labels.get(rule.key) in (rule.values or ())
        case "NotIn":
            return labels.get(rule.key) not in (rule.values or ())
        case "Exists":
            return rule.key in labels
        case "DoesNotExist":
            return rule.key not in labels
        case unknown:
            raise ValueError(f"unknown operator {unknown[:40]!r}")
