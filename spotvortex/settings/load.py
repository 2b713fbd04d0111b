"""The settings, read once from the environment.

Comes in: variables with the prefix `SPOTVORTEX_`, in capitals; an empty one counts as unset. Goes
out: `Settings`. This is the only module that reads the environment of the process. A value that is
out of range, or an unknown name with that prefix, stops the start with the name and the fix.
"""

from __future__ import annotations

import difflib
import os
import re
from collections.abc import Iterator, Mapping, Sequence
from typing import Final

from pydantic import ValidationError

from spotvortex.core.domain.limits import OFF
from spotvortex.core.record.redecision import CHANGEABLE, Limit
from spotvortex.errors import SettingsError
from spotvortex.settings.describe import LONGEST_VALUE, refusal
from spotvortex.settings.model import LIMIT_OF, PREFIX, Settings

# What Kubernetes injects into every pod of a namespace with a Service, by the Service's own name.
_SERVICE_NAME: Final = re.compile(
    r"_SERVICE_HOST$|_SERVICE_PORT(_|$)|_PORT_\d+_(TCP|UDP|SCTP)(_(PROTO|PORT|ADDR))?$"
)
# An ARN is neither: it is refused with the fix, and not asked for in vain.
_QUEUE: Final = re.compile(r"https?://\S+|[A-Za-z0-9_-]{1,80}(\.fifo)?")
_URL: Final = re.compile(r"https?://[^\s/]+(/\S*)?")
SETTING_OF: Final = {limit: setting for setting, limit in LIMIT_OF.items()}
_SERVICE_VALUE: Final = ("tcp://", "udp://", "sctp://")


def load() -> Settings:
    """Read the settings.

    Raises:
        SettingsError: a variable is unknown or out of range, or two clash; the text names each
            with its value and the fix.
    """
    problems = list(_unknown(os.environ))
    kept = {
        n: Settings.model_fields[n].get_default(call_default_factory=True)
        for n in _injected(os.environ)
    }
    try:
        settings = Settings(**kept)
    except ValidationError as error:
        problems += [_refusal(str(e["loc"][0]), e["input"], e["msg"]) for e in error.errors()]
    else:
        problems += _clashes(settings)
    if problems:
        raise SettingsError("; ".join(problems))
    return settings


def changed_limits(asked: Mapping[str, str]) -> dict[str, Limit]:
    """Return what some settings say, as the limits that a recorded decision reads anew.

    Args:
        asked: values by the settings' names, with or without the prefix, in any case.

    Raises:
        SettingsError: a name or a value is none, or no decision reads it anew.
    """
    found: dict[str, Limit] = {}
    for typed, text in asked.items():
        name = typed.upper().removeprefix(PREFIX).lower()
        limit = LIMIT_OF.get(name, name)
        if limit not in CHANGEABLE:
            known = sorted(SETTING_OF.get(one, one).upper() for one in CHANGEABLE)
            near = difflib.get_close_matches(name.upper(), known, n=1)
            hint = f"did you mean {near[0]}?" if near else f"one of {', '.join(known)}"
            raise SettingsError(
                f"--set {typed}: no recorded decision can be made anew by it; {hint}"
            )
        try:
            settings = Settings(**{name: text})  # type: ignore[arg-type]
        except ValidationError as error:
            said = [e for e in error.errors() if e["loc"][0] == name] or error.errors()
            raise SettingsError(_refusal(name, text, said[0]["msg"])) from error
        found[limit] = getattr(settings.limits(), limit)
    return found


def _refusal(name: str, value: object, why: str) -> str:
    return refusal(PREFIX + name.upper(), Settings.model_fields[name], value, why)


def ignored_variables() -> list[str]:
    """Return the names with the prefix that Kubernetes injected, which are not settings."""
    ours = (name for name in os.environ if name.upper().startswith(PREFIX))
    return sorted(name for name in ours if _is_service_variable(name, os.environ[name]))


def tracing_is_on() -> bool:
    """Tell whether a standard OTEL_* variable names an endpoint for traces."""
    if os.environ.get("OTEL_SDK_DISABLED", "").lower() == "true":
        return False
    names = ("OTEL_EXPORTER_OTLP_ENDPOINT", "OTEL_EXPORTER_OTLP_TRACES_ENDPOINT")
    return any(os.environ.get(name) for name in names)


OTLP_PROTOCOLS: Final = ("http/protobuf", "grpc")
"""Protocols over which traces go, the default first."""


def tracing_protocol() -> str:
    """Return the protocol of the standard variables for traces.

    Raises:
        SettingsError: they name another one; the text names the variable.
    """
    for name in ("OTEL_EXPORTER_OTLP_TRACES_PROTOCOL", "OTEL_EXPORTER_OTLP_PROTOCOL"):
        said = os.environ.get(name)
        if said and said not in OTLP_PROTOCOLS:
            raise SettingsError(f"{name}={said}: give one of {', '.join(OTLP_PROTOCOLS)}")
        if said:
            return said
    return OTLP_PROTOCOLS[0]


def kubeconfig(settings: Settings) -> str:
    """Return the kubeconfig of the settings, else what KUBECONFIG names, "" where neither does."""
    return settings.kubeconfig or os.environ.get("KUBECONFIG", "")


def aws_region() -> str:
    """Return the region that the environment names, "" where it names none.

    Pods on EKS get both variables; the AWS library itself reads the second one alone.
    """
    return os.environ.get("AWS_REGION") or os.environ.get("AWS_DEFAULT_REGION", "")


def has_role_of_its_own() -> bool:
    """Tell whether the pod was given a role: by its ServiceAccount (IRSA) or by Pod Identity.

    The role of the node is none: it may do what nobody meant the daemon to do.
    """
    given = "AWS_WEB_IDENTITY_TOKEN_FILE", "AWS_CONTAINER_CREDENTIALS_FULL_URI"
    return any(os.environ.get(name) for name in given)


def _unknown(environment: Mapping[str, str]) -> Iterator[str]:
    known = [PREFIX + name.upper() for name in Settings.model_fields]
    for name in sorted(environment):
        if not name.upper().startswith(PREFIX) or name in known:
            continue
        if not _is_service_variable(name, environment[name]):
            near = difflib.get_close_matches(name.upper(), known, n=1)
            hint = f"did you mean {near[0]}?" if near else "unset it"
            yield f"unknown variable {name}: {hint} (docs/configuration.md lists all)"


def _injected(environment: Mapping[str, str]) -> Iterator[str]:
    """Yield the settings whose variable holds what Kubernetes injected for a Service."""
    for name in Settings.model_fields:
        variable = PREFIX + name.upper()
        if _is_service_variable(variable, environment.get(variable, "")):
            yield name


def _is_service_variable(name: str, value: str) -> bool:
    """Tell whether Kubernetes injected it for a Service whose name begins like the prefix."""
    if _SERVICE_NAME.search(name):
        return True
    return "_PORT" in name and value.startswith(_SERVICE_VALUE)


def _clashes(settings: Settings) -> Iterator[str]:
    """Yield what is wrong between settings that are right by themselves."""
    try:
        settings.rules_of_pools()
    except ValueError as error:
        yield f"{PREFIX}POOL_RULES: {error}"
    caps = settings.medium_risk, settings.high_risk, settings.emergency_risk
    risks = [cap for cap in caps if cap < OFF]
    if risks != sorted(risks):
        yield (
            "SPOTVORTEX_MEDIUM_RISK, SPOTVORTEX_HIGH_RISK and SPOTVORTEX_EMERGENCY_RISK are "
            f"{', '.join(map(str, risks))}: give them in rising order"
        )
    if settings.spot_weight <= settings.on_demand_weight:
        yield (
            f"{PREFIX}SPOT_WEIGHT={settings.spot_weight} is not above {PREFIX}ON_DEMAND_WEIGHT="
            f"{settings.on_demand_weight}: give the side that is wanted the greater weight"
        )
    yield from _notice_clashes(settings)
    providers = ("price_file", "test_price_provider_file", "test_price_provider_json")
    given = [PREFIX + name.upper() for name in providers if getattr(settings, name)]
    if len(given) > 1:
        yield f"{' and '.join(given)} are set: prices come from one source, unset the others"
    yield from _url_clashes(settings, given)
    if settings.price_source == "aws" and not aws_region():
        yield f"{PREFIX}PRICE_SOURCE=aws, but no region is known: set AWS_REGION"
    scripted = settings.test_price_provider_file or settings.test_price_provider_json
    if scripted and not settings.e2e_suite:
        yield f"{given[-1]} is set outside a test suite: unset it, or set SPOTVORTEX_E2E_SUITE"


def _url_clashes(settings: Settings, given: Sequence[str]) -> Iterator[str]:
    """Yield what is wrong about addresses; a password in one is not shown."""
    for name in ("karpenter_metrics_url", "prometheus_url"):
        url, variable = getattr(settings, name), PREFIX + name.upper()
        if url and not _URL.fullmatch(url):
            yield f"{variable} is no address: give http://HOST:PORT/PATH"
        scripted = [other for other in given if other.startswith(f"{PREFIX}TEST_")]
        if url and scripted:
            yield f"{variable} and {scripted[0]} are set: scripted prices stand alone"


def _notice_clashes(settings: Settings) -> Iterator[str]:
    """Yield what is wrong about the source of notices: two readers rob each other of messages."""
    queue, variable = settings.interruption_queue, f"{PREFIX}INTERRUPTION_QUEUE"
    shown = repr(queue)[:LONGEST_VALUE]
    if settings.notice_source != "karpenter" and not queue:
        yield (
            f"{PREFIX}NOTICE_SOURCE={settings.notice_source}, but no queue is named: set "
            f"{variable}, or unset it to leave interruptions to Karpenter"
        )
    if settings.notice_source == "karpenter" and queue:
        yield (
            f"{variable}={shown} is set while Karpenter handles interruptions: unset it, or set "
            f"{PREFIX}NOTICE_SOURCE=queue and leave Karpenter's own settings.interruptionQueue "
            f"empty, or {PREFIX}NOTICE_SOURCE=evidence for a queue that nobody else reads"
        )
    if queue and not _QUEUE.fullmatch(queue):
        yield f"{variable}={shown} is no queue: give its URL (https://sqs...) or its name"
