"""What the generator of capacity knows about real Spot markets.

Comes in: nothing. Goes out: numbers, each with its source. Those that are fitted were printed by
`python -m scripts.fit_generator DIR`, on the first parts of 18 availability series of
github.com/skypilot-org/spot-traces (Wu et al., "Can't Be Late", NSDI 2024): offerings of the worst
interruption band, p2 and p3 in us-east-1 and us-west-2, 2022-23, and r5.16xlarge in us-east-1,
April 2023. May not hold anything that is not a number with a source.

How well they do, family `tracelike` against the series, both looked at every few minutes: losses
per node-hour 0.392 against 0.388, share available 0.64 against 0.60, mean time with nothing 1.75 h
against 1.71 h, correlation of two zones 0.42 against 0.42, its persistence 10.3 h against 11.4 h;
hazard of loss an hour by age 1.73, 0.79, 0.36, 0.14, 0.07 against 1.38, 0.77, 0.36, 0.16, 0.06.
"""

from __future__ import annotations

from typing import Final

AGE_EDGES_HOURS: Final = (0.5, 1.0, 3.0, 12.0)
"""Ends of the age classes below; the last class is open."""

LOSS_MULTIPLES: Final = (17.49, 10.55, 5.36, 2.5, 1.0)
"""Hazard of losing an offering by the time since it came back in full, as a multiple of that
beyond 12 hours; fitted with a level for each series."""

AGE_EXPONENT: Final = 0.89
"""Power to which the multiples by age, of losses and recoveries, are taken. Below 1, as shortages
make young ages more dangerous by themselves; set so that the generator's hazards fall as the
series' do."""

RECOVERIES_PER_HOUR: Final = (1.525, 0.974, 0.521, 0.265, 0.112)
"""Hazard of an offering coming back, by the time since it was gone; fitted likewise."""

RECOVERY_SPEED: Final = 7.4
"""Correction of the recoveries, set so that the generator's offerings are gone for as long as the
series' are: in a shortage, where most of them are lost, it lets them come back more slowly."""

FRAILTY_SIGMA: Final = 0.8
"""Spread between offerings, sigma of the logarithm of their hazards. AWS Spot Advisor, February
2024, Linux: 33 % of offerings below 5 % a month and 9 % above 20 %, which is 0.78."""

TRACE_FRAILTY_SIGMA: Final = 0.36
"""The same among the series, which are all of one band; fitted."""

RECOVERY_SIGMA: Final = 0.39
"""Spread between the offerings' recoveries, sigma of the logarithm; fitted."""

RECOVERY_CORRELATION: Final = -0.36
"""Of an offering's recovery with its frailty, in logarithms; fitted."""

TOTAL_LOSS_RATIO: Final = 0.299
"""Falls from full in which nothing is left; fitted on the series with counts (16 and 4 nodes)."""

SURVIVOR_RATIOS: Final = (0.17, 0.83)
"""What is left of the others, from and to, spread evenly; after the same series."""

PARTIAL_MEAN_S: Final = 456.0
"""How long a number between nought and full holds, mean; fitted on the same series, whose step is
300 s, so that it may be shorter in truth."""

PARTIAL_FALLS_RATIO: Final = 0.515
"""How often such a number falls further, rather than rising to full; fitted."""

PARTIAL_RETURN_RATIO: Final = 0.609
"""How often an offering comes back in part first; fitted."""

PRESSURE_HOURS: Final = 11.4
"""How long a shortage of a region or zone persists: its correlation falls by 1/e; fitted on the
autocorrelation of availability between 3 and 12 hours."""

PRESSURE_SIGMA: Final = 1.41
"""Strength of a shortage, sigma of the logarithm of the hazards; set so that the availability of
one instance type in two zones of a region is correlated as in the series (0.42)."""

FAMILY_SHARE: Final = 0.7
REGION_SHARE: Final = 0.1
ZONE_SHARE: Final = 0.1
"""Shares of the variance of a shortage that the offerings of one instance family in a region, of a
region, and of a zone have in common; the rest is the offering's own. Assumed, after the series: one
type in two zones of a region is correlated by 0.42, two sizes of a family in one zone by 0.1 to
0.36, and two GPU families in one zone by 0.0."""

BASE_PER_HOUR: Final = {"calm": 1.22e-4, "normal": 2.08e-3, "stressed": 2.5e-2, "tracelike": 0.305}
"""Hazard beyond 12 hours, mean over offerings and shortages, set so that the losses per node-hour
are `TARGET_PER_HOUR`; for `tracelike` so that a look every five minutes finds as many as in the
series, 0.388."""

TARGET_PER_HOUR: Final = {"calm": 1e-4, "normal": 2e-3, "stressed": 3e-2, "tracelike": 0.49}
"""Losses per node-hour that a family stands for. The first three span the Advisor's bands, read as
instance-months and as instances that live for 12 hours. The last was measured on the generator: the
series show 0.1 to 1.4, and what happens between two looks they do not show."""
