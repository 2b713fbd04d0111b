"""The one door to the API server, and the only module that knows kubernetes_asyncio.

Comes in: paths and queries. Goes out: bytes and lines, or an error of `errors` with the server's
own words. Every request has a time-out and our own user agent, and its response is always
released. Of the library only the transport is used: its models cost fifty times the decoding here.
May not know any resource, and does not retry: the callers know what a retry is worth.
"""

from __future__ import annotations

import asyncio
import logging
from collections import Counter
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Final

import aiohttp
import yaml
from aiohttp.http_exceptions import HttpProcessingError
from kubernetes_asyncio.client import ApiClient, Configuration
from kubernetes_asyncio.config import (
    ConfigException,
    load_incluster_config,
    load_kube_config,
)
from kubernetes_asyncio.config.kube_config import KubeConfigLoader

from spotvortex import __version__
from spotvortex.errors import (
    ApiError,
    ExpiredError,
    ForbiddenError,
    NotServedError,
    ServerError,
    SettingsError,
    ThrottledError,
    UnreachableError,
)
from spotvortex.kube.codec import read_status
from spotvortex.kube.wire import StatusDetails

USER_AGENT: Final = f"spotvortex/{__version__}"
DEFAULT_KUBECONFIG: Final = "~/.kube/config"
CONNECT_S: Final = 10.0
PROBE_S: Final = 4.0
_LONGEST_MESSAGE: Final = 256
_LARGEST_ERROR_BODY: Final = 64 * 1024

# At DEBUG the library logs whole bodies, Secrets included.
logging.getLogger("kubernetes_asyncio").setLevel(logging.INFO)

# The library hardly checks what it reads, so a wrong shape shows as these.
_BROKEN_CONFIG: Final = (
    ConfigException,
    yaml.YAMLError,
    AssertionError,
    AttributeError,
    LookupError,
    OSError,
    TypeError,
    ValueError,
)
_CUT: Final = (aiohttp.ClientError, OSError, TimeoutError)


class KubeClient:
    """A connection to one API server.

    Attributes:
        server: its address, for display.
        context_name: the kubeconfig's context, "in-cluster" inside a pod.
        n_requests: requests sent, by verb (`list`, `watch`, `get`, `create`).
    """

    def __init__(self, configuration: Configuration, context_name: str) -> None:
        self._api = ApiClient(configuration)
        self._api.user_agent = USER_AGENT
        self.server = str(configuration.host)
        self.context_name = context_name
        self.n_requests: Counter[str] = Counter()

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
        configuration = Configuration()
        if not kubeconfig and not context:
            try:
                load_incluster_config(  # type: ignore[no-untyped-call]
                    client_configuration=configuration
                )
            except ConfigException:
                pass
            else:
                return cls(configuration, "in-cluster")
        paths = kubeconfig or DEFAULT_KUBECONFIG
        name = await _load_kubeconfig(configuration, paths, context)
        try:
            return cls(configuration, name)
        except OSError as error:
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
        limit = aiohttp.ClientTimeout(total=timeout, sock_connect=CONNECT_S)
        try:
            # The library may first run a credential plugin, which only this bounds.
            async with (
                asyncio.timeout(timeout),
                self._open(path, limit, query=query, accept=accept) as response,
            ):
                return await response.read()
        except _CUT as error:
            raise _unreachable(path, error) from error

    async def post_bytes(
        self, path: str, body: Mapping[str, object], *, timeout: float, dry_run: bool = False
    ) -> bytes:
        """Create an object and read the answer whole.

        IMPORTANT: for reviews and dry runs alone, which the server answers and does not keep.
        Whoever creates what stays has to go through the actuator.

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
        limit = aiohttp.ClientTimeout(total=timeout, sock_connect=CONNECT_S)
        try:
            async with (
                asyncio.timeout(timeout),
                self._open(path, limit, query=query, body=body) as response,
            ):
                return await response.read()
        except _CUT as error:
            raise _unreachable(path, error) from error

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
            async with self._open(path, limit, query=query, accept=accept) as response:
                yield _lines(path, response)
        except _CUT as error:
            raise _unreachable(path, error) from error

    async def probe(self) -> None:
        """Ask the server for its version.

        Raises:
            ApiError: it did not answer in time, or with an error.
        """
        await self.get_bytes("/version", timeout=PROBE_S)

    async def close(self) -> None:
        """Close all connections."""
        await self._api.close()

    @asynccontextmanager
    async def _open(
        self,
        path: str,
        limit: aiohttp.ClientTimeout,
        *,
        query: Mapping[str, str] | None = None,
        accept: str | None = None,
        body: Mapping[str, object] | None = None,
    ) -> AsyncIterator[aiohttp.ClientResponse]:
        # Unpacking gzip costs more than a cluster's own network does.
        headers = {"Accept": accept or "application/json", "Accept-Encoding": "identity"}
        if body is not None:
            headers["Content-Type"] = "application/json"
        try:
            response: aiohttp.ClientResponse = await self._api.call_api(
                path,
                "GET" if body is None else "POST",
                query_params=list((query or {}).items()),
                header_params=headers,
                body=body,
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


async def _load_kubeconfig(configuration: Configuration, paths: str, context: str) -> str:
    if not _any_exists(paths):
        raise SettingsError(
            f"no kubeconfig at {paths} and not inside a cluster: name one with KUBECONFIG"
        )
    try:
        loader = await load_kube_config(
            config_file=paths,
            context=context or None,
            client_configuration=configuration,
            persist_config=False,
        )
    except _BROKEN_CONFIG as error:
        wanted = f"context {context!r}" if context else "the current context"
        raise SettingsError(
            f"cannot use {wanted} of kubeconfig {paths}: {str(error)[:_LONGEST_MESSAGE]}; "
            "`kubectl config get-contexts` lists what there is"
        ) from error
    _keep_credentials_fresh(configuration, loader)
    current = loader.current_context or {}
    return str(current.get("name", context))


def _any_exists(paths: str) -> bool:
    return any(path and Path(path).expanduser().is_file() for path in paths.split(":"))


def _keep_credentials_fresh(configuration: Configuration, loader: KubeConfigLoader) -> None:
    """Let a credential plugin run again before its token expires (EKS: every 15 minutes)."""
    if not hasattr(loader, "exec_plugin_expiry"):
        return

    async def refresh(target: Configuration) -> None:
        await loader.load_from_exec_plugin()
        target.api_key["BearerToken"] = loader.token

    configuration.refresh_api_key_hook = refresh


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
    what = "timed out" if isinstance(error, TimeoutError) else str(error) or type(error).__name__
    return UnreachableError(f"{path}: {what[:_LONGEST_MESSAGE]}", reason=type(error).__name__)


def api_error(status: int, headers: Mapping[str, str], body: bytes) -> ApiError:
    """Make the error that a status stands for, the one place where statuses are mapped.

    The text is the server's own where the body is a Status; any other body is dropped, since it
    may be a proxy's page or hold what is not ours to log.
    """
    told = read_status(body)
    message = (told.message or f"the API server answered {status}")[:_LONGEST_MESSAGE]
    details = told.details or StatusDetails()
    return _kind_of(status)(
        message,
        status=status,
        reason=told.reason or "",
        retry_after_s=_retry_after(headers),
        causes=tuple(cause.reason or "" for cause in details.causes or ()),
    )


def _kind_of(status: int) -> type[ApiError]:
    match status:
        case 401 | 403:
            return ForbiddenError
        case 404:
            return NotServedError
        case 410:
            return ExpiredError
        case 429:
            return ThrottledError
        case _ if status >= 500:
            return ServerError
        case _:
            return ApiError


def _retry_after(headers: Mapping[str, str]) -> float | None:
    # Kubernetes sends whole seconds only; a date, which a proxy may send, is left aside.
    text = headers.get("Retry-After", "")
    return float(text) if text.isdecimal() else None
