"""Every setting, read once from the environment.

Comes in: variables with the prefix `SPOTVORTEX_`. Goes out: one frozen value and the `Limits` of
the decisions. This is the only module that reads the environment of the process. A value that is
out of range, or an unknown name with our prefix, stops the start with the name and the fix.
"""

from __future__ import annotations

import difflib
import os
from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Final, Literal

from pydantic import Field, ValidationError
from pydantic_settings import BaseSettings, SettingsConfigDict

from spotvortex.core.limits import Limits
from spotvortex.core.types import Mode
from spotvortex.errors import SettingsError

PREFIX: Final = "SPOTVORTEX_"
BUNDLED_MODELS: Final = Path(__file__).resolve().parent.parent / "models"

Ratio = Annotated[float, Field(ge=0.0, le=1.0)]


class Settings(BaseSettings):
    """What a person may set. Each field is the variable of the same name with our prefix."""

    model_config = SettingsConfigDict(
        env_prefix=PREFIX, frozen=True, extra="ignore", case_sensitive=False
    )

    mode: Literal["shadow"] = "shadow"
    """What we may do with a decision. `shadow` records and writes nothing to the cluster."""

    http_host: str = "127.0.0.1"
    """Address on which /healthz, /readyz, /metrics, /decisions and /pools are served."""

    http_port: Annotated[int, Field(ge=0, le=65535)] = 8080
    """Port of the same; 0 takes a free one."""

    tick_s: Annotated[float, Field(ge=0.5, le=3600.0)] = 30.0
    """Seconds between two decisions."""

    kube_context: str = ""
    """Context of the kubeconfig; empty takes its current one, or the pod's own account."""

    price_file: Path | None = None
    """Recorded prices, JSON Lines, optionally gzipped; see docs/price-file.md."""

    max_price_age_s: Annotated[float, Field(ge=60.0, le=2_592_000.0)] = 86_400.0
    """Seconds after which the last record of a Spot price no longer counts as fresh."""

    model_dir: Path = BUNDLED_MODELS
    """Folder with MODEL_MANIFEST.json and the files that it lists."""

    cloud: Literal["aws"] = "aws"
    """The cloud that the bundle must have been made for."""

    decision_log: Path | None = None
    """File to which decision records are appended; unset writes them to standard output."""

    decision_format: Literal["json", "text"] = "json"
    """How records are written: JSON Lines, or one readable line each."""

    log_level: Literal["DEBUG", "INFO", "WARNING", "ERROR"] = "INFO"
    """Threshold of the log on standard error."""

    max_input_age_s: Annotated[float, Field(ge=1.0, le=3600.0)] = 60.0
    """Seconds after which an unconfirmed view of nodes or pods makes every pool hold."""

    emergency_risk: Ratio = 0.90
    """Score (either) from which a pool leaves Spot altogether, probability 0..1."""

    emergency_runtime_risk: Ratio = 0.80
    """Runtime score from which a pool leaves Spot altogether, probability 0..1."""

    high_risk: Ratio = 0.60
    """Score from which the Spot ratio falls by 30 points, probability 0..1."""

    medium_risk: Ratio = 0.35
    """Score from which the Spot ratio falls by 10 points, probability 0..1."""

    min_discount_ratio: Ratio = 0.15
    """Least discount, (on-demand - spot) / on-demand, for a move towards Spot."""

    max_payback_hours: Annotated[float, Field(ge=0.1, le=168.0)] = 6.0
    """Longest time in hours in which a move towards Spot must pay for itself."""

    min_confidence: Ratio = 0.50
    """Least confidence for any move but EMERGENCY_EXIT, product of terms 0..1."""

    max_spot_ratio: Ratio = 1.0
    """Highest share of a pool's nodes that may be Spot; 0 is a working kill switch."""

    on_demand_floor: Annotated[int, Field(ge=0, le=10_000)] = 0
    """Nodes of each pool that stay on-demand."""

    max_pool_disruption_ratio: Ratio = 0.10
    """Share of a pool's nodes that may be on the move at once, by anybody; at least one node."""

    max_cluster_disruption_ratio: Ratio = 0.05
    """Share of all nodes that may be on the move at once, by anybody; at least one node."""

    max_wave_nodes: Annotated[int, Field(ge=1, le=8)] = 5
    """Most nodes of one wave."""

    max_requested_ratio: Annotated[float, Field(ge=0.1, le=1.0)] = 0.95
    """Requests / allocatable above which a pool falls back one node at a time."""

    settle_s: Annotated[float, Field(ge=0.0, le=86_400.0)] = 300.0
    """Seconds after a wave in which its pool is left alone."""

    dwell_s: Annotated[float, Field(ge=0.0, le=86_400.0)] = 600.0
    """Seconds after a fall back in which its pool does not return to Spot."""

    drain_deadline_s: Annotated[float, Field(ge=60.0, le=86_400.0)] = 1800.0
    """Seconds after which a node that is not drained yet is given up and undone."""

    interruption_minutes: Annotated[float, Field(ge=0.0, le=1440.0)] = 15.0
    """Cost of one interruption, in minutes of the node's on-demand price."""

    move_minutes: Annotated[float, Field(ge=0.0, le=1440.0)] = 3.0
    """Cost of one planned move, in minutes of the node's on-demand price."""

    unsupported_family_action: Literal["", "EMERGENCY_EXIT"] = ""
    """`EMERGENCY_EXIT` lets pools of families unknown to the model leave Spot; unset, they hold."""

    def limits(self) -> Limits:
        """Return the thresholds and bounds of the decisions."""
        return Limits(
            mode=Mode(self.mode),
            emergency_risk=self.emergency_risk,
            emergency_runtime_risk=self.emergency_runtime_risk,
            high_risk=self.high_risk,
            medium_risk=self.medium_risk,
            min_discount_ratio=self.min_discount_ratio,
            max_payback_hours=self.max_payback_hours,
            min_confidence=self.min_confidence,
            max_input_age_s=self.max_input_age_s,
            max_spot_ratio=self.max_spot_ratio,
            on_demand_floor_nodes=self.on_demand_floor,
            max_pool_disruption_ratio=self.max_pool_disruption_ratio,
            max_cluster_disruption_ratio=self.max_cluster_disruption_ratio,
            max_wave_nodes=self.max_wave_nodes,
            max_requested_ratio=self.max_requested_ratio,
            settle_s=self.settle_s,
            dwell_s=self.dwell_s,
            drain_deadline_s=self.drain_deadline_s,
            interruption_minutes=self.interruption_minutes,
            move_minutes=self.move_minutes,
            exit_unsupported=self.unsupported_family_action == "EMERGENCY_EXIT",
        )


def load() -> Settings:
    """Read the settings.

    Raises:
        SettingsError: a variable is unknown or out of range; the text names each with the fix.
    """
    _refuse_unknown(os.environ)
    try:
        settings = Settings()
    except ValidationError as error:
        raise SettingsError(_words(error)) from error
    if not settings.medium_risk <= settings.high_risk <= settings.emergency_risk:
        raise SettingsError(
            "SPOTVORTEX_MEDIUM_RISK <= SPOTVORTEX_HIGH_RISK <= SPOTVORTEX_EMERGENCY_RISK must "
            f"hold: now {settings.medium_risk}, {settings.high_risk}, {settings.emergency_risk}"
        )
    return settings


def tracing_is_on() -> bool:
    """Tell whether a standard OTEL_* variable names an endpoint for traces."""
    if os.environ.get("OTEL_SDK_DISABLED", "").lower() == "true":
        return False
    names = ("OTEL_EXPORTER_OTLP_ENDPOINT", "OTEL_EXPORTER_OTLP_TRACES_ENDPOINT")
    return any(os.environ.get(name) for name in names)


def kubeconfig() -> str:
    """Return what KUBECONFIG names, "" where it is unset."""
    return os.environ.get("KUBECONFIG", "")


def _refuse_unknown(environment: Mapping[str, str]) -> None:
    known = {PREFIX + name.upper() for name in Settings.model_fields}
    for name in sorted(environment):
        if name.upper().startswith(PREFIX) and name.upper() not in known:
            if _is_service_variable(name, environment[name]):
                continue
            near = difflib.get_close_matches(name.upper(), sorted(known), n=1)
            hint = f"; did you mean {near[0]}?" if near else ""
            raise SettingsError(f"unknown variable {name}{hint} (see docs/configuration.md)")


def _is_service_variable(name: str, value: str) -> bool:
    """Kubernetes injects these for a Service whose name begins like our prefix."""
    if name.endswith(("_SERVICE_HOST", "_SERVICE_PORT")) or "_SERVICE_PORT_" in name:
        return True
    return "_PORT" in name and (
        value.startswith(("tcp://", "udp://")) or name.endswith(("_PROTO", "_ADDR", "_PORT"))
    )


def _words(error: ValidationError) -> str:
    lines = [
        f"{PREFIX}{str(e['loc'][0]).upper()}={e['input']!r}: {e['msg'].lower()}"
        for e in error.errors()
    ]
    return "; ".join(lines)
