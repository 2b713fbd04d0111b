"""The requests of one call, none of which outlives the lease.

Comes in: a client, and until when this process may write. Goes out: answers. The time is looked at
right before each request: with too little of it left nothing is sent, and what is sent is given up,
by the server too, before it is over. May not know what the requests mean.
"""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Protocol

from spotvortex.errors import NotSentError
from spotvortex.kube.api.client import JSON
from spotvortex.ports.lease_timing import LeaseTiming


class RequestSender(Protocol):
    """Sends requests to an API server, as `KubeClient` does."""

    async def get_bytes(
        self,
        path: str,
        query: Mapping[str, str] | None = None,
        *,
        timeout: float,
        verb: str = "get",
    ) -> bytes:
        """Read one answer whole."""
        ...

    async def send(
        self,
        method: str,
        path: str,
        body: Mapping[str, object] | None = None,
        *,
        query: Mapping[str, str] | None = None,
        content_type: str = JSON,
        timeout: float,
    ) -> bytes:
        """Change something, once."""
        ...


@dataclass(frozen=True, slots=True, kw_only=True)
class BoundedRequests:
    """Sends requests until a time.

    Attributes:
        client: sends them.
        until: time of the loop's clock by which every request has to be over.
        timing: how long one of them may take.
    """

    client: RequestSender
    until: float
    timing: LeaseTiming

    async def get(self, path: str) -> bytes:
        """Read one object.

        Raises:
            ApiError: one of its kinds; `NotSentError` where too little time is left.
        """
        return await self.client.get_bytes(path, timeout=self._answer_s(path))

    async def send(
        self,
        method: str,
        path: str,
        body: Mapping[str, object] | None = None,
        *,
        query: Mapping[str, str] | None = None,
        content_type: str = JSON,
    ) -> bytes:
        """Change something, as `KubeClient.send` does.

        Raises:
            ApiError: one of its kinds; `NotSentError` where too little time is left.
        """
        answer_s = self._answer_s(path)
        return await self.client.send(
            method, path, body, query=query, content_type=content_type, timeout=answer_s
        )

    def _answer_s(self, path: str) -> float:
        left_s = self.until - asyncio.get_running_loop().time()
        answer_s = self.timing.answer_s(left_s)
        if answer_s is None:
            raise NotSentError(
                f"{path}: not sent, this replica may write for {max(0.0, left_s):.1f} s more only",
                reason="LeaseEnds",
            )
        return answer_s
