"""Whether a node carries pods that a drain would have to move, asked right before it is ended.

Comes in: a node's name. Goes out: yes or no, by the pods that are bound to it at this instant. The
view may be a moment behind, and an ended instance asks no budget. May not write.
"""

from __future__ import annotations

from typing import Final

from spotvortex.core.domain.labels import MANAGED_BY, MANAGER
from spotvortex.kube.api.wire import objects as wire
from spotvortex.kube.api.wire.codec import Codec
from spotvortex.kube.cache.pods import record_of
from spotvortex.kube.write.bounded import RequestSender

_ALL_PODS: Final = "/api/v1/pods"
_RUNS: Final = "status.phase!=Succeeded,status.phase!=Failed"
_PAGE: Final = "500"
"""More pods than any node takes."""


async def carries_pods(node: str, namespace: str, client: RequestSender, bound_s: float) -> bool:
    """Ask the API server; what cannot be read counts as a pod, and the controller's own do not.

    Raises:
        ApiError: it did not answer.
    """
    query = {"fieldSelector": f"spec.nodeName={node},{_RUNS}", "limit": _PAGE}
    body = await client.get_bytes(_ALL_PODS, query, timeout=bound_s, verb="list")
    page = Codec(wire.Pod).page(body)
    return bool(page.skipped) or any(_moves(pod, namespace) for pod in page.objects)


def _moves(pod: wire.Pod, namespace: str) -> bool:
    ours = (pod.metadata.labels or {}).get(MANAGED_BY) == MANAGER
    ours = ours and pod.metadata.namespace == namespace
    try:
        return not record_of(pod.metadata.key, pod, lambda *_: 0, ours=ours).stays
    except ValueError:
        return True
