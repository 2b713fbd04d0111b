"""The shipped quota is what the shipped budgets can ask for, and no guess."""

from spotvortex.core.domain.limits import Limits
from tests.deploy.manifests import active_bounds
from tests.paths import ROOT

N_NODES = 5_000
"""The largest cluster that figures are given for."""

PODS, VCPU, GIB = 30, 8, 32
"""Of one node of it: 150,000 pods on 5,000 nodes, and the size that such a node has."""


def test_the_quota_of_placeholders_is_computed_from_the_share_of_pools_that_may_be_on_the_move():
    n_moving = N_NODES * Limits().max_pool_disruption_ratio
    quota = next(m for m in active_bounds() if m["metadata"]["name"] == "spotvortex-placeholders")
    assert quota["spec"]["hard"] == {
        "pods": f"{n_moving * PODS:.0f}",
        "requests.cpu": f"{n_moving * VCPU:.0f}",
        "requests.memory": f"{n_moving * GIB:.0f}Gi",
    }


def test_the_formula_is_told_with_these_very_numbers():
    text = (ROOT / "docs" / "operations.md").read_text()
    said = (
        f"nodes of the cluster ({N_NODES:,}) x `SPOTVORTEX_MAX_POOL_DISRUPTION_RATIO` "
        f"({Limits().max_pool_disruption_ratio:.2f}) x {PODS} pods, {VCPU} vCPU, {GIB} GiB"
    )
    assert said in text
