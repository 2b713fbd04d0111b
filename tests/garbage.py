"""When Python looks for garbage: not while tests are collected, and never among what was.

Comes in: nothing but the moments of a run. Goes out: nothing. A worker keeps half a million objects
of modules and tests from its collection to its end; each look at all of them finds none to free,
and those looks took a third of a collection. What a test makes is looked at as ever. May not keep
what a test leaves.
"""

import gc

gc.disable()


def pytest_collection_finish() -> None:
    """Set aside what was collected, and look for garbage from here on."""
    gc.freeze()
    gc.enable()
