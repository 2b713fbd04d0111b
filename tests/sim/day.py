"""The day of `make run`, played by the daemon itself in virtual time.

Comes in: settings, and how long. Goes out: nothing but what the daemon writes. Leaves the process
as it was: a daemon keeps what it finds out of garbage collections.
"""

import asyncio
import gc

from scripts.bench.decisions.demo_day import InlineLoop, play
from spotvortex.settings.model import Settings


def play_day(settings: Settings, hours: float) -> None:
    """Play the first hours of the day of seed 1."""
    before = gc.get_threshold()
    try:
        with asyncio.Runner(loop_factory=InlineLoop) as runner:
            runner.run(play(1, settings, hours))
    finally:
        gc.set_threshold(*before)
        gc.unfreeze()
        gc.collect()
        gc.freeze()
