"""AWS on loopback for Karpenter: moto behind a proxy that adds what moto has not.

Comes in: requests of Karpenter, of the bridge and of anybody else who is given the address. Goes
out: moto's answers, and the proxy's own where moto's are not like AWS's:

- prices: GetProducts and DescribeSpotPriceHistory, of the list that ships with Karpenter;
- capacity: offerings that are short, in the answers to CreateFleet (`fleet`);
- security groups of instances, which moto forgets;
- what moto does not know (capacity reservations, placement groups): empty sets.

It counts who asked for what, by access key. Nobody else may keep instance profiles here: moto lists
them all, whatever their path, and Karpenter deletes what is not its own.
"""

from __future__ import annotations

import json
import re
import threading
from collections import Counter
from contextlib import ExitStack
from dataclasses import dataclass, field
from typing import Any, Self
from urllib.parse import parse_qsl, urlencode, urlsplit

from tests.aws.proxied_moto import NO_OTHER_CLOUD, Answer, ProxiedMoto
from tests.karpenter_aws import fleet
from tests.karpenter_aws.prices import Prices, answer

REGION = "us-west-2"
JSON = "application/x-amz-json-1.1"
EMPTY = {
    "DescribeCapacityReservations": "capacityReservationSet",
    "DescribePlacementGroups": "placementGroupSet",
}
STEADY = ("DescribeInstanceTypes", "DescribeInstanceTypeOfferings")
"""moto takes seconds for each, and always answers the same."""
_KEY = re.compile(r"Credential=([^/]+)/")


@dataclass(slots=True)
class Cloud:
    """moto with the proxy before it.

    Attributes:
        prices: of the region.
        short: offerings that are not to be had, see `fleet.Short`.
        asked: how often each access key asked for each operation.
        fleets: by fleet request: capacity type, how many were asked for, overrides refused.
        url: of the proxy.
    """

    prices: Prices
    short: set[tuple[str, str, str]] = field(default_factory=set)
    asked: Counter[tuple[str, str]] = field(default_factory=Counter)
    fleets: list[tuple[str, int, int]] = field(default_factory=list)
    url: str = ""
    _behind: ProxiedMoto = field(init=False)
    _templates: dict[str, list[str]] = field(default_factory=dict)
    _groups: dict[str, list[str]] = field(default_factory=dict)
    _steady: dict[bytes, Answer] = field(default_factory=dict)
    _turn: threading.Lock = field(default_factory=threading.Lock)
    _stack: ExitStack = field(default_factory=ExitStack)

    def __enter__(self) -> Self:
        self._behind = self._stack.enter_context(ProxiedMoto(self._answered))
        self.url = self._behind.url
        return self

    def __exit__(self, *_: object) -> None:
        self._stack.close()

    def variables(self, who: str) -> dict[str, str]:
        """Return what a program needs to ask this cloud and no other, under a key of its own."""
        return {
            "AWS_ENDPOINT_URL": self.url,
            "AWS_ACCESS_KEY_ID": who,
            "AWS_SECRET_ACCESS_KEY": "test",
            "AWS_REGION": REGION,
        } | NO_OTHER_CLOUD

    def client(self, service: str) -> Any:
        """Return a client of the scene's own, which the proxy does not see."""
        return self._behind.client(service, REGION)

    def n_asked(self, who: str) -> int:
        """Count the requests of one key."""
        return sum(n for (key, _), n in self.asked.items() if key == who)

    # -- the proxy -----------------------------------------------------------------

    def _answered(self, method: str, path: str, headers: dict[str, str], body: bytes) -> Answer:
        return self.answer(_Request(method=method, path=path, headers=headers, body=body))

    def answer(self, request: _Request) -> Answer:
        """Answer a request as AWS would."""
        self.asked[request.key, request.operation] += 1
        match request.operation:
            case "GetProducts":
                return Answer(
                    body=json.dumps(self.prices.products(request.body)).encode(), kind=JSON
                )
            case "DescribeSpotPriceHistory":
                return Answer(body=self.prices.history().encode())
            case name if name in EMPTY:
                return Answer(body=answer(name, f"<{EMPTY[name]}/>").encode())
            case name if name in STEADY:
                return self._remembered(request)
            case "CreateFleet" if request.form.get("DryRun") != "true":
                return self._launch(request)
        return self._mended(request, self._forward(request))

    def _remembered(self, request: _Request) -> Answer:
        with self._turn:
            if request.body not in self._steady:
                found = self._forward(request)
                if found.status != 200:
                    return found
                self._steady[request.body] = found
            return self._steady[request.body]

    def _launch(self, request: _Request) -> Answer:
        form, kind = request.form, fleet.capacity_type(request.form)
        divided = fleet.divide(form, self.short, self.prices)
        n_wanted = int(form.get("TargetCapacitySpecification.TotalTargetCapacity", "1"))
        self.fleets.append((kind, n_wanted, divided.n_errors))
        if divided.form is None:
            return Answer(body=fleet.nothing_launched(divided.errors).encode())
        request.body = urlencode(divided.form).encode()
        found = self._forward(request)
        text = found.body.decode()
        template = divided.form[
            "LaunchTemplateConfigs.1.LaunchTemplateSpecification.LaunchTemplateName"
        ]
        self._groups |= dict.fromkeys(fleet.launched(text), self._templates.get(template, []))
        if divided.errors and found.status == 200:
            found.body = fleet.with_errors(text, divided.errors).encode()
        return found

    def _mended(self, request: _Request, found: Answer) -> Answer:
        if found.status != 200:
            return found
        match request.operation:
            case "CreateLaunchTemplate":
                named = [v for k, v in sorted(request.form.items()) if ".SecurityGroupId." in k]
                self._templates[request.form["LaunchTemplateName"]] = named
            case "DescribeInstances":
                found.body = fleet.with_groups(found.body, self._groups)
        return found

    def _forward(self, request: _Request) -> Answer:
        return self._behind.forward(request.method, request.path, request.headers, request.body)


@dataclass(slots=True, kw_only=True)
class _Request:
    method: str
    path: str
    headers: dict[str, str]
    body: bytes

    @property
    def form(self) -> dict[str, str]:
        """The parameters of the query protocol."""
        named = {name.lower(): value for name, value in self.headers.items()}
        if not named.get("content-type", "").startswith("application/x-www-form-urlencoded"):
            return {}
        return dict(parse_qsl(self.body.decode(), keep_blank_values=True))

    @property
    def operation(self) -> str:
        """The name of the operation; of REST, method and path."""
        named = {name.lower(): value for name, value in self.headers.items()}
        target = named.get("x-amz-target", "").rpartition(".")[2]
        return target or self.form.get("Action") or f"{self.method} {urlsplit(self.path).path}"

    @property
    def key(self) -> str:
        """The access key, "" without one."""
        named = {name.lower(): value for name, value in self.headers.items()}
        found = _KEY.search(named.get("authorization", ""))
        return found[1] if found else ""
