"""What an error means for the call that met it.

Comes in: an error of the client. Goes out: an `Answer`. An error that says the object is no longer
the one that was meant is Gone; one that time may heal is Again; all else is Refused, with the
server's own words. May not know how a call was made.
"""

from __future__ import annotations

from spotvortex.core.drain.calls import Again, Answer, BlockedByBudget, Gone, Refused
from spotvortex.errors import (
    ApiError,
    ConflictError,
    ForbiddenError,
    NotServedError,
    ServerError,
    ThrottledError,
    UnreachableError,
)
from spotvortex.kube.status import DISRUPTION_BUDGET


def of_write(error: ApiError) -> Answer:
    """Return what an error means for a change or deletion of something that should be there."""
    match error:
        case NotServedError():
            return Gone()
        case _ if _names_another(error):
            return Gone()
        case ConflictError() | ThrottledError() | ServerError() | UnreachableError():
            return Again(reason=str(error), retry_s=error.retry_after_s or 0.0)
        case ForbiddenError() if error.status != 403:
            # A token that has just run out is renewed; a missing right is not.
            return Again(reason=str(error))
        case _:
            return Refused(reason=str(error))


def of_creation(error: ApiError) -> Answer:
    """Return what an error means for a new object: its 404 is that of our namespace."""
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
        case _:
            # 404 and a 409 that names the uid: it is gone, or another one has its name.
            # Any other 409: it changed while it was evicted.
            # A 429 without that cause: the server is busy, and the client slows down.
            # 403: a missing right, a namespace that ends, an admission rule.
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
