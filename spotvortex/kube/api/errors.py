"""What the statuses of the API server mean, the one place where they are mapped.

Comes in: a status, headers and the body of an error. Goes out: an error of `errors` with the
server's own words, its causes and the time it asks for. May not know what was asked.
https://kubernetes.io/docs/reference/kubernetes-api/common-definitions/status/
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

from spotvortex.core.drain.calls import Again, Answer, BlockedByBudget, Gone, Refused
from spotvortex.errors import (
    ApiError,
    ConflictError,
    ExpiredError,
    ForbiddenError,
    NotSentError,
    NotServedError,
    ServerError,
    ThrottledError,
    UnreachableError,
)
from spotvortex.kube.api.wire import objects as wire
from spotvortex.kube.api.wire.codec import read_status

LONGEST_MESSAGE: Final = 512
"""Characters kept of the server's words: a pod's name of 253 and what is wrong with it."""

NO_LEASE: Final = "this pod does not hold the lease"
"""What the fence in `deploy` says to whoever does not lead."""

DISRUPTION_BUDGET: Final = "DisruptionBudget"
"""The cause of a 429 that is a PodDisruptionBudget's, and not the server's, word."""

NAMESPACE_ENDS: Final = "NamespaceTerminating"
"""The cause of a 403 of a namespace that is being deleted: nothing is created in it any more."""


def api_error(status: int, headers: Mapping[str, str], body: bytes) -> ApiError:
    """Make the error that a status stands for.

    The text is the server's own where the body is a Status; any other body is dropped, since it may
    be a proxy's page or hold what must not be logged.
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


def of_write(error: ApiError) -> Answer:
    """Return what an error means for a change or deletion of something that should be there."""
    match error:
        case NotServedError():
            return Gone()
        case _ if _names_another(error):
            return Gone()
        case (
            ConflictError() | NotSentError() | ServerError() | ThrottledError() | UnreachableError()
        ):
            is_sent = not isinstance(error, NotSentError)
            return Again(str(error), error.retry_after_s or 0.0, is_sent=is_sent)
        case ForbiddenError() if error.status != 403 or NO_LEASE in str(error):
            # A token that has just run out is renewed, and a fence that has not seen yet that we
            # have taken the lease sees it in a moment; a missing right does not come.
            return Again(reason=str(error))
        case _:
            return Refused(reason=str(error))


def of_creation(error: ApiError) -> Answer:
    """Return what an error means for a new object: its 404 is about the namespace."""
    return Refused(reason=str(error)) if isinstance(error, NotServedError) else of_write(error)


def of_eviction(error: ApiError) -> Answer:
    """Return what an error means for an eviction.

    https://kubernetes.io/docs/concepts/scheduling-eviction/api-eviction/#how-api-initiated-eviction-works
    """
    match error:
        case ThrottledError() if DISRUPTION_BUDGET in error.causes:
            # The budget's own 429. It comes before the uid is looked at, so it may also be meant
            # for a pod of the same name; the next look at the node tells.
            return BlockedByBudget(retry_s=error.retry_after_s or 0.0)
        case ServerError() if "more than one PodDisruptionBudget" in str(error):
            # The server cannot evict a pod that two budgets cover, and time changes nothing.
            return Refused(reason=str(error))
        case ForbiddenError() if NAMESPACE_ENDS in error.causes:
            # An eviction is a creation. The pod goes with its namespace, in a moment, as `kubectl
            # drain` waits for it, too.
            return Again(reason=str(error))
        case _:
            # 404 and a 409 that names the uid: it is gone, or another one has its name.
            # Any other 409: it changed while it was evicted.
            # A 429 without that cause: the server is busy, and the client slows down.
            # 403: a missing right, an admission rule.
            # 504, other 5xx, silence: nobody knows; with its uid it can be tried again.
            return of_write(error)


def is_there_already(error: ConflictError) -> bool:
    """Tell whether a creation met an object of the same name."""
    return error.reason == "AlreadyExists"


def is_over_quota(error: ApiError) -> bool:
    """Tell whether a creation was refused by a ResourceQuota."""
    return error.status == 403 and "exceeded quota" in str(error)


def _names_another(error: ApiError) -> bool:
    """Tell whether the object of that name has another uid than the one that was meant.

    A deletion answers 409 with words about the uid; a patch finds `metadata.uid` immutable, 422.
    """
    if isinstance(error, ConflictError):
        return "uid in precondition" in _words(error) or "uid in the precondition" in _words(error)
    return error.status == 422 and "metadata.uid" in _words(error)


def _words(error: ApiError) -> str:
    return str(error).lower()
