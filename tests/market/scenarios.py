"""Scenarios of scripted prices; `SHIPPED` is the one of the Go agent's own suites."""

from __future__ import annotations

import json

from spotvortex.market.scripted import FakePriceProvider, ScriptedMarket, read_scenario

SHIPPED: dict[str, object] = {
    "default": {
        "current_price": 0.2,
        "on_demand_price": 1.0,
        "price_history": [0.2, 0.2, 0.2],
    },
    "repeat_last": True,
    "series": {
        "m5.large:us-east-1a": [
            {"current_price": 0.22, "on_demand_price": 1.0, "price_history": [0.2, 0.21, 0.22]},
            {"current_price": 0.95, "on_demand_price": 1.0, "price_history": [0.22, 0.5, 0.95]},
            {"current_price": 0.28, "on_demand_price": 1.0, "price_history": [0.95, 0.6, 0.28]},
        ],
        "r6i.large:us-east-1a": [{"error": "simulated throttling"}],
        "*:us-west-2a": [
            {"current_price": 0.4, "on_demand_price": 1.2, "price_history": [0.39, 0.4]}
        ],
    },
}


def played(scenario: dict[str, object]) -> FakePriceProvider:
    return FakePriceProvider(read_scenario(json.dumps(scenario).encode(), "test"))


def market_of(scenario: dict[str, object]) -> ScriptedMarket:
    return ScriptedMarket(played(scenario), source="scripted:test")


def prices(*points: float) -> list[dict[str, float]]:
    return [{"current_price": point} for point in points]
