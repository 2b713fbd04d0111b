"""The names by which our things are known, written down a second time.

They are the documented contract with a user, so the witness has its own copy of them: it would
otherwise follow every mistake in the product's. A test compares the two.
"""

PREFIX = "spotvortex.io/"
KIND = "spotvortex.io/kind"
PLACEHOLDER = "placeholder"
ANCHOR = "anchor"
PLAN = "spotvortex.io/plan"
FOR = "spotvortex.io/for"
ORDER = "spotvortex.io/order"
CORDONED = "spotvortex.io/cordoned"
DRAIN = "spotvortex.io/drain"
AT_RISK = "spotvortex.io/at-risk"
AFTER_LOSS = "spotvortex.io/min-available-after-loss"
RESTORE = "spotvortex.io/restore"

NAMESPACE = "spotvortex"
LEASE = "spotvortex"
STATE = "spotvortex-state"
STATE_ASIDE = "spotvortex-state-aside"
GROWTHS = "spotvortex-state-groups"
FREEZE = "spotvortex-freeze"
PRIORITY_CLASS = "spotvortex-placeholder"
TETHER_PREFIX = "spotvortex-tether-"

POOL_LABEL = "spotvortex.io/pool"
NODE_POOL_LABEL = "karpenter.sh/nodepool"
CAPACITY_TYPE = "karpenter.sh/capacity-type"
DO_NOT_DISRUPT = "karpenter.sh/do-not-disrupt"
SAFE_TO_EVICT = "cluster-autoscaler.kubernetes.io/safe-to-evict"
