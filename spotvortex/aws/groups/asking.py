"""One request about groups, and what its failure means.

Comes in: a request, and the action of IAM that it needs. Goes out: its answer, or an error that
says the fix and whether it passes. No request is repeated here. May not decide what is asked.
"""

from __future__ import annotations

from collections.abc import Awaitable, Mapping
from typing import Any, Final

from spotvortex.aws.session import PASSING, RequestFailedError, answered, rights_to, short_words
from spotvortex.errors import QueueFault, ScalingError

Answer = Mapping[str, Any]

EXPIRED: Final = frozenset({"ExpiredToken", "ExpiredTokenException", "RequestExpired"})
"""Credentials ran out between their reading and the request: the next request has new ones."""

_FINAL: Final = frozenset(
    {
        "ValidationError",
        "InvalidParameterException",
        "InvalidRequestException",
        "ResourceNotFoundException",
        "ClientException",
    }
)
"""Errors that the same request meets again (common errors, and those of the actions used)."""


async def asked(action: str, request: Awaitable[Answer], bound_s: float) -> Answer:
    """Wait for an answer.

    Raises:
        ScalingError: there is none.
    """
    try:
        return await answered(request, bound_s)
    except RequestFailedError as trouble:
        passing = may_pass(trouble) and code_of(trouble) not in _FINAL
        text = f"{action}: {short_words(trouble.words)}{_fix(action, trouble)}"
        raise ScalingError(text, is_passing=passing) from trouble.__cause__


def code_of(trouble: RequestFailedError) -> str:
    """Return AWS's code of an error, or the first words of what a library said."""
    return trouble.words.partition(":")[0]


def may_pass(trouble: RequestFailedError) -> bool:
    """Tell whether the same request may be answered another time."""
    return trouble.fault in PASSING or code_of(trouble) in EXPIRED


def _fix(action: str, trouble: RequestFailedError) -> str:
    if code_of(trouble) in EXPIRED or trouble.fault is not QueueFault.DENIED:
        return ""
    return f"; {rights_to(action)}; `spotvortex aws policies` prints the policy"
