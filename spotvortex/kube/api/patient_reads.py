"""Reads for whoever looks once, and has no later turn that would ask again.

Comes in: a client. Goes out: the same answers, where what may pass was asked again for a moment.
May not write: a write is sent once, by `KubeClient.send`.
"""

from __future__ import annotations

from collections.abc import Mapping
from random import Random
from typing import Final

from spotvortex.aio import Retries, retried
from spotvortex.errors import ApiError, ServerError, ThrottledError, UnreachableError
from spotvortex.kube.api.client import KubeClient


def _may_pass(error: BaseException) -> bool:
    """Tell a server that is busy, starting or cut off from one that has answered."""
    if isinstance(error, ServerError):
        return error.status >= 500
    return isinstance(error, ThrottledError | UnreachableError)


def _asked_s(error: BaseException) -> float:
    return (error.retry_after_s or 0.0) if isinstance(error, ApiError) else 0.0


RETRIES: Final = Retries(
    n_attempts=4,
    within_s=5.0,
    first_s=0.2,
    longest_s=2.0,
    is_worth=_may_pass,
    asked_s=_asked_s,
)
"""The one policy for reads of the API server. A time-out is longer than all of it: a server that
does not answer is asked once."""


class PatientReads:
    """Reads as `KubeClient.get_bytes` does, and again where that may help."""

    def __init__(self, client: KubeClient, rng: Random) -> None:
        self._client = client
        self._rng = rng

    async def get_bytes(
        self,
        path: str,
        query: Mapping[str, str] | None = None,
        *,
        accept: str | None = None,
        timeout: float,
        verb: str = "get",
    ) -> bytes:
        """Read one answer whole; see `KubeClient.get_bytes`.

        Raises:
            ApiError: one of its kinds, by status; of the last try.
        """

        async def once() -> bytes:
            return await self._client.get_bytes(
                path, query, accept=accept, timeout=timeout, verb=verb
            )

        return await retried(once, RETRIES, self._rng)
