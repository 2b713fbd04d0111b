"""`assess` names what asks for twice of what it uses, and by whose figures."""

from dataclasses import replace

from spotvortex.core.domain.usage import Amount, UsageFacts, UsageSource, WorkloadUse
from tests.core.builders import GIB, cluster, load, observation, on_demand, pool, work
from tests.report.reports import document, report, screen

CALM = Amount(800, 4 * GIB)
TITLE = "ASKS FOR MORE THAN IT USES"


def busy(name, asked_milli=3000, n=4):
    asked = load(cpu_milli=asked_milli, memory_bytes=12 * GIB)
    room = {"allocatable_cpu_milli": 4000, "allocatable_memory_bytes": 16 * GIB}
    return pool(name, nodes=tuple(on_demand(f"{name}-d{i}", load=asked, **room) for i in range(n)))


def used(*pools, amount=CALM, workloads=()):
    facts = cluster(*pools)
    usage = UsageFacts(
        source=UsageSource.METRICS_API,
        nodes={n.name: amount for p in pools for n in p.nodes},
        workloads=workloads,
    )
    return report(observed=replace(observation(cluster=facts), usage=usage))


def use(name, asked, spent, n_pods=3):
    return WorkloadUse(
        workload=name, n_pods=n_pods, asked=Amount(asked, GIB), used=Amount(spent, GIB)
    )


def test_a_pool_that_uses_less_than_half_of_what_it_asks_for_is_named():
    made = used(busy("web"))
    lines = screen(made)
    assert any(line.startswith(TITLE) and "by metrics.k8s.io" in line for line in lines)
    assert "  web                CPU 20 % used of 75 % requested · memory 25 % of 75 %" in lines
    told = document(made)["usage"]
    assert (told["source"], told["overprovisioned"]) == ("metrics.k8s.io", ["web"])


def test_a_pool_that_uses_its_memory_is_not():
    made = used(busy("web"), amount=Amount(800, 10 * GIB))
    assert document(made)["usage"]["overprovisioned"] == []
    assert not any(line.startswith(TITLE) for line in screen(made))


def test_without_a_measure_nothing_is_said_of_use_and_requests_are_the_source():
    made = report(busy("web"))
    assert document(made)["usage"]["source"] == "requests"
    assert not any(line.startswith(TITLE) for line in screen(made))


def test_workloads_are_named_from_a_core_in_vain_on():
    uses = (use("shop/Deployment/a", 9000, 500), use("shop/Deployment/b", 1500, 600))
    lines = screen(used(busy("web"), workloads=uses))
    assert "  shop/Deployment/a: 0.5 of 9.0 cores requested" in lines
    assert not any("shop/Deployment/b" in line for line in lines)


def test_details_show_every_pool_and_the_first_screen_still_fits():
    covered = [
        replace(busy(f"pool-{i:03}"), workloads=(work(f"w{i}", healthy_by_node=()),))
        for i in range(60)
    ]
    uses = tuple(use(f"shop/Deployment/w{i}", 9000, 500) for i in range(50))
    made = used(*covered, workloads=uses)
    assert len(screen(made)) <= 60
    whole = screen(made, details=True)
    assert any("what pools use of what is allocatable" in line for line in whole)
    assert not any("more with --details" in line for line in whole)
