"""What the statuses of the API server mean, the one place where they are mapped.

Comes in: a status, headers and the body of an error. Goes out: an error of `errors` with the
server's own words, its causes and the time it asks for. May not know what was asked.
https://kubernetes.io/docs/reference/kubernetes-api/common-definitions/status/
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

from spotvortex.errors import (
    ApiError,
    ConflictError,
    ExpiredError,
    ForbiddenError,
    NotServedError,
    ServerError,
    ThrottledError,
)
from spotvortex.kube import wire
from spotvortex.kube.codec import read_status

LONGEST_MESSAGE: Final = 512
"""Characters kept of the server's words: a pod's name of 253 and what is wrong with it."""

DISRUPTION_BUDGET: Final = "DisruptionBudget"
"""The cause of a 429 that is a PodDisruptionBudget's, and not the server's, word."""


def api_error(status: int, headers: Mapping[str, str], body: bytes) -> ApiError:
    """Make the error that a status stands for.

    The text is the server's own where the body is a Status; any other body is dropped, since it
    may be a proxy's page or hold what is not ours to log.
    """
    told = read_status(body)
    details = told.details or wire.StatusDetails()
    message = (told.message or f"the API server answered {status}")[:LONGEST_MESSAGE]
    return _kind_of(status)(
        message,
        status=status,
        reason=told.reason or "",
        retry_after_s=_retry_after(headers, details),
        causes=tuple(cause.reason for cause in details.causes or () if cause.reason),
    )


def _kind_of(status: int) -> type[ApiError]:
    match status:
        case 401 | 403:
            return ForbiddenError
        case 404:
            return NotServedError
        case 409:
            return ConflictError
        case 410:
            return ExpiredError
        case 429:
            return ThrottledError
        case _ if status >= 500:
            return ServerError
        case _:
            return ApiError


def _retry_after(headers: Mapping[str, str], details: wire.StatusDetails) -> float | None:
    # Kubernetes sends whole seconds only; a date, which a proxy may send, is left aside.
    text = headers.get("Retry-After", "")
    if text.isdecimal():
        return float(text)
    return float(details.retry_after_seconds) if details.retry_after_seconds else None
