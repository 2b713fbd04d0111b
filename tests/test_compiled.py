"""Every file of tests is compiled by one worker, and none by two."""

from pathlib import Path

import pytest

from tests.compiled import share


@pytest.mark.parametrize("n_workers", [1, 2, 4, 7])
def test_the_shares_of_all_workers_are_all_files_once(n_workers):
    files = [Path(f"tests/test_{i}.py") for i in range(10)]
    shares = [share(files, f"gw{i}", n_workers) for i in range(n_workers)]
    assert sorted(path for found in shares for path in found) == files
    assert max(map(len, shares)) - min(map(len, shares)) <= 1
