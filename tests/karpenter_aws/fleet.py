"""What a fleet request gets: capacity that is there, and errors for what is not.

Comes in: the form of CreateFleet, as Karpenter sends it, and the offerings that are not to be had.
Goes out: the form for the emulator, which launches the first override that it sees, and the errors
that EC2 would answer (API Reference, CreateFleet, `errorSet`). May not answer by itself.
"""

from __future__ import annotations

import re
import xml.etree.ElementTree as Xml
from collections import defaultdict
from collections.abc import Collection
from dataclasses import dataclass
from xml.sax.saxutils import escape

from tests.karpenter_aws.prices import Prices, answer

ANY = "*"
_OVERRIDE = re.compile(r"^LaunchTemplateConfigs\.(\d+)\.Overrides\.(\d+)\.(.+)$")
_CONFIG = "LaunchTemplateConfigs."
_NO_SPOT = "There is no Spot capacity available that matches your request."
_LACKING = (
    "We currently do not have sufficient {} capacity in the Availability Zone you requested ({})."
)
Form = dict[str, str]
Short = Collection[tuple[str, str, str]]
"""Instance type, zone and capacity type of each offering that is short; `ANY` matches all."""


@dataclass(frozen=True, slots=True)
class Fleet:
    """What becomes of a fleet request: what is asked of the emulator, and what is refused.

    `form` is None where nothing is left to ask for; `errors` are items of an errorSet.
    """

    form: Form | None
    errors: str
    n_errors: int


def capacity_type(form: Form) -> str:
    """Return whether a fleet request is for Spot or on-demand."""
    return form.get("TargetCapacitySpecification.DefaultTargetCapacityType", "on-demand")


def divide(form: Form, short: Short, prices: Prices) -> Fleet:
    """Take out what is short, and put the cheapest of the rest first."""
    kind = capacity_type(form)
    kept: dict[str, list[Form]] = defaultdict(list)
    refused: list[str] = []
    for config, override in _overrides(form):
        if is_short(override, kind, short):
            refused.append(_error(override, kind, form.get(_template(config), "")))
        else:
            kept[config].append(override)
    made = _cheapest_first(form, kept, kind, prices) if kept else None
    return Fleet(made, "".join(refused), len(refused))


def is_short(override: Form, kind: str, short: Short) -> bool:
    """Tell whether an override names an offering that is not to be had."""
    types, zones = (override["InstanceType"], ANY), (override.get("AvailabilityZone", ""), ANY)
    return any((t, z, k) in short for t in types for z in zones for k in (kind, ANY))


def with_errors(body: str, errors: str) -> str:
    """Put errors into the emulator's answer to CreateFleet."""
    told = f"<errorSet>{errors}</errorSet>"
    if "<errorSet" in body:
        return re.sub(r"<errorSet\s*/>|<errorSet>.*?</errorSet>", told, body, count=1, flags=re.S)
    return body.replace("<fleetInstanceSet", f"{told}<fleetInstanceSet", 1)


def nothing_launched(errors: str) -> str:
    """Answer a fleet request of which nothing could be had."""
    inner = f"<fleetId>fleet-none</fleetId><errorSet>{errors}</errorSet><fleetInstanceSet/>"
    return answer("CreateFleet", inner)


def launched(body: str) -> list[str]:
    """Return the instances of the emulator's answer to CreateFleet."""
    return re.findall(r">(i-[0-9a-f]+)<", body)


def with_groups(body: bytes, groups: dict[str, list[str]]) -> bytes:
    """Give instances the security groups of their launch template, which the emulator forgets.

    Without this Karpenter sees its nodes drift, and replaces them for ever.
    """
    root = Xml.fromstring(body)
    space = root.tag[: root.tag.index("}") + 1] if root.tag.startswith("{") else ""
    for item in root.iter(f"{space}item"):
        known = groups.get(item.findtext(f"{space}instanceId", ""))
        held = item.find(f"{space}groupSet")
        if known is None or held is None:
            continue
        for old in list(held):
            held.remove(old)
        for name in known:
            group = Xml.SubElement(held, f"{space}item")
            Xml.SubElement(group, f"{space}groupId").text = name
            Xml.SubElement(group, f"{space}groupName").text = name
    return Xml.tostring(root, default_namespace=space.strip("{}") or None)


def _overrides(form: Form) -> list[tuple[str, Form]]:
    """Return the overrides of a form in order, each with the number of its config."""
    found: dict[tuple[int, int], Form] = defaultdict(dict)
    for key, value in form.items():
        if at := _OVERRIDE.match(key):
            found[int(at[1]), int(at[2])][at[3]] = value
    return [(str(config), override) for (config, _), override in sorted(found.items())]


def _cheapest_first(form: Form, kept: dict[str, list[Form]], kind: str, prices: Prices) -> Form:
    def price(override: Form) -> float:
        zone = override.get("AvailabilityZone", "")
        return prices.of(override["InstanceType"], zone, kind)

    made = {key: value for key, value in form.items() if not key.startswith(_CONFIG)}
    order = sorted(kept, key=lambda config: min(map(price, kept[config])))
    for number, config in enumerate(order, 1):
        old, new = f"{_CONFIG}{config}.", f"{_CONFIG}{number}."
        made |= {
            key.replace(old, new, 1): value
            for key, value in form.items()
            if key.startswith(old) and not _OVERRIDE.match(key)
        }
        for place, override in enumerate(sorted(kept[config], key=price), 1):
            made |= {f"{new}Overrides.{place}.{key}": value for key, value in override.items()}
    return made


def _template(config: str) -> str:
    return f"{_CONFIG}{config}.LaunchTemplateSpecification.LaunchTemplateName"


def _error(override: Form, kind: str, template: str) -> str:
    specification = (
        f"<launchTemplateSpecification><launchTemplateName>{escape(template)}</launchTemplateName>"
        "<version>1</version></launchTemplateSpecification>"
    )
    named = (
        f"<overrides><instanceType>{override['InstanceType']}</instanceType>"
        f"<availabilityZone>{override.get('AvailabilityZone', '')}</availabilityZone>"
        f"<subnetId>{override.get('SubnetId', '')}</subnetId></overrides>"
    )
    lacking = _LACKING.format(override["InstanceType"], override.get("AvailabilityZone", ""))
    words = _NO_SPOT if kind == "spot" else lacking
    return (
        "<item><errorCode>InsufficientInstanceCapacity</errorCode>"
        f"<errorMessage>{words}</errorMessage><lifecycle>{kind}</lifecycle>"
        f"<launchTemplateAndOverrides>{specification}{named}</launchTemplateAndOverrides></item>"
    )
