"""The daemon: on a real cluster, or on a simulated one."""

from __future__ import annotations

import asyncio
import logging
from typing import Annotated, Final

import typer

from spotvortex.app.daemon import run_daemon
from spotvortex.app.kubernetes import kubernetes_edges
from spotvortex.cli.common import QUIET
from spotvortex.cli.options import ContextOption, ModeOption, load
from spotvortex.core.domain.types import Mode
from spotvortex.settings.model import PREFIX, Settings
from spotvortex.sim.runtime.demo import simulated_edges
from spotvortex.sim.runtime.virtual_loop import PacedLoop
from spotvortex.telemetry import logs

log = logging.getLogger(__name__)

OF_A_REAL_CLUSTER: Final = frozenset(
    {
        *("kubeconfig", "kube_context", "namespace", "node_name", "pod_name", "pod_ip"),
        *("provisioner", "cluster_name", "pool_tag", "capacity_type_tag", "placeholder_image"),
        *("price_file", "price_source", "max_price_age_s", "placement_scores", "advisor_file"),
        *("commitments_path", "karpenter_metrics_url", "prometheus_url", "state_dir"),
        *("test_price_provider_file", "test_price_provider_json", "e2e_suite"),
        *("notice_source", "interruption_queue", "rebalance_ttl_s"),
    }
)
"""Settings without a meaning for the simulated cluster, which brings its own market and forgets."""


def command(
    *,
    simulated: Annotated[
        bool, typer.Option("--simulated", help="Use the built-in cluster and market.")
    ] = False,
    speed: Annotated[
        float, typer.Option(min=0.1, max=3600.0, help="Simulated seconds per real one, at most.")
    ] = 60.0,
    seed: Annotated[int, typer.Option(help="Seed of the simulated world.")] = 1,
    context: ContextOption = "",
    mode: ModeOption = None,
) -> None:
    """Decide all day; the mode says what may be done with a decision.

    `shadow` (the default) records what would be done and writes nothing to the cluster; `advise`
    says it in Events too; `canary` moves a few nodes of each pool at a time; `active` moves all
    that the gates let through. A pool's own rule may only weaken the mode. A simulated cluster is
    moved (`active`) where no mode is set, beside the same cluster under Karpenter alone.
    """
    loaded = load(context, mode)
    logs.set_up("WARNING" if QUIET.get() else loaded.log_level, loaded.log_format)
    stop = asyncio.Event()
    if not simulated:
        asyncio.run(run_daemon(loaded, kubernetes_edges(loaded), stop))
        return
    if names := ignored(loaded):
        log.warning("simulation.ignores", extra={"variables": " ".join(names)})
    loaded = loaded.model_copy(update=_of_the_demo(loaded))
    with asyncio.Runner(loop_factory=lambda: PacedLoop(speed)) as runner:
        runner.run(run_daemon(loaded, simulated_edges(seed, Mode(loaded.mode)), stop))


def ignored(loaded: Settings) -> list[str]:
    """Return the variables that are set, and that the simulated cluster does not read."""
    default = Settings.model_construct()
    return sorted(
        PREFIX + name.upper()
        for name in loaded.model_fields_set & OF_A_REAL_CLUSTER
        if getattr(loaded, name) != getattr(default, name)
    )


def _of_the_demo(loaded: Settings) -> dict[str, str]:
    """Return what holds for the simulated cluster where a person has not said otherwise.

    On a terminal decisions are lines for a person; a log that was asked for holds records.
    """
    own = {"mode": Mode.ACTIVE.value}
    if loaded.decision_log is None:
        own["decision_format"] = "text"
    return {name: value for name, value in own.items() if name not in loaded.model_fields_set}
