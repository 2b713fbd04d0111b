"""Reading the daemon's own histograms over a window of time."""

import re
from collections.abc import Mapping
from dataclasses import dataclass

_BUCKET = re.compile(r'^(\w+)_bucket\{le="([^"]+)"\} ([0-9.e+]+)$', re.MULTILINE)


@dataclass(frozen=True, slots=True)
class Histogram:
    """Cumulative counts by upper bound in seconds."""

    buckets: Mapping[float, float]

    def since(self, before: "Histogram") -> "Histogram":
        """Return what was added since an earlier reading."""
        return Histogram({le: n - before.buckets.get(le, 0.0) for le, n in self.buckets.items()})

    @property
    def total(self) -> float:
        """How many values were observed."""
        return max(self.buckets.values(), default=0.0)

    def above(self, bound: float) -> float:
        """How many values were above a bound that is one of the buckets'."""
        return self.total - self.buckets[bound]

    def quantile_at_most(self, share: float) -> float:
        """Return the upper bound of the bucket that holds a quantile."""
        wanted = share * self.total
        return min((le for le, n in self.buckets.items() if n >= wanted), default=float("inf"))


def read_histogram(exposition: str, name: str) -> Histogram:
    """Find one histogram without labels in a Prometheus exposition."""
    found = {float(le): float(n) for series, le, n in _BUCKET.findall(exposition) if series == name}
    assert found, f"no histogram {name}"
    return Histogram(found)
