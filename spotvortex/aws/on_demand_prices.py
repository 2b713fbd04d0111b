"""On-demand list prices, from the Price List Query API.

Comes in: an instance type. Goes out: what an hour of it costs in one region, for Linux on shared
hardware, or an error that says the fix. One right is needed: pricing:GetProducts. May not keep what
it has read.
"""

from __future__ import annotations

import json
from collections.abc import AsyncIterator, Iterator, Mapping
from contextlib import asynccontextmanager
from typing import Any, Final

from spotvortex.aws.session import (
    ANSWER_S,
    PASSING,
    NoClientError,
    RequestFailedError,
    answered,
    open_client,
    rights_to,
    short_words,
)
from spotvortex.core.domain.types import is_price
from spotvortex.errors import PriceSourceError, QueueFault, SettingsError

_OPERATION: Final = "pricing:GetProducts"
_HOME: Final = "us-east-1"
"""The API answers in a few regions, for all of them (AWS Billing User Guide, "endpoints")."""

_PAGE: Final = 100
_MAX_PAGES: Final = 100
"""A region sells under a thousand types."""

_PLAIN: Final = {
    "operatingSystem": "Linux",
    "preInstalledSw": "NA",
    "tenancy": "Shared",
    "capacitystatus": "Used",
}
"""What an ordinary on-demand instance is, in the words of the price list."""


class ListPriceClient:
    """Asks for list prices of one region: implements `ports.OnDemandPrices`."""

    def __init__(self, client: Any, region: str) -> None:  # noqa: ANN401 - untyped
        self._client = client
        self._region = region

    async def price(self, instance_type: str) -> float | None:
        """Return the list price of a type, None where it is not sold; see the port.

        Raises:
            PriceSourceError: it could not be had.
        """
        found: set[float] = set()
        async for product in self._products({"instanceType": instance_type}):
            found |= set(_prices(product))
        # Of two products that fit, the dearer one is the careful answer.
        return max(found, default=None)

    async def all_prices(self) -> dict[str, float]:
        """Return the list price of every type that is sold in the region, by type.

        Raises:
            PriceSourceError: a page could not be had, or there are too many.
        """
        found: dict[str, float] = {}
        async for product in self._products({}):
            name = _type_of(product)
            for usd in _prices(product) if name else ():
                found[name] = max(usd, found.get(name, 0.0))
        return found

    async def _products(self, which: Mapping[str, str]) -> AsyncIterator[object]:
        """Yield the products of every page; a page may be empty and name another one."""
        token = ""
        for _ in range(_MAX_PAGES):
            more = {"NextToken": token} if token else {}
            page = await self._page(which, MaxResults=_PAGE, **more)
            for text in page.get("PriceList", ()):
                yield _product(text)
            token = str(page.get("NextToken") or "")
            if not token:
                return
        text = f"{_OPERATION} gave more than {_MAX_PAGES} pages of {_PAGE} products"
        raise PriceSourceError(text, is_passing=False)

    async def _page(self, which: Mapping[str, str], **args: object) -> Mapping[str, Any]:
        wanted = {**_PLAIN, **which} | {"regionCode": self._region}
        filters = [{"Type": "TERM_MATCH", "Field": k, "Value": v} for k, v in wanted.items()]
        request = self._client.get_products(
            ServiceCode="AmazonEC2", Filters=filters, FormatVersion="aws_v1", **args
        )
        try:
            page: Mapping[str, Any] = await answered(request, 2 * ANSWER_S)
        except RequestFailedError as trouble:
            text = f"{_OPERATION}: {short_words(trouble.words)}; {_fix(trouble)}"
            passing = trouble.fault in PASSING
            raise PriceSourceError(text, is_passing=passing) from trouble.__cause__
        return page


@asynccontextmanager
async def open_list_prices(region: str) -> AsyncIterator[ListPriceClient]:
    """Open a client for list prices; nothing is asked yet.

    Raises:
        SettingsError: a setting of AWS is wrong.
    """
    try:
        async with open_client("pricing", _HOME, 0, 2) as client:
            yield ListPriceClient(client, region)
    except NoClientError as error:
        text = f"no client for SPOTVORTEX_PRICE_SOURCE=aws: {error}"
        raise SettingsError(text) from error.__cause__


def _product(text: str) -> object:
    """Read one product, None where it cannot be read."""
    try:
        return json.loads(text)
    except (ValueError, RecursionError):
        return None


def _type_of(product: object) -> str:
    """Return the instance type that a product is, "" where it does not say."""
    name = _values_of(_values_of(product, "product"), "attributes").get("instanceType")
    return name if isinstance(name, str) else ""


def _prices(product: object) -> Iterator[float]:
    """Yield what an hour costs by one product; what cannot be read says nothing."""
    for term in _values(_values_of(product, "terms"), "OnDemand"):
        for dimension in _values(term, "priceDimensions"):
            usd = _usd(dimension) if dimension.get("unit") == "Hrs" else None
            if usd is not None:
                yield usd


def _values_of(holder: object, name: str) -> Mapping[str, Any]:
    found = holder.get(name) if isinstance(holder, Mapping) else None
    return found if isinstance(found, Mapping) else {}


def _values(holder: Mapping[str, Any], name: str) -> list[Mapping[str, Any]]:
    return [v for v in _values_of(holder, name).values() if isinstance(v, Mapping)]


def _usd(dimension: Mapping[str, Any]) -> float | None:
    try:
        usd = float(str(_values_of(dimension, "pricePerUnit").get("USD")))
    except ValueError:
        return None
    return usd if is_price(usd) else None


def _fix(trouble: RequestFailedError) -> str:
    if trouble.fault is QueueFault.DENIED:
        return rights_to(_OPERATION)
    return f"see to the network way to the pricing API in {_HOME}, or wait"
