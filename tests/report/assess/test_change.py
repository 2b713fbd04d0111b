"""A change in words and as a line for a shell, both made of the same values."""

import shlex

import pytest

from spotvortex.core.domain.labels import MIN_AVAILABLE_AFTER_LOSS, ON_DEMAND_FLOOR
from spotvortex.report.assess.change import Change, ChangeKind

WEB = "Deployment shop/web"
WORDS = {
    ChangeKind.MEND: (Change(kind=ChangeKind.MEND, words="Namespace shop: x"), "Namespace shop: x"),
    ChangeKind.WAIT: (Change(kind=ChangeKind.WAIT, words="3 pods"), "wait for 3 pods"),
    ChangeKind.SCALE: (
        Change(kind=ChangeKind.SCALE, target=WEB, n_before=2, n_replicas=4),
        "raise replicas from 2 to 4",
    ),
    ChangeKind.ANNOTATE: (
        Change(kind=ChangeKind.ANNOTATE, target=WEB, annotation=ON_DEMAND_FLOOR, value="2"),
        f"set {ON_DEMAND_FLOOR}: 2 on {WEB}",
    ),
    ChangeKind.SPREAD: (
        Change(kind=ChangeKind.SPREAD, target=WEB),
        "spread it by topologySpreadConstraints over topology.kubernetes.io/zone",
    ),
    ChangeKind.ASK_FOR_LESS: (
        Change(kind=ChangeKind.ASK_FOR_LESS, target=WEB),
        "ask for fewer pods after a loss",
    ),
}


@pytest.mark.parametrize("kind", ChangeKind)
def test_each_kind_of_change_has_its_words(kind):
    change, text = WORDS[kind]
    assert change.text == text


@pytest.mark.parametrize("kind", sorted(set(ChangeKind) - {ChangeKind.SCALE, ChangeKind.ANNOTATE}))
def test_what_no_line_does_has_none(kind):
    assert WORDS[kind][0].command == ""


@pytest.mark.parametrize(
    ("target", "where"),
    [
        (WEB, ["-n", "shop", "annotate", "--overwrite", "deployment/web"]),
        ("StatefulSet db/pg", ["-n", "db", "annotate", "--overwrite", "statefulset/pg"]),
        ("Namespace shop", ["annotate", "--overwrite", "namespace/shop"]),
    ],
)
def test_a_word_is_said_where_it_is_read(target, where):
    change = Change(
        kind=ChangeKind.ANNOTATE, target=target, annotation=MIN_AVAILABLE_AFTER_LOSS, value="33%"
    )
    said = f"{MIN_AVAILABLE_AFTER_LOSS}=33%"
    assert shlex.split(change.command) == ["kubectl", *where, said]


def test_the_pods_of_another_kind_are_changed_by_nobody_s_line():
    change = Change(
        kind=ChangeKind.ANNOTATE,
        target="the pods of Rollout shop/api",
        annotation=MIN_AVAILABLE_AFTER_LOSS,
        value="33%",
    )
    assert change.text.endswith("on the pods of Rollout shop/api")
    assert change.command == ""
    scaled = Change(kind=ChangeKind.SCALE, target="Rollout shop/api", n_before=1, n_replicas=2)
    assert scaled.command == ""


def test_replicas_are_raised_to_what_the_words_say():
    change, _ = WORDS[ChangeKind.SCALE]
    assert change.command == "kubectl -n shop scale deployment/web --replicas=4"
