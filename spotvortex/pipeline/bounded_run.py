"""A blocking run of a model, off the loop and for a bounded time.

Comes in: a function with its arguments. Goes out: what it gives, or an error. A thread cannot be
ended from outside: a late run goes on by itself, its result is dropped, and no second one is
started beside it. May not know what is run.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from dataclasses import dataclass
from typing import Final

from spotvortex.core.scoring.features import Matrix
from spotvortex.errors import ModelContractError
from spotvortex.ports.edges import Offload

RUN_LIMIT_S: Final = 5.0
"""Longest run of the model that is waited for, in seconds; 500 offerings take well under 0.1."""


@dataclass(slots=True, kw_only=True)
class BoundedRun:
    """Runs one function at a time through `offload`, for at most `limit_s` of the loop's clock.

    `busy` is true from a run's first moment to its last, also when it was given up meanwhile.
    """

    offload: Offload[Matrix]
    limit_s: float
    busy: bool = False

    async def run(self, function: Callable[..., Matrix], *args: object) -> Matrix:
        """Run a function and return what it gives.

        Raises:
            ModelContractError: it took too long, or one that took too long is still at it.
        """
        if self.busy:
            raise ModelContractError("the model is still busy with a run that was given up")
        try:
            async with asyncio.timeout(self.limit_s):
                return await self.offload(self._noted, function, *args)
        except TimeoutError:
            raise ModelContractError(f"the model gave no answer within {self.limit_s} s") from None

    def _noted(self, function: Callable[..., Matrix], *args: object) -> Matrix:
        """Run where `offload` has put the function, and note it for as long as that takes."""
        self.busy = True
        try:
            return function(*args)
        finally:
            self.busy = False
