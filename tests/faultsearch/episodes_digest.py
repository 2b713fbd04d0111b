"""Print the digest of some episodes: one process, one PYTHONHASHSEED."""

import logging
import sys

from spotvortex.faultsearch.search import search

if __name__ == "__main__":
    logging.disable(logging.CRITICAL)
    first, n_episodes = int(sys.argv[1]), int(sys.argv[2])
    found = search(range(first, first + n_episodes))
    print("\n".join(found.in_words()))
