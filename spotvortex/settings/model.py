"""Every setting as a field: its variable, its bounds, its unit and what it means.

Comes in: values of variables. Goes out: one frozen value and the `Limits` of the decisions. May not
read the environment.
"""

from __future__ import annotations

import os
import secrets
import socket
from dataclasses import fields
from importlib.resources import files
from pathlib import Path
from typing import Annotated, Any, Final, Literal

from pydantic import Field, SecretStr
from pydantic_settings import BaseSettings, SettingsConfigDict

from spotvortex.core.decision.weights import Steering, WeightRules
from spotvortex.core.domain.labels import LONGEST_LIFE_S
from spotvortex.core.domain.limits import OFF, Limits
from spotvortex.core.domain.types import Mode, PolicyMode
from spotvortex.core.pool.input import FEW_CANDIDATES, MAX_CANDIDATES
from spotvortex.core.pool.owner_rules import PoolRules
from spotvortex.settings.describe import pool_rules

PREFIX: Final = "SPOTVORTEX_"
BUNDLED_MODELS: Final = Path(str(files("spotvortex"))).joinpath("model", "bundle").resolve()
"""The bundle of the package: in a checkout a link to `models/`, in a wheel the files themselves."""

_RENAMED: Final = frozenset(
    {"mode", "policy_mode", "on_demand_floor_nodes", "exit_unsupported", "hold_unstated"}
)
"""Limits whose setting has another name or type."""


LIMIT_OF: Final = {
    "on_demand_floor": "on_demand_floor_nodes",
    "unsupported_family_action": "exit_unsupported",
    "commitments": "hold_unstated",
}
"""Settings whose limit has another name."""


def _within(low: float, high: float, unit: str) -> Any:  # noqa: ANN401 - as pydantic's own Field
    """Bound a number, both ends included, and say what it counts."""
    return Field(ge=low, le=high, json_schema_extra={"unit": unit})


Ratio = Annotated[float, _within(0.0, 1.0, "ratio")]
Probability = Annotated[float, _within(0.0, 1.0, "probability")]


class Settings(BaseSettings):
    """What a person may set. A field is the variable of its name with prefix `SPOTVORTEX_`."""

    model_config = SettingsConfigDict(
        env_prefix=PREFIX,
        env_ignore_empty=True,
        frozen=True,
        extra="ignore",
        allow_inf_nan=False,
    )

    mode: Literal["shadow", "advise", "canary", "active"] = "shadow"
    """What may be done with a decision, at most: record it, say it in Events too, move a few nodes
    of each pool at a time, or all that the gates let through. A pool's own rule may only weaken
    it."""

    pool_rules: str = ""
    """Rules by pool, as JSON: `{"web": {"mode": "canary", "max-spot-ratio": "0.7",
    "on-demand-floor": "2"}}`; the annotations of a NodePool say the same with the prefix
    `spotvortex.io/`, and of two rules the more careful one counts. The pool `*` says what holds
    where neither says anything of a pool: `{"*": {"mode": "shadow"}}`."""

    policy_mode: Literal["deterministic", "rl"] = "deterministic"
    """Whose proposals count: the ordered rules, or the bundle's learned policy."""

    provisioner: Literal["auto", "karpenter", "cluster-autoscaler", "asg", "mng", "none"] = "auto"
    """Whose nodes are moved: with `auto` Karpenter's, and those of node groups where Cluster
    Autoscaler shows that it runs, else those of groups that their owner has tagged, by AWS, where
    the pod has a role of its own; with `karpenter` no node groups; with `cluster-autoscaler` node
    groups even where its status cannot be read; with `asg` tagged Auto Scaling groups, and with
    `mng` EKS managed node groups, by AWS, beside Karpenter's; with `none` nothing is moved,
    whatever the mode; decisions are advice, and say so."""

    cluster_name: str = ""
    """The EKS cluster, by whose tag its Auto Scaling groups are told from those of others; empty
    where the account has one alone."""

    pool_tag: str = "spotvortex.io/pool"
    """Tag of an Auto Scaling group, or of a managed node group, whose value is its pool."""

    capacity_type_tag: str = "spotvortex.io/capacity-type"
    """Tag of an Auto Scaling group that says how it buys: `spot` or `on-demand`."""

    weights: Literal["off", "apply", "export"] = "off"
    """What is done with the weights and CPU limits of a pair's NodePools: nothing, set so that new
    capacity goes where the decision wants it, or only told in the log, as patches."""

    spot_weight: Annotated[int, _within(1, 100, "weight")] = 100
    """Weight of a pair's Spot side while Spot is wanted, and of the other while it is not."""

    on_demand_weight: Annotated[int, _within(1, 100, "weight")] = 10
    """Weight of a pair's on-demand side while Spot is wanted, and of the other while it is not."""

    http_host: str = "127.0.0.1"
    """Address on which /healthz, /readyz, /metrics, /decisions, /pools and /console are served."""

    http_port: Annotated[int, _within(0, 65535, "port")] = 8080
    """Port of the same; 0 takes a free one."""

    http_token: SecretStr = SecretStr("")
    """What a client has to show for all but /healthz, /livez, /readyz and /metrics: as a bearer's
    token, or in a browser as a password, with any name. Without one the console is served on a
    loopback address only."""

    tick_s: Annotated[float, _within(0.5, 3600.0, "seconds")] = 30.0
    """Time between two decisions."""

    kubeconfig: str = ""
    """Path of the kubeconfig; "" for what KUBECONFIG names, else the usual one or the pod's own."""

    kube_context: str = ""
    """Context of the kubeconfig; empty takes its current one, or the pod's own account."""

    namespace: Annotated[str, Field(pattern=r"^[a-z0-9]([-a-z0-9]{0,61}[a-z0-9])?$")] = "spotvortex"
    """The namespace of SpotVortex, a DNS label: the only one in which it creates or deletes a
    pod."""

    node_name: str = ""
    """Node on which this very process runs, by the downward API; that node is drained last."""

    pod_name: str = ""
    """Name of the daemon's own pod, from the downward API; it names who holds the lease."""

    pod_ip: str = ""
    """IP address of the daemon's own pod, from the downward API; the lease says it, so that a
    replica that stands by passes questions on to the one that leads."""

    placeholder_image: str = "registry.k8s.io/pause:3.10"
    """Image of the pods that ask for room and keep nodes; it has nothing to do."""

    max_writes_per_s: Annotated[float, _within(1.0, 1000.0, "writes per second")] = 200.0
    """Most requests a second that change the cluster; what saves the pods of a node that is lost
    waits for no rate, at most 64 requests are on their way at once."""

    price_file: Path | None = None
    """Recorded prices, JSON Lines, optionally gzipped; see docs/price-file.md."""

    price_source: Literal["auto", "aws", "file"] = "auto"
    """Whether AWS is asked for prices, beside the price file and Karpenter's metrics, of which each
    offering's youngest Spot price counts: `auto` where the pod has a role of its own (IRSA or Pod
    Identity) and AWS_REGION is set, `aws` always, `file` never. See docs/aws-prices.md."""

    placement_scores: Literal["auto", "off"] = "auto"
    """Whether AWS is asked how likely requests for Spot would be fulfilled: `auto` where it is
    asked for prices, and may be. See docs/market-signals.md."""

    advisor_file: Path | None = None
    """Interruption bands of AWS's Spot Instance Advisor, its JSON as published; read again when it
    changes. See docs/market-signals.md."""

    commitments_path: Path | None = None
    """Savings Plans and reserved instances, JSON; read again when it changes. On-demand nodes that
    they pay for are not moved to Spot. See docs/commitments.md."""

    commitments: Literal["go-on", "hold"] = "go-on"
    """What growth does while commitments are not stated: go on, though what it saves may be
    nothing, or wait for SPOTVORTEX_COMMITMENTS_PATH; what protects never waits."""

    karpenter_metrics_url: str = ""
    """Address of Karpenter's metrics, read once a minute: prices, launches that failed,
    interruptions. See docs/karpenter-metrics.md."""

    prometheus_url: str = ""
    """Address of a Prometheus that has Karpenter's metrics; the past weeks are read at start, and
    what nodes use once a minute, which counts without metrics.k8s.io. See docs/karpenter-metrics.md
    and docs/utilisation.md."""

    max_price_age_s: Annotated[float, _within(60.0, 2_592_000.0, "seconds")] = 172_800.0
    """Age above which a Spot price no longer counts as fresh, whatever its source."""

    test_price_provider_file: Path | None = None
    """Scripted prices in place of recorded ones, for tests; needs SPOTVORTEX_E2E_SUITE."""

    test_price_provider_json: str = ""
    """The same script, given here instead of in a file; needs SPOTVORTEX_E2E_SUITE."""

    e2e_suite: str = ""
    """Name of the test suite that runs; without it no scripted prices are taken."""

    model_dir: Path = BUNDLED_MODELS
    """Folder with MODEL_MANIFEST.json and the files that it lists."""

    cloud: Literal["aws"] = "aws"
    """The cloud that the bundle must have been made for."""

    state_dir: Path | None = None
    """Folder that keeps what was learned over restarts; unset, ConfigMaps of the manifests do."""

    decision_log: Path | None = None
    """File to which decision records are appended; unset writes them to standard output."""

    decision_format: Literal["json", "text"] = "json"
    """What is written: every record as JSON, or readable lines of what a person has to know."""

    log_level: Literal["DEBUG", "INFO", "WARNING", "ERROR"] = "INFO"
    """Threshold of the log on standard error."""

    log_format: Literal["logfmt", "json"] = "logfmt"
    """How a line of the log is written: fields behind an event, or one JSON object."""

    max_input_age_s: Annotated[float, _within(10.0, 3600.0, "seconds")] = 20.0
    """Time unconfirmed after which an input is stale; stale nodes or pods make every pool hold."""

    emergency_risk: Probability = OFF
    """Score (either) from which a pool leaves Spot altogether, a cap of its owner; 1 is none."""

    emergency_runtime_risk: Probability = OFF
    """Runtime score from which a pool leaves Spot altogether; 1 is none."""

    high_risk: Probability = OFF
    """Score from which the Spot ratio falls by 30 points; 1 is none."""

    medium_risk: Probability = OFF
    """Score from which the Spot ratio falls by 10 points; 1 is none."""

    min_discount_ratio: Ratio = 0.15
    """Least discount, (on-demand - spot) / on-demand, for a move towards Spot."""

    max_payback_hours: Annotated[float, _within(0.1, 168.0, "hours")] = 6.0
    """Longest time in which a move towards Spot must pay for itself."""

    min_confidence: Ratio = 0.50
    """Least confidence for growth; of a decrease for risk, in its scores alone. See gates.md."""

    max_spot_ratio: Ratio = 1.0
    """Highest share of a pool's nodes that may be Spot; 0 takes all off, whatever prices say."""

    on_demand_floor: Annotated[int, _within(0, 10_000, "nodes")] = 0
    """Nodes of each pool that stay on-demand."""

    on_demand_floor_vcpu: Annotated[int, _within(0, 10_000, "vCPU")] = 0
    """vCPU of each pool that stay on-demand, rounded up to whole nodes."""

    max_pool_disruption_ratio: Ratio = 0.10
    """Share of a pool's nodes that may be on the move at once, by anybody; at least one node."""

    max_cluster_disruption_ratio: Ratio = 0.05
    """Share of all nodes that may be on the move at once, by anybody; at least one node."""

    max_wave_nodes: Annotated[int, _within(1, MAX_CANDIDATES, "nodes")] = MAX_CANDIDATES
    """Most nodes of one wave."""

    canary_nodes: Annotated[int, _within(1, FEW_CANDIDATES, "nodes")] = 1
    """Most nodes of one wave of a pool in mode `canary`."""

    max_requested_ratio: Annotated[float, _within(0.1, 1.0, "ratio")] = 0.95
    """Requests / allocatable above which a pool falls back one node at a time."""

    settle_s: Annotated[float, _within(0.0, 86_400.0, "seconds")] = 300.0
    """Time after a wave in which its pool is left alone."""

    dwell_s: Annotated[float, _within(0.0, 86_400.0, "seconds")] = 0.0
    """Least time after a fall back in which its pool does not return to Spot; else as long as
    a return takes to pay back."""

    max_dwell_s: Annotated[float, _within(0.0, 604_800.0, "seconds")] = 14_400.0
    """Longest time after a fall back in which a pool does not return, however often it failed."""

    return_risk_ratio: Ratio = 0.8
    """Share of SPOTVORTEX_MEDIUM_RISK under which the risk must be for a return, where that
    is set."""

    bind_s: Annotated[float, _within(10.0, 1800.0, "seconds")] = 600.0
    """Time in which all room of a wave must be there; else the wave ends before any eviction."""

    drain_deadline_s: Annotated[float, _within(60.0, 86_400.0, "seconds")] = 1800.0
    """Time after which a node that is not drained yet is given up and undone."""

    leftover_s: Annotated[int, _within(20, LONGEST_LIFE_S, "seconds")] = LONGEST_LIFE_S
    """Time after which whatever the daemon made is gone without it: placeholders, anchors, their
    Jobs."""

    rebalance_risk_factor: Annotated[float, _within(1.0, 100.0, "factor")] = 3.0
    """By which a rebalance recommendation raises the hazard of its offering while it counts: the
    score p becomes 1 - (1 - p) ** factor. 1 lets it raise nothing."""

    max_hedge_ratio: Ratio = 0.0
    """Most room that is asked for beyond what is lost at notices, as a share of that; 0 asks for
    none. How much it is follows the launches that were seen, and is 0.3 before; of that, as many
    nodes are asked for as are expected to save more than they cost, by what an outage costs your
    workloads. At 15 minutes an interruption that is hardly ever one."""

    interruption_minutes: Annotated[float, _within(0.0, 1440.0, "minutes")] = 15.0
    """Cost of one interruption, as time at the node's on-demand price."""

    move_minutes: Annotated[float, _within(0.0, 1440.0, "minutes")] = 3.0
    """Cost of one planned move, as time at the node's on-demand price."""

    unsupported_family_action: Literal["", "EMERGENCY_EXIT"] = ""
    """`EMERGENCY_EXIT` lets nodes of families unknown to the model leave Spot; unset, they hold."""

    min_after_offering_loss_ratio: Ratio = 0.5
    """Least share of a workload's replicas that stays Ready after the loss of any one Spot
    offering, where neither the workload nor its namespace says `min-available-after-loss`."""

    min_after_zone_loss_ratio: Ratio = 0.3333
    """The same after the loss of all Spot of a zone; at least one pod unless it is 0."""

    budgets_bind: bool = False
    """`true` makes each PodDisruptionBudget bound what a loss may take as well as what is moved."""

    shift: bool = False
    """`true` moves Spot nodes where another Spot offering is expected to cost less by more than the
    move. Off, since it has not won on replayed markets."""

    evacuate: bool = False
    """`true` moves the Spot nodes that a partial loss of their offering spared to other offerings.
    Off, since it has saved nothing and cost pod-minutes (docs/benchmarks.md)."""

    reduce_unsafe: bool = False
    """`true` moves nodes off Spot where a loss would leave a workload with too few pods."""

    notice_source: Literal["karpenter", "queue", "evidence"] = "karpenter"
    """Who handles interruption notices: Karpenter does and no queue is read; SpotVortex does and
    reads a queue; or Karpenter does, and SpotVortex reads a queue of its own as evidence. In the
    modes that write nothing, a queue is evidence."""

    interruption_queue: str = ""
    """SQS queue of interruption notices, its URL or its name; needs SPOTVORTEX_NOTICE_SOURCE."""

    rebalance_ttl_s: Annotated[float, _within(60.0, 86_400.0, "seconds")] = 1800.0
    """Time for which a rebalance recommendation counts."""

    def limits(self) -> Limits:
        """Return the thresholds and bounds of the decisions."""
        same = {f.name: getattr(self, f.name) for f in fields(Limits) if f.name not in _RENAMED}
        return Limits(
            mode=Mode(self.mode),
            policy_mode=PolicyMode(self.policy_mode),
            on_demand_floor_nodes=self.on_demand_floor,
            exit_unsupported=self.unsupported_family_action == "EMERGENCY_EXIT",
            hold_unstated=self.commitments == "hold",
            **same,
        )

    def weight_rules(self) -> WeightRules:
        """Return how pairs of NodePools are steered."""
        return WeightRules(
            steering=Steering(self.weights),
            spot=self.spot_weight,
            on_demand=self.on_demand_weight,
        )

    def identity(self) -> str:
        """Return by what name this process holds the lease: its pod's, else the machine's."""
        return f"{self.pod_name or socket.gethostname()}_{os.getpid()}_{secrets.token_hex(4)}"

    def rules_of_pools(self) -> dict[str, PoolRules]:
        """Return the rules of pools that are set here.

        Raises:
            ValueError: they are not as expected; the text says what is.
        """
        return pool_rules(self.pool_rules)
