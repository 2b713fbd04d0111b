"""Scripted prices for tests, in the file format of the Go agent's fake price provider.

Comes in: a JSON scenario, as documented in `docs/price-file.md`. Goes out: one step of a script at
each spot call, and quotes made of such steps. The order of look-ups, the cursors and the texts of
the errors are part of the format. May not be used to act on: the settings bind it to test suites.
"""

from __future__ import annotations

import logging
import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import msgspec

from spotvortex.core.domain.inputs import InputHealth, InputName, InputState
from spotvortex.core.domain.market import MarketFacts, SpotQuote
from spotvortex.core.domain.types import Offering
from spotvortex.errors import PriceFileError, SpotVortexError, in_words

log = logging.getLogger(__name__)

MAX_SCENARIO_BYTES: Final = 8 * 1024 * 1024
MAX_ERRORS_TOLD: Final = 5
"""Errors of one instant that the input's detail names; the others are counted."""

_HELP: Final = "See docs/price-file.md, section Scripted prices."


class ScriptedPriceError(SpotVortexError):
    """A script has no price to give: by its own wish, at its end, or for lack of a series."""


class ScriptStep(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """One answer of a script; None is left to the default, an empty list or 0 is an answer.

    Attributes:
        current_price: the Spot price, USD per hour.
        on_demand_price: the on-demand price, USD per hour.
        price_history: Spot prices, USD per hour, oldest first.
        volatility: read and handed on as the format has it.
        error: the text with which the call fails; None or "" where it does not.
    """

    current_price: float | None = None
    on_demand_price: float | None = None
    price_history: list[float] | None = None
    volatility: float | None = None
    error: str | None = None

    def over(self, default: ScriptStep) -> ScriptStep:
        """Return this step with its gaps filled from the default, field by field."""
        own = {name: getattr(self, name) for name in self.__struct_fields__}
        said = {name: value for name, value in own.items() if value not in (None, "")}
        return msgspec.structs.replace(default, **said)

    @property
    def says_something(self) -> bool:
        """Tell whether any field is set."""
        return self.over(ScriptStep()) != ScriptStep()


class PriceScript(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """A whole script.

    Attributes:
        default: the answer where no series fits, and what fills the gaps of steps; None for none.
        series: steps by `<instanceType>:<zone>`, either side of which may be `*`.
        repeat_last: false ends a series with an error; else its last step is repeated.
    """

    default: ScriptStep | None = None
    series: dict[str, list[ScriptStep] | None] | None = None
    repeat_last: bool | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class ScriptedPrice:
    """What one call gives. A number that the script does not give is 0.

    Attributes:
        current_price: the Spot price, USD per hour.
        on_demand_price: the on-demand price, USD per hour.
        price_history: Spot prices, USD per hour, oldest first; empty where the script gives none.
        volatility: the script's figure.
    """

    current_price: float
    on_demand_price: float
    price_history: tuple[float, ...]
    volatility: float


class FakePriceProvider:
    """Plays a scenario: a spot call moves its series on, an on-demand call does not."""

    def __init__(self, scenario: PriceScript) -> None:
        """Take a scenario that `read_scenario` has checked."""
        self._default = scenario.default or ScriptStep()
        self._series = {key: steps or [] for key, steps in (scenario.series or {}).items()}
        self._repeats = scenario.repeat_last is not False
        self._cursors = dict.fromkeys(self._series, 0)

    def spot(self, instance_type: str, zone: str) -> ScriptedPrice:
        """Return the step at the cursor of the series concerned, and move that cursor on.

        Raises:
            ScriptedPriceError: the script says so, has come to its end, or knows no such offering.
        """
        key = self._key(instance_type, zone)
        step = self._step(key, instance_type, zone)
        if key is not None:
            last = len(self._series[key]) - (1 if self._repeats else 0)
            self._cursors[key] = min(self._cursors[key] + 1, last)
        return _price(step, instance_type, zone)

    def on_demand(self, instance_type: str, zone: str = "") -> float:
        """Return the on-demand price of the step at the cursor, USD per hour.

        Raises:
            ScriptedPriceError: as for a spot call.
        """
        step = self._step(self._key(instance_type, zone), instance_type, zone)
        return _price(step, instance_type, zone).on_demand_price

    def _key(self, instance_type: str, zone: str) -> str | None:
        kind, place = instance_type.strip() or "*", zone.strip() or "*"
        keys = (f"{kind}:{place}", f"{kind}:*", f"*:{place}", "*:*")
        return next((key for key in keys if key in self._series), None)

    def _step(self, key: str | None, instance_type: str, zone: str) -> ScriptStep:
        if key is None:
            if not self._default.says_something:
                raise ScriptedPriceError(
                    f"no fake price series or default for {instance_type}:{zone}"
                )
            return self._default
        steps, cursor = self._series[key], self._cursors[key]
        if cursor >= len(steps):
            raise ScriptedPriceError(f'fake price series exhausted for "{key}"')
        return steps[cursor].over(self._default)


def _price(step: ScriptStep, instance_type: str, zone: str) -> ScriptedPrice:
    if step.error:
        raise ScriptedPriceError(
            f"fake price provider injected error for {instance_type}:{zone}: {step.error}"
        )
    return ScriptedPrice(
        current_price=step.current_price or 0.0,
        on_demand_price=step.on_demand_price or 0.0,
        price_history=tuple(step.price_history or ()),
        volatility=step.volatility or 0.0,
    )


class ScriptedMarket:
    """Implements `ports.Market`: one spot call an offering and instant, in the offerings' order.

    Asking again for the same instant gives the same quotes and moves nothing on.
    """

    def __init__(self, provider: FakePriceProvider, *, source: str) -> None:
        self._provider = provider
        self._source = source
        self._at = -math.inf
        self._quotes: dict[Offering, SpotQuote] = {}
        self._errors: dict[Offering, str] = {}

    def facts(self, offerings: Iterable[Offering], now: float) -> MarketFacts:
        """Return a quote for every offering. See `ports.Market.facts`."""
        if now != self._at:
            self._at, self._quotes, self._errors = now, {}, {}
        asked = sorted(set(offerings))
        for offering in asked:
            if offering not in self._quotes:
                self._quotes[offering] = self._quote(offering)
        quotes = {offering: self._quotes[offering] for offering in asked}
        errors = [self._errors[offering] for offering in asked if offering in self._errors]
        return MarketFacts(quotes=quotes, inputs=(_health(quotes, errors),))

    def _quote(self, offering: Offering) -> SpotQuote:
        try:
            price = self._provider.spot(offering.instance_type, offering.zone)
        except ScriptedPriceError as error:
            self._errors[offering] = str(error)
            return SpotQuote(offering=offering)
        if not price.current_price > 0.0:
            self._errors[offering] = f"the script's price of {offering} is {price.current_price:g}"
        history = price.price_history
        return SpotQuote(
            offering=offering,
            spot_usd_per_hour=_known(price.current_price),
            on_demand_usd_per_hour=_known(price.on_demand_price),
            history_usd_per_hour=history if all(p > 0.0 for p in history) else (),
            age_s=0.0,
            source=self._source,
        )


def _known(price: float) -> float | None:
    return price if price > 0.0 else None


def _health(quotes: Mapping[Offering, SpotQuote], errors: Sequence[str]) -> InputHealth:
    priced = [q for q in quotes.values() if q.spot_usd_per_hour is not None]
    told = list(errors[:MAX_ERRORS_TOLD])
    if len(errors) > len(told):
        told.append(f"and {len(errors) - len(told)} more")
    absent = bool(quotes) and not priced
    return InputHealth(
        name=InputName.PRICES,
        state=InputState.ABSENT if absent else InputState.OK,
        age_s=math.inf if absent else 0.0,
        required=False,
        detail="; ".join(told),
    )


def read_scenario(raw: bytes, name: str) -> PriceScript:
    """Read and check a scenario.

    Args:
        raw: the JSON text.
        name: what to call it where it cannot be read.

    Raises:
        PriceFileError: it cannot be read; the text names the field and the place.
    """
    try:
        scenario = msgspec.json.decode(raw, type=PriceScript)
    except (msgspec.DecodeError, UnicodeDecodeError) as error:
        raise PriceFileError(f"{name}: {error}. {_HELP}") from error
    fault = _fault(scenario)
    if fault:
        raise PriceFileError(f"{name}: {fault}. {_HELP}")
    return scenario


def _fault(scenario: PriceScript) -> str:
    if not scenario.series and not (scenario.default or ScriptStep()).says_something:
        return "fake price scenario must define default and/or series"
    for key, steps in (scenario.series or {}).items():
        if not key.strip():
            return "fake price scenario contains empty series key"
        if ":" not in key:
            return f'fake price series key "{key}" must be in <instanceType>:<zone> format'
        if not steps:
            return f'fake price series "{key}" must contain at least one step'
    return ""


def load_scripted(path: Path | None, text: str | None) -> ScriptedMarket:
    """Read a scenario from a file or from inline JSON, and play it.

    Raises:
        PriceFileError: not exactly one of the two is given, or it cannot be read.
    """
    if path is not None and text is None:
        name, raw = path.name, _read(path)
    elif text is not None and path is None:
        name, raw = "inline scenario", text.encode(errors="surrogateescape")
    else:
        raise PriceFileError(
            "set exactly one of SPOTVORTEX_TEST_PRICE_PROVIDER_FILE and "
            "SPOTVORTEX_TEST_PRICE_PROVIDER_JSON"
        )
    provider = FakePriceProvider(read_scenario(raw, name))
    log.info("prices.scripted", extra={"scenario": name})
    return ScriptedMarket(provider, source=f"scripted:{name}")


def _read(path: Path) -> bytes:
    try:
        with path.open("rb") as file:
            raw = file.read(MAX_SCENARIO_BYTES + 1)
    except OSError as error:
        raise PriceFileError(f"{path}: cannot be read ({in_words(error)}). {_HELP}") from error
    if len(raw) > MAX_SCENARIO_BYTES:
        raise PriceFileError(f"{path}: longer than {MAX_SCENARIO_BYTES} bytes. {_HELP}")
    return raw
