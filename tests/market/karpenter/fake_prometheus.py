"""A Prometheus for the few forms of query that are asked, by its documented rules.

Samples are taken once a minute from functions of time. A selector looks back five minutes, matchers
are anchored, `resets` counts falls between the samples of a range, and the answer is the JSON of
the HTTP API. A real one gives the same answers to the same samples (`test_real_prometheus.py`).
"""

import json
import re
from collections import defaultdict
from dataclasses import dataclass, field
from itertools import groupby, pairwise

from spotvortex.market.karpenter.exposition import AVAILABLE, DISRUPTED, PRICE

SCRAPED_EVERY_S = 60
LOOKBACK_S = 300
DAY = 86_400.0

SELECTOR = r"(?P<name>[a-z_]+)\{(?P<matchers>.*?)\}"
FORMS = {
    "plain": re.compile(rf"^{SELECTOR}$"),
    "max": re.compile(rf"^max by \((?P<by>[^)]*)\) \({SELECTOR}\)$"),
    "count": re.compile(
        rf"^count by \((?P<by>[^)]*)\) \(max by \((?P<inner>[^)]*)\) \({SELECTOR}\)\)$"
    ),
    "fell": re.compile(
        rf"^max by \((?P<by>[^)]*)\) \(resets\({SELECTOR}\[(?P<range>\d+)s\]\)\) > 0$"
    ),
}


@dataclass
class FakePrometheus:
    """What was scraped: (name, labels, value by time or None where there was no sample)."""

    series: list = field(default_factory=list)
    asked: list = field(default_factory=list)

    def add(self, name, value, **labels):
        self.series.append((name, labels, value))

    def lines(self, end, n_days=15):
        """Write every sample down as OpenMetrics wants it: by name, and each series by time."""
        by_name = sorted(self.series, key=lambda one: one[0])
        for name, series in groupby(by_name, key=lambda one: one[0]):
            yield f"# TYPE {name} gauge"
            for _, given, value in series:
                named = ",".join(f'{k}="{v}"' for k, v in sorted(given.items()))
                first = int(end - n_days * DAY)
                for at in range(first - first % SCRAPED_EVERY_S, int(end) + 1, SCRAPED_EVERY_S):
                    found = value(at)
                    if found is not None:
                        yield f"{name}{{{named}}} {found} {at}"

    def answer(self, query):
        """Answer one request for `/api/v1/query_range`, given its parameters."""
        self.asked.append(query)
        form, match = next((f, m) for f, p in FORMS.items() if (m := p.match(query["query"])))
        chosen = [
            (labels, value)
            for name, labels, value in self.series
            if name == match["name"] and matches(match["matchers"], labels)
        ]
        start, end, step = (int(query[name]) for name in ("start", "end", "step"))
        assert (end - start) / step < 11_000, "as the real one refuses"
        values = defaultdict(list)
        for at in range(start, end + 1, step):
            for labels, value in evaluated(form, match, chosen, at):
                values[tuple(sorted(labels.items()))].append([at, f"{value:.10g}"])
        result = [{"metric": dict(labels), "values": found} for labels, found in values.items()]
        data = {"resultType": "matrix", "result": result}
        return json.dumps({"status": "success", "data": data}).encode()


def matches(text, labels):
    for name, operator, wanted in re.findall(r'(\w+)(=~|=)"([^"]*)"', text):
        given = labels.get(name, "")
        if not (re.fullmatch(wanted, given) if operator == "=~" else wanted == given):
            return False
    return True


def sample(value, at):
    """The latest sample, not older than the look-back."""
    last = at - at % SCRAPED_EVERY_S
    times = range(last, at - LOOKBACK_S, -SCRAPED_EVERY_S)
    return next((found for t in times if (found := value(t)) is not None), None)


def evaluated(form, match, chosen, at):
    if form == "fell":
        fell = [(labels, resets(value, at, int(match["range"]))) for labels, value in chosen]
        return [(k, v) for k, v in grouped(fell, match["by"], max) if v > 0]
    now = [(labels, sample(value, at)) for labels, value in chosen]
    now = [(labels, value) for labels, value in now if value is not None]
    if form == "plain":
        return now
    if form == "count":
        return grouped(grouped(now, match["inner"], max), match["by"], len)
    return grouped(now, match["by"], max)


def resets(value, at, range_s):
    times = range(at - at % SCRAPED_EVERY_S, at - range_s, -SCRAPED_EVERY_S)
    found = [v for t in reversed(times) if (v := value(t)) is not None]
    return sum(later < earlier for earlier, later in pairwise(found))


def grouped(found, by, how):
    names = [name.strip() for name in by.split(",")]
    groups = defaultdict(list)
    for labels, value in found:
        groups[tuple((n, labels[n]) for n in names if n in labels)].append(value)
    return [(dict(key), how(values)) for key, values in groups.items()]


def labels(offering, kind="spot", **more):
    place = {"instance_type": offering.instance_type, "zone": offering.zone}
    return {"capacity_type": kind, "pod": "karpenter-0"} | place | more


def two_weeks(end, a, b, c):
    """What a cluster leaves behind whose two nodes were on `a`: one was lost 50 h ago.

    A launch on `b` failed 10 h ago, and `c` is sold nowhere.
    """
    db = FakePrometheus()
    lost_at, failed_at = end - 50 * 3600, end - 10 * 3600
    gone = (lost_at, lost_at + 180)
    db.add(AVAILABLE, lambda t: 0 if gone[0] <= t < gone[1] else 1, **labels(a))
    db.add(AVAILABLE, lambda t: 0 if failed_at <= t < failed_at + 180 else 1, **labels(b))
    db.add(AVAILABLE, lambda _: 0, **labels(c))
    db.add(PRICE, lambda t: 0.03 if t < end - DAY else 0.04, **labels(a))
    db.add(PRICE, lambda _: 0.05, **labels(b))
    db.add(PRICE, lambda _: 0.1, **labels(a, "on-demand"))
    node = {"resource_type": "pods", "pod": "karpenter-0"}
    held = "karpenter_nodes_allocatable"
    db.add(held, lambda t: 29 if t < lost_at + 90 else None, **labels(a, node_name="n1", **node))
    db.add(held, lambda _: 29, **labels(a, node_name="n2", **node))
    db.add(held, lambda _: 2.0, **labels(a, node_name="n2", **node | {"resource_type": "cpu"}))
    told = {"capacity_type": "spot", "reason": "spot_interrupted", "nodepool": "web"}
    db.add(DISRUPTED, lambda t: None if t < lost_at else 1, **told)
    db.add(DISRUPTED, lambda t: t // 3600, **told | {"reason": "underutilized"})
    return db
