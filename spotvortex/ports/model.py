"""A model bundle, as the tasks ask it. May not import an edge."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from spotvortex.core.domain.cloud.instance_types import Scope
from spotvortex.core.domain.types import Predictor
from spotvortex.core.scoring.features import OfferingContext


class Challenger(Protocol):
    """Whoever may be asked beside what decides: the memory, the graph, or a further network."""

    @property
    def predictor(self) -> Predictor:
        """Which of them it is."""
        ...

    @property
    def name(self) -> str:
        """Its name."""
        ...

    def tensor(self, contexts: Sequence[OfferingContext], at: float) -> NDArray[np.float32]:
        """Build its input, one entry an offering; NaN where a value is unknown.

        Args:
            contexts: one entry an offering.
            at: now, seconds since the epoch.
        """
        ...

    def score(self, tensor: NDArray[np.float32]) -> NDArray[np.float32]:
        """Score a tensor; blocking. `float32[n, 2]`, NaN where it abstains.

        Raises:
            ModelContractError: it could not be run.
        """
        ...


class Forecaster(Protocol):
    """A model bundle that has passed its checks."""

    @property
    def digest(self) -> str:
        """A digest of the manifest, and so of every file of the bundle."""
        ...

    @property
    def scope(self) -> Scope:
        """The instance families that the bundle was made for."""
        ...

    @property
    def decides(self) -> Predictor:
        """Who gives the scores that are decided on: the memory, which is no part of it, or it."""
        ...

    @property
    def has_policy(self) -> bool:
        """Whether the bundle has a policy network."""
        ...

    def tensor(self, contexts: Sequence[OfferingContext], at: float) -> NDArray[np.float32]:
        """Build the model's input.

        Args:
            contexts: one entry an offering.
            at: now, seconds since the epoch.

        Returns:
            `float32[n, n_features]` (v2 contract) or `float32[n, 12, 10]` (v1); NaN where a value
            is unknown.
        """
        ...

    def in_range(self, tensor: NDArray[np.float32]) -> NDArray[np.bool_]:
        """Return `bool[n]`: which rows of a tensor lie where the model was made for."""
        ...

    def score(self, tensor: NDArray[np.float32]) -> NDArray[np.float32]:
        """Score a tensor; blocking, so called through `offload`.

        Returns:
            `float32[n, 2]`: capacity_score and runtime_score; NaN where the model abstains.

        Raises:
            ModelContractError: the model could not be run.
        """
        ...

    def q_values(self, states: NDArray[np.float32]) -> NDArray[np.float32]:
        """Value every action in some states; blocking, so called through `offload`.

        Args:
            states: `float32[n, 13]`, see `core.decision.learned_policy.state_vector`.

        Returns:
            `float32[n, 6]` in the order of `Action`.

        Raises:
            ModelContractError: there is no policy network, or it could not be run.
        """
        ...
