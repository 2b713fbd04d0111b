"""What can go wrong outside, by meaning.

Comes in: what the edges saw. Goes out: exceptions that name the field and the fix. An expected
answer of the cluster is a value (`core.drain.calls.Answer`), not an exception.
"""

from __future__ import annotations

from enum import StrEnum


class SpotVortexError(Exception):
    """The base of every error of this product; its text is fit for a person."""


class SettingsError(SpotVortexError):
    """A variable is out of range, unknown, or clashes with another."""


class ModelContractError(SpotVortexError):
    """A model bundle is incomplete, altered, or does not do what its manifest says."""


class PriceFileError(SpotVortexError):
    """A price file cannot be read; the text names file, line and field."""


class CommitmentsError(SpotVortexError):
    """A statement of commitments cannot be read; the text names file, field and fix."""


class AdvisorFileError(SpotVortexError):
    """A file of Spot Advisor cannot be read; the text names the file and what is wrong."""


class MetricsError(SpotVortexError):
    """A metrics endpoint, or a Prometheus, gave no answer that can be used; the text says why.

    Attributes:
        is_passing: the same request may be answered another time.
    """

    def __init__(self, message: str, *, is_passing: bool) -> None:
        super().__init__(message)
        self.is_passing = is_passing


class PriceSourceError(SpotVortexError):
    """A source of prices gave no answer that can be used; the text says the fix.

    Attributes:
        is_passing: the same request may be answered another time.
    """

    def __init__(self, message: str, *, is_passing: bool) -> None:
        super().__init__(message)
        self.is_passing = is_passing


class ScalingError(SpotVortexError):
    """The service of Auto Scaling groups gave no answer that can be used; the text says the fix.

    Attributes:
        is_passing: the same request may be answered another time.
    """

    def __init__(self, message: str, *, is_passing: bool) -> None:
        super().__init__(message)
        self.is_passing = is_passing


class EpisodeError(SpotVortexError):
    """An episode of the fault search cannot be read; the text says where."""


class SnapshotFileError(SpotVortexError):
    """A snapshot of a cluster cannot be read; the text names the file and the fix."""


class NodePoolError(SpotVortexError):
    """A NodePool cannot be found, read or split into a pair; the text says why, and the fix."""


class UnknownMachineError(SpotVortexError):
    """An instance type cannot be simulated: its size or its price is not known."""


class TraceError(SpotVortexError):
    """A capacity trace cannot be read; the text names file, place and fix."""


class ProtocolError(SpotVortexError):
    """An evaluation protocol cannot be read; the text names file, field and fix."""


class ResultsError(SpotVortexError):
    """Results of runs cannot be read, or do not belong together; the text says which and why."""


class RecordError(SpotVortexError):
    """A decision record cannot be found or read; the text says where it was looked for."""


class ApiError(SpotVortexError):
    """The API server answered with an error, or could not be reached.

    Attributes:
        status: HTTP status, 0 where there was no answer.
        reason: the `reason` of the Status body, or a word for what happened.
        retry_after_s: what the server asked us to wait, None where it did not say.
        causes: the reasons of the Status body's causes, e.g. `DisruptionBudget`.
    """

    def __init__(
        self,
        message: str,
        *,
        status: int = 0,
        reason: str = "",
        retry_after_s: float | None = None,
        causes: tuple[str, ...] = (),
    ) -> None:
        super().__init__(message)
        self.status = status
        self.reason = reason
        self.retry_after_s = retry_after_s
        self.causes = causes


class NotSentError(ApiError):
    """A request was not sent: its answer would have come after the end of the lease."""


class UnreachableError(ApiError):
    """No answer: connection refused or cut, a time-out, or a body that ended early."""


class ForbiddenError(ApiError):
    """401 or 403: a right is missing, or the token is no longer good."""


class NotServedError(ApiError):
    """404: the object or the whole resource is not there."""


class ConflictError(ApiError):
    """409: the object is another one, has changed since, or is there already."""


class ExpiredError(ApiError):
    """410: the resource version is too old; list again."""


class ThrottledError(ApiError):
    """429: the server is busy."""


class ServerError(ApiError):
    """5xx, or an answer that cannot be read."""


class QueueFault(StrEnum):
    """What is wrong with a message queue, by what would mend it."""

    DENIED = "denied"
    ABSENT = "absent"
    THROTTLED = "throttled"
    UNREACHABLE = "unreachable"
    SERVER = "server"


class QueueError(SpotVortexError):
    """A message queue answered with an error, or could not be reached; the text says the fix.

    Attributes:
        fault: which kind of error.
    """

    def __init__(self, message: str, *, fault: QueueFault) -> None:
        super().__init__(message)
        self.fault = fault


def in_words(error: BaseException) -> str:
    """Say what went wrong in the system's own words, without Python's numbers around them."""
    return str(getattr(error, "strerror", None) or error) or type(error).__name__
