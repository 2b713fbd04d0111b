"""EC2's DescribeSpotPriceHistory over HTTP on loopback, with pages and errors as EC2 has them, and
GetProducts of the price list.

Comes in: records, a page's size, and what goes wrong. Goes out: the query protocol's XML: an answer
holds the changes since StartTime and, of each offering, the one in force then (EC2 API Reference,
"DescribeSpotPriceHistory"). moto gives one page whatever is asked.
"""

import asyncio
import json
import threading
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager
from datetime import UTC, datetime
from urllib.parse import parse_qs

from aiohttp import web

JSON = "application/x-amz-json-1.1"
NAMESPACE = "http://ec2.amazonaws.com/doc/2016-11-15/"
Row = tuple[str, str, str, str, float]
"""Type, zone, product, price as text, and the time of the change."""


class MemoryEc2:
    """`fault` is an error as (status, code) for all requests; `asked` are their parameters."""

    def __init__(self, *rows: Row, page: int = 2) -> None:
        self.rows, self.page = list(rows), page
        self.fault: tuple[int, str] | None = None
        self.asked: list[dict[str, list[str]]] = []
        self.list_prices: dict[str, list[str]] = {}
        self.products: list[dict[str, str]] = []
        self.scores: dict[tuple[str, int], dict[str, int]] = {}
        self.url = ""

    def asked_for(self, action: str) -> list[dict[str, list[str]]]:
        """The parameters of the requests of one operation."""
        return [asked for asked in self.asked if asked["Action"] == [action]]

    async def answer(self, request: web.Request) -> web.Response:
        if request.headers.get("X-Amz-Target", "").endswith(".GetProducts"):
            return await self._list_price(request)
        asked = parse_qs((await request.read()).decode())
        self.asked.append(asked)
        if self.fault is not None:
            status, code = self.fault
            text = f"<Error><Code>{code}</Code><Message>told so</Message></Error>"
            body = f"<Response><Errors>{text}</Errors><RequestID>r</RequestID></Response>"
            return web.Response(text=body, status=status, content_type="text/xml")
        if asked["Action"] == ["DescribeAvailabilityZones"]:
            return _xml("DescribeAvailabilityZones", f"<availabilityZoneInfo>{ZONES}")
        if asked["Action"] == ["GetSpotPlacementScores"]:
            return self._scores(asked)
        assert asked["Action"] == ["DescribeSpotPriceHistory"]
        found = self._found(asked)
        first = int(asked.get("NextToken", ["0"])[0])
        last = first + self.page
        token = str(last) if last < len(found) else ""
        items = "".join(map(_item, found[first:last]))
        body = (
            f'<DescribeSpotPriceHistoryResponse xmlns="{NAMESPACE}"><requestId>r</requestId>'
            f"<spotPriceHistorySet>{items}</spotPriceHistorySet><nextToken>{token}</nextToken>"
            "</DescribeSpotPriceHistoryResponse>"
        )
        return web.Response(text=body, content_type="text/xml")

    def _scores(self, asked: dict[str, list[str]]) -> web.Response:
        """Answer as EC2 does: by zone ids, the best first, of zones that have a score."""
        assert asked["SingleAvailabilityZone"] == ["true"]
        assert int(asked["MaxResults"][0]) >= 10
        key = asked["InstanceType.1"][0], int(asked["TargetCapacity"][0])
        found = sorted(self.scores.get(key, {}).items(), key=lambda one: (-one[1], one[0]))
        items = "".join(
            f"<item><region>{asked['RegionName.1'][0]}</region>"
            f"<availabilityZoneId>{zone}</availabilityZoneId><score>{score}</score></item>"
            for zone, score in found
        )
        return _xml("GetSpotPlacementScores", f"<spotPlacementScoreSet>{items}")

    async def _list_price(self, request: web.Request) -> web.Response:
        """Answer as the Price List Query API does: products as texts of JSON."""
        asked = json.loads(await request.read())
        self.products.append({f["Field"]: f["Value"] for f in asked["Filters"]})
        if self.fault is not None:
            status, code = self.fault
            body = {"__type": f"{code}Exception", "message": "told so"}
            return web.json_response(body, status=status, content_type=JSON)
        found = [text for texts in self.list_prices.values() for text in texts]
        if "instanceType" in self.products[-1]:
            found = self.list_prices.get(self.products[-1]["instanceType"], [])
        first = int(asked.get("NextToken", "0"))
        last = first + min(self.page, asked["MaxResults"])
        more = {"NextToken": str(last)} if last < len(found) else {}
        return web.json_response({"PriceList": found[first:last], **more}, content_type=JSON)

    def _found(self, asked: dict[str, list[str]]) -> list[Row]:
        types = {v[0] for k, v in asked.items() if k.startswith("InstanceType")}
        products = {v[0] for k, v in asked.items() if k.startswith("ProductDescription")}
        start = datetime.fromisoformat(asked["StartTime"][0]).timestamp()
        rows = [r for r in self.rows if r[0] in types and r[2] in products]
        in_force: dict[tuple[str, str, str], Row] = {}
        for row in sorted((r for r in rows if r[4] <= start), key=lambda r: r[4]):
            in_force[row[:3]] = row
        return [*in_force.values(), *(r for r in rows if r[4] > start)]


ZONES = "".join(
    f"<item><zoneName>us-east-1{letter}</zoneName><zoneId>use1-az{n}</zoneId></item>"
    for letter, n in (("a", 4), ("b", 6), ("c", 1))
)


def _xml(action: str, opened: str) -> web.Response:
    """An answer of the query protocol; the list that is open is closed."""
    name = opened[1 : opened.index(">")]
    text = f"<requestId>r</requestId>{opened}</{name}>"
    body = f'<{action}Response xmlns="{NAMESPACE}">{text}</{action}Response>'
    return web.Response(text=body, content_type="text/xml")


def product(usd: str, unit: str = "Hrs", instance_type: str = "") -> str:
    """Return a product as the price list has it (Price List Query API, "GetProducts")."""
    attributes = {"attributes": {"instanceType": instance_type}} if instance_type else {}
    dimension = {"unit": unit, "pricePerUnit": {"USD": usd}}
    term = {"priceDimensions": {"S.T.D": dimension}}
    return json.dumps({"product": attributes, "terms": {"OnDemand": {"S.T": term}}})


def _item(row: Row) -> str:
    instance_type, zone, product, price, at = row
    when = datetime.fromtimestamp(at, UTC).strftime("%Y-%m-%dT%H:%M:%S.000Z")
    return (
        f"<item><instanceType>{instance_type}</instanceType><productDescription>{product}"
        f"</productDescription><spotPrice>{price}</spotPrice><timestamp>{when}</timestamp>"
        f"<availabilityZone>{zone}</availabilityZone></item>"
    )


@asynccontextmanager
async def serving(ec2: MemoryEc2) -> AsyncIterator[MemoryEc2]:
    app = web.Application()
    app.router.add_post("/", ec2.answer)
    runner = web.AppRunner(app, access_log=None, shutdown_timeout=0.1)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0).start()
    ec2.url = f"http://127.0.0.1:{runner.addresses[0][1]}"
    try:
        yield ec2
    finally:
        await runner.cleanup()


@contextmanager
def beside(ec2: MemoryEc2) -> Iterator[MemoryEc2]:
    """Serve on a thread of its own, for who waits for another program."""
    ready, ended = threading.Event(), asyncio.Event()
    loop = asyncio.new_event_loop()

    async def serve() -> None:
        async with serving(ec2):
            ready.set()
            await ended.wait()

    thread = threading.Thread(target=loop.run_until_complete, args=(serve(),), name="ec2")
    thread.start()
    try:
        assert ready.wait(10)
        yield ec2
    finally:
        loop.call_soon_threadsafe(ended.set)
        thread.join(10)
        loop.close()
