"""The uninstall: what the controller has left in a cluster, and its removal.

Comes in: settings, and whether anything may be written. Goes out: what was found and what is left.
"""

from __future__ import annotations

from collections.abc import Callable
from random import Random

from spotvortex.app.kubernetes import answering_client
from spotvortex.app.prices import SystemClock
from spotvortex.core.uninstall import UninstallResult
from spotvortex.kube.admin.uninstall import Uninstaller
from spotvortex.settings.model import Settings


async def uninstall(
    settings: Settings, wait_s: float, tell: Callable[[str], None], *, apply: bool
) -> UninstallResult:
    """Look for all that the controller has left in the cluster; remove it if `apply` is given.

    Args:
        settings: which cluster, and the controller's namespace there.
        wait_s: seconds given to a daemon that still runs, to undo what is in flight.
        tell: shows progress.
        apply: without it nothing is written.

    Raises:
        SettingsError: there is no cluster to look at.
        ApiError: the API server does not let us look, or was lost on the way.
    """
    async with answering_client(settings) as client:
        rng = Random()  # noqa: S311 - jitter of retries
        departure = Uninstaller(client, settings.namespace, SystemClock(), tell, rng)
        return await (departure.leave(wait_s) if apply else departure.look())
