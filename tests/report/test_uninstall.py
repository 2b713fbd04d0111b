"""Text and JSON say the same of what was found, removed and left."""

import json

from spotvortex.core.uninstall import Leftover, ObjectKind, StillThere, UninstallResult
from spotvortex.report.uninstall import exit_code, in_words, render

NODE = Leftover(thing=ObjectKind.NODE, name="n", detail="cordoned by SpotVortex")
LEASE = Leftover(thing=ObjectKind.LEASE, name="l", detail="a")


def test_a_dry_run_tells_what_there_is_and_that_nothing_was_written():
    leaving = UninstallResult(found=(NODE,), left=(StillThere(leftover=NODE),), applied=False)
    assert list(in_words(leaving)) == [
        "found    node n (cordoned by SpotVortex)",
        "This was a dry run and nothing was written; --apply removes it.",
    ]
    assert exit_code(leaving) == 1


def test_what_is_left_is_told_with_its_reason():
    left = (StillThere(leftover=LEASE, reason="it is held"),)
    leaving = UninstallResult(found=(NODE, LEASE), left=left, applied=True)
    assert list(in_words(leaving)) == [
        "removed  node n (cordoned by SpotVortex)",
        "left     lease l (a): it is held",
    ]
    assert exit_code(leaving) == 1
    node = {"thing": "node", "name": "n", "detail": "cordoned by SpotVortex"}
    lease = {"thing": "lease", "name": "l", "detail": "a"}
    assert json.loads(render(leaving)) == {
        "applied": True,
        "found": [node, lease],
        "removed": [node],
        "left": [lease | {"reason": "it is held"}],
    }


def test_an_empty_cluster_is_told_as_such():
    leaving = UninstallResult(found=(NODE,), left=(), applied=True)
    assert list(in_words(leaving))[-1].startswith("Nothing of SpotVortex is in this cluster")
    assert exit_code(leaving) == 0
