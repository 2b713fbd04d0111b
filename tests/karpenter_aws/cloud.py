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

import http.client
import json
import logging
import re
import threading
import urllib.request
from collections import Counter
from contextlib import ExitStack, suppress
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any, Self
from urllib.parse import parse_qsl, urlencode, urlsplit

from tests.karpenter_aws import fleet
from tests.karpenter_aws.prices import Prices, answer

REGION = "us-west-2"
XML, JSON = "text/xml", "application/x-amz-json-1.1"
EMPTY = {
    "DescribeCapacityReservations": "capacityReservationSet",
    "DescribePlacementGroups": "placementGroupSet",
}
STEADY = ("DescribeInstanceTypes", "DescribeInstanceTypeOfferings")
"""moto takes seconds for each, and always answers the same."""
_KEY = re.compile(r"Credential=([^/]+)/")
_DROPPED = ("accept-encoding", "connection", "content-length", "expect", "transfer-encoding")


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
    _moto: str = ""
    _templates: dict[str, list[str]] = field(default_factory=dict)
    _groups: dict[str, list[str]] = field(default_factory=dict)
    _steady: dict[bytes, _Answer] = field(default_factory=dict)
    _turn: threading.Lock = field(default_factory=threading.Lock)
    _stack: ExitStack = field(default_factory=ExitStack)

    def __enter__(self) -> Self:
        from moto.server import ThreadedMotoServer  # noqa: PLC0415 - half a second of imports

        logging.getLogger("werkzeug").setLevel(logging.CRITICAL)
        moto = ThreadedMotoServer(ip_address="127.0.0.1", port=0, verbose=False)
        moto.start()
        self._stack.callback(moto.stop)
        host, port = moto.get_host_and_port()
        self._moto = f"http://{host}:{port}"
        urllib.request.urlopen(f"{self._moto}/moto-api/reset", data=b"", timeout=10).close()
        proxy = ThreadingHTTPServer(("127.0.0.1", 0), _handler(self))
        proxy.daemon_threads = True
        thread = threading.Thread(target=proxy.serve_forever, name="cloud")
        thread.start()
        self._stack.callback(thread.join, 10)
        self._stack.callback(proxy.server_close)
        self._stack.callback(proxy.shutdown)
        self.url = f"http://127.0.0.1:{proxy.server_address[1]}"
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
            "AWS_EC2_METADATA_DISABLED": "true",
            "AWS_CONFIG_FILE": "/dev/null",
            "AWS_SHARED_CREDENTIALS_FILE": "/dev/null",
        }

    def client(self, service: str) -> Any:
        """Return a client of the scene's own, which the proxy does not see."""
        import boto3  # noqa: PLC0415 - as above

        return boto3.client(
            service,
            region_name=REGION,
            endpoint_url=self._moto,
            aws_access_key_id="scene",
            aws_secret_access_key="test",
        )

    def n_asked(self, who: str) -> int:
        """Count the requests of one key."""
        return sum(n for (key, _), n in self.asked.items() if key == who)

    # -- the proxy -----------------------------------------------------------------

    def answer(self, request: _Request) -> _Answer:
        """Answer a request as AWS would."""
        self.asked[request.key, request.operation] += 1
        match request.operation:
            case "GetProducts":
                return _Answer(
                    body=json.dumps(self.prices.products(request.body)).encode(), kind=JSON
                )
            case "DescribeSpotPriceHistory":
                return _Answer(body=self.prices.history().encode())
            case name if name in EMPTY:
                return _Answer(body=answer(name, f"<{EMPTY[name]}/>").encode())
            case name if name in STEADY:
                return self._remembered(request)
            case "CreateFleet" if request.form.get("DryRun") != "true":
                return self._launch(request)
        return self._mended(request, self._forward(request))

    def _remembered(self, request: _Request) -> _Answer:
        with self._turn:
            if request.body not in self._steady:
                found = self._forward(request)
                if found.status != 200:
                    return found
                self._steady[request.body] = found
            return self._steady[request.body]

    def _launch(self, request: _Request) -> _Answer:
        form, kind = request.form, fleet.capacity_type(request.form)
        divided = fleet.divide(form, self.short, self.prices)
        n_wanted = int(form.get("TargetCapacitySpecification.TotalTargetCapacity", "1"))
        self.fleets.append((kind, n_wanted, divided.n_errors))
        if divided.form is None:
            return _Answer(body=fleet.nothing_launched(divided.errors).encode())
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

    def _mended(self, request: _Request, found: _Answer) -> _Answer:
        if found.status != 200:
            return found
        match request.operation:
            case "CreateLaunchTemplate":
                named = [v for k, v in sorted(request.form.items()) if ".SecurityGroupId." in k]
                self._templates[request.form["LaunchTemplateName"]] = named
            case "DescribeInstances":
                found.body = fleet.with_groups(found.body, self._groups)
        return found

    def _forward(self, request: _Request) -> _Answer:
        at = urlsplit(self._moto)
        connection = http.client.HTTPConnection(str(at.hostname), at.port, timeout=60)
        headers = {k: v for k, v in request.headers.items() if k.lower() not in _DROPPED}
        try:
            connection.request(request.method, request.path, request.body, headers)
            found = connection.getresponse()
            kind = found.getheader("Content-Type", XML)
            return _Answer(status=found.status, body=found.read(), kind=kind)
        finally:
            connection.close()


@dataclass(slots=True, kw_only=True)
class _Answer:
    status: int = 200
    body: bytes = b""
    kind: str = XML


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


def _handler(cloud: Cloud) -> type[BaseHTTPRequestHandler]:
    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def _serve(self) -> None:
            body = self.rfile.read(int(self.headers.get("Content-Length", 0)))
            headers = dict(self.headers)
            request = _Request(method=self.command, path=self.path, headers=headers, body=body)
            found = cloud.answer(request)
            # Who asks may have ended while it waited for messages.
            with suppress(ConnectionError):
                self._send(found)

        def _send(self, found: _Answer) -> None:
            self.send_response(found.status)
            self.send_header("Content-Type", found.kind)
            self.send_header("Content-Length", str(len(found.body)))
            self.end_headers()
            self.wfile.write(found.body)

        def do_GET(self) -> None:
            self._serve()

        def do_POST(self) -> None:
            self._serve()

        def do_DELETE(self) -> None:
            self._serve()

        def log_message(self, *_: object) -> None:
            """Say nothing."""

    return Handler
