"""What the daemon keeps out of garbage collections."""

import gc

from spotvortex.app.daemon import SELDOM, spare_collections


def test_what_is_there_is_kept_out_of_collections_and_the_old_are_collected_seldom():
    before = gc.get_threshold()
    kept = [[i] for i in range(1000)]
    try:
        spare_collections()
        assert gc.get_freeze_count() >= len(kept)
        assert gc.get_threshold() == (*before[:2], SELDOM)
        assert not gc.get_objects(2)
    finally:
        gc.unfreeze()
        gc.set_threshold(*before)
