"""The one door to the API server, on the transport of kubernetes_asyncio.

Comes in: paths and queries. Goes out: bytes and lines, or an error of `errors` with the server's
own words. Every request has a time-out and the controller's user agent, and its response is always
released. A server that says it is busy slows all writes of this process down. Of the library only
the transport is used: its models cost fifty times the decoding here. May not know any resource, and
does not retry: the callers know what a retry is worth.
"""

from __future__ import annotations

import asyncio
import logging
import math
import os
from collections import Counter
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Final

import aiohttp
from aiohttp.http_exceptions import HttpProcessingError
from kubernetes_asyncio.client import ApiClient, Configuration
from kubernetes_asyncio.config import ConfigException

from spotvortex import __version__
from spotvortex.errors import (
    ExpiredError,
    ForbiddenError,
    SettingsError,
    ThrottledError,
    UnreachableError,
)
from spotvortex.kube.api.connection import change_until, watch_changes
from spotvortex.kube.api.errors import DISRUPTION_BUDGET, LONGEST_MESSAGE, api_error
from spotvortex.kube.api.kubeconfig import DEFAULT_KUBECONFIG, configured

USER_AGENT: Final = f"spotvortex/{__version__}"
JSON: Final = "application/json"
MERGE_PATCH: Final = "application/merge-patch+json"
APPLY_PATCH: Final = "application/apply-patch+yaml"
"""A server-side apply; JSON is YAML as well."""
SLOWED: Final = "SlowedDown"
"""Reason of the error for a write that was not sent."""

CONNECT_S: Final = 10.0
PROBE_S: Final = 4.0
_LARGEST_ERROR_BODY: Final = 64 * 1024

# At DEBUG the library logs whole bodies, Secrets included.
logging.getLogger("kubernetes_asyncio").setLevel(logging.INFO)

_CUT: Final = (aiohttp.ClientError, OSError, TimeoutError)

SLOW_DOWN_S: Final = 1.0
"""Pause of all writes after a 429 that names no time."""

LONGEST_SLOW_DOWN_S: Final = 15.0
_NEVER_SLOWED: Final = "/apis/coordination.k8s.io/"
"""The server itself lets leases pass before everything else, and a lease not renewed is lost."""

_VERBS: Final = {"POST": "create", "PUT": "update", "PATCH": "patch", "DELETE": "delete"}


@dataclass(frozen=True, slots=True, kw_only=True)
class _Request:
    path: str
    method: str = "GET"
    query: Mapping[str, str] | None = None
    accept: str | None = None
    body: Mapping[str, object] | None = None
    content_type: str = JSON


class KubeClient:
    """A connection to one API server.

    Attributes:
        server: its address, for display.
        context_name: the kubeconfig's context, "in-cluster" inside a pod.
        n_requests: requests sent, by verb (`list`, `watch`, `get`, `create`, `update`, `patch`,
            `delete`, `deletecollection`).
        given_up_at: loop time when a change was last left without an answer, minus infinity where
            none was. The server may carry on with it for a moment.
    """

    def __init__(self, configuration: Configuration, context_name: str) -> None:
        self._api = ApiClient(configuration)
        self._api.user_agent = USER_AGENT
        watch_changes(self._api.rest_client.pool_manager)
        self.server = str(configuration.host)
        self.context_name = context_name
        self.n_requests: Counter[str] = Counter()
        self.given_up_at = -math.inf
        self._slow_until = 0.0

    @classmethod
    async def connect(cls, *, kubeconfig: str = "", context: str = "") -> KubeClient:
        """Open a client.

        Args:
            kubeconfig: path, or several joined by colons; "" where the user named none: then the
                pod's own service account is used, and outside a pod the default path.
            context: a context of the kubeconfig, "" for its current one.

        Raises:
            SettingsError: there is no configuration to use; the text says what to do.
        """
        configuration, name = await configured(kubeconfig, context)
        try:
            return cls(configuration, name)
        except OSError as error:
            paths = kubeconfig or DEFAULT_KUBECONFIG
            raise SettingsError(
                f"a certificate of context {name!r} in {paths} cannot be used: {error}"
            ) from error

    async def get_bytes(
        self,
        path: str,
        query: Mapping[str, str] | None = None,
        *,
        accept: str | None = None,
        timeout: float,
        verb: str = "get",
    ) -> bytes:
        """Read one answer whole.

        Args:
            path: from the server's root, `/api/v1/nodes`.
            query: query parameters.
            accept: media types, JSON if None.
            timeout: seconds for the whole request.
            verb: what it counts as in `n_requests`.

        Raises:
            ApiError: one of its kinds, by status.
        """
        self.n_requests[verb] += 1
        return await self._whole(_Request(path=path, query=query, accept=accept), timeout)

    async def post_bytes(
        self, path: str, body: Mapping[str, object], *, timeout: float, dry_run: bool = False
    ) -> bytes:
        """Ask for a review, or for a dry run, and read the answer whole.

        IMPORTANT: for these alone, which the server answers and does not keep. Whoever creates
        what stays has to go through `send`.

        Args:
            path: from the server's root.
            body: the object, as JSON knows it.
            timeout: seconds for the whole request.
            dry_run: let the server do everything but keep it (`dryRun=All`).

        Raises:
            ApiError: one of its kinds, by status.
        """
        self.n_requests["create"] += 1
        query = {"dryRun": "All"} if dry_run else None
        request = _Request(method="POST", path=path, query=query, body=body)
        return await self._whole(request, timeout)

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
        """Change something, once, and read the answer whole.

        While the server is busy nothing is sent. It is refused here rather than held back: what
        has been checked right before a write would no longer be true after a wait. After its time
        it is given up: by the server, which is told the time, and here, where its connection is
        reset so that nothing of it arrives any more.

        Args:
            method: POST, PUT, PATCH or DELETE.
            path: from the server's root.
            body: the object, patch or options, as JSON knows it.
            query: query parameters.
            content_type: the body's; of a patch, which kind it is.
            timeout: seconds for the whole request.

        Raises:
            ApiError: one of its kinds, by status; `ThrottledError` of status 0 while slowed down.
        """
        if not path.startswith(_NEVER_SLOWED):
            self._check_pace(path)
        many = method == "DELETE" and "labelSelector" in (query or {})
        self.n_requests["deletecollection" if many else _VERBS[method]] += 1
        asked = {**(query or {}), "timeout": f"{timeout:.3f}s"}
        request = _Request(
            method=method, path=path, query=asked, body=body, content_type=content_type
        )
        try:
            with change_until(_loop_time() + timeout):
                return await self._whole(request, timeout)
        except ThrottledError as error:
            if DISRUPTION_BUDGET not in error.causes:
                self._slow_down(error.retry_after_s)
            raise
        except (UnreachableError, asyncio.CancelledError):
            self.given_up_at = _loop_time()
            raise

    def _check_pace(self, path: str) -> None:
        left_s = self._slow_until - _loop_time()
        if left_s > 0.0:
            raise ThrottledError(
                f"{path}: not sent, the API server is busy", reason=SLOWED, retry_after_s=left_s
            )

    def _slow_down(self, asked_s: float | None) -> None:
        pause_s = min(asked_s or SLOW_DOWN_S, LONGEST_SLOW_DOWN_S)
        self._slow_until = max(self._slow_until, _loop_time() + pause_s)

    async def _whole(self, request: _Request, timeout: float) -> bytes:
        limit = aiohttp.ClientTimeout(total=timeout, sock_connect=CONNECT_S)
        try:
            # The library may first run a credential plugin, which only this bounds.
            async with asyncio.timeout(timeout), self._open(request, limit) as response:
                return await response.read()
        except _CUT as error:
            raise _unreachable(request.path, error) from error

    @asynccontextmanager
    async def stream_lines(
        self,
        path: str,
        query: Mapping[str, str],
        *,
        accept: str | None = None,
        inactivity_s: float,
    ) -> AsyncIterator[AsyncIterator[bytes]]:
        """Open a watch; the lines come without end until the server or silence ends them.

        Args:
            path: from the server's root.
            query: query parameters.
            accept: media types, JSON if None.
            inactivity_s: silence after which the stream counts as dead, in seconds.

        Raises:
            ApiError: one of its kinds; `ExpiredError` also for a line too long for the buffer,
                since only a new list leads past it.
        """
        self.n_requests["watch"] += 1
        limit = aiohttp.ClientTimeout(total=None, sock_connect=CONNECT_S, sock_read=inactivity_s)
        try:
            request = _Request(path=path, query=query, accept=accept)
            async with self._open(request, limit) as response:
                yield _lines(path, response)
        except _CUT as error:
            raise _unreachable(path, error) from error

    async def probe(self, within_s: float = PROBE_S) -> None:
        """Ask the server for its version.

        Args:
            within_s: seconds for the whole request.

        Raises:
            ApiError: it did not answer in time, or with an error.
        """
        await self.get_bytes("/version", timeout=within_s)

    async def close(self) -> None:
        """Close all connections."""
        await self._api.close()

    @asynccontextmanager
    async def _open(
        self, request: _Request, limit: aiohttp.ClientTimeout
    ) -> AsyncIterator[aiohttp.ClientResponse]:
        # Unpacking gzip costs more than a cluster's own network does.
        headers = {"Accept": request.accept or JSON, "Accept-Encoding": "identity"}
        if request.body is not None:
            headers["Content-Type"] = request.content_type
        try:
            response: aiohttp.ClientResponse = await self._api.call_api(
                request.path,
                request.method,
                query_params=list((request.query or {}).items()),
                header_params=headers,
                body=request.body,
                auth_settings=["BearerToken"],
                _preload_content=False,
                _request_timeout=limit,
            )
        except (ConfigException, ValueError) as error:
            # A credential plugin failed, or printed what is no credential.
            raise ForbiddenError(f"no credentials: {error}", reason="NoCredentials") from error
        try:
            if response.status >= 300:
                raise api_error(response.status, response.headers, await _error_body(response))
            yield response
        finally:
            # A body read to its end has already given its connection back; any other is closed.
            response.close()


async def _lines(path: str, response: aiohttp.ClientResponse) -> AsyncIterator[bytes]:
    try:
        async for line in response.content:
            if not line.endswith(b"\n"):
                raise UnreachableError(f"{path}: the stream ended in mid-line", reason="Cut")
            yield line
    except HttpProcessingError as error:
        raise ExpiredError(f"{path}: an event too large to read", reason="LineTooLong") from error


async def _error_body(response: aiohttp.ClientResponse) -> bytes:
    body = b""
    async for chunk in response.content.iter_chunked(_LARGEST_ERROR_BODY):
        body += chunk
        if len(body) >= _LARGEST_ERROR_BODY:
            break
    return body


def _unreachable(path: str, error: Exception) -> UnreachableError:
    what = "timed out" if isinstance(error, TimeoutError) else _what(error)
    return UnreachableError(f"{path}: {what[:LONGEST_MESSAGE]}", reason=type(error).__name__)


def _what(error: Exception) -> str:
    """Say what broke; of a refused connection the server, and the system's own word."""
    if isinstance(error, aiohttp.ClientConnectorError):
        cause = error.os_error
        why = cause.strerror or str(cause)
        if cause.errno is not None and why.startswith("Connect call failed"):
            why = os.strerror(cause.errno)
        return f"cannot connect to {error.host}:{error.port}: {why}"
    return str(error) or type(error).__name__


def _loop_time() -> float:
    return asyncio.get_running_loop().time()
