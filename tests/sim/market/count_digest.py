"""Print the digest of generated counts of every family: one process, one PYTHONHASHSEED."""

import hashlib
import sys

from spotvortex.core.domain.types import Offering
from spotvortex.sim.market.semimarkov import FAMILIES, generate
from spotvortex.sim.market.shortage_clock import TimeSpan

OFFERINGS = {
    Offering(instance_type=name, zone=f"us-east-1{zone}")
    for name in ("m6i.large", "m6i.xlarge", "c6i.large", "r6i.large")
    for zone in "abc"
}


def digest(seed):
    """Hash what every family gives for a week."""
    hashed = hashlib.sha256()
    span = TimeSpan(start_at=1_785_229_200.0, seconds=7 * 86400.0)
    for family in FAMILIES.values():
        counts = generate(seed=seed, family=family, offerings=OFFERINGS, span=span)
        hashed.update(repr(counts).encode())
    return hashed.hexdigest()


if __name__ == "__main__":
    print(digest(int(sys.argv[1])))
