"""The model bundle that the settings name, fit for the policy that they name.

Comes in: settings. Goes out: the loaded bundle, or an error with the fix, before anything else
begins.
"""

from __future__ import annotations

from spotvortex.errors import ModelContractError
from spotvortex.model import forecaster as bundles
from spotvortex.model.forecaster import OnnxForecaster
from spotvortex.settings.model import Settings


def load(settings: Settings) -> OnnxForecaster:
    """Load the bundle.

    Raises:
        ModelContractError: it cannot be used, or it lacks the learned policy that is asked for.
    """
    bundle = bundles.load(settings.model_dir, settings.cloud)
    if settings.policy_mode == "rl" and not bundle.has_policy:
        raise ModelContractError(
            f"{bundle.name} has no learned policy, so with SPOTVORTEX_POLICY_MODE=rl every pool "
            "would hold: take a bundle that has one, or unset SPOTVORTEX_POLICY_MODE for the rules"
        )
    return bundle
