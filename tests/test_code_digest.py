"""The digest of the code covers every package that shapes a decision, whatever is added."""

from pathlib import Path

import spotvortex
from spotvortex.code_digest import (
    SHOWING,
    SIMULATING,
    code_version,
    digest_of,
    simulator_version,
)

ROOT = Path(spotvortex.__file__).parent


def write(path, text):
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text)


def test_a_change_in_a_sub_package_changes_the_digest(tmp_path):
    write(tmp_path / "core" / "__init__.py", "")
    write(tmp_path / "core" / "decision" / "gates" / "fit.py", "LIMIT = 1\n")
    before = digest_of(tmp_path, ())
    write(tmp_path / "core" / "decision" / "gates" / "fit.py", "LIMIT = 2\n")
    assert digest_of(tmp_path, ()) != before


def test_a_package_that_nobody_thought_of_counts(tmp_path):
    write(tmp_path / "core" / "types.py", "")
    before = digest_of(tmp_path, SHOWING | SIMULATING)
    write(tmp_path / "brain" / "idea.py", "")
    assert digest_of(tmp_path, SHOWING | SIMULATING) != before


def test_what_only_shows_does_not_count(tmp_path):
    write(tmp_path / "core" / "types.py", "")
    before = digest_of(tmp_path, SHOWING)
    for name in SHOWING:
        write(tmp_path / name if name.endswith(".py") else tmp_path / name / "x.py", "x = 1\n")
    assert digest_of(tmp_path, SHOWING) == before


def test_a_module_that_moves_changes_the_digest(tmp_path):
    write(tmp_path / "core" / "a.py", "x = 1\n")
    before = digest_of(tmp_path, ())
    (tmp_path / "core" / "a.py").rename(tmp_path / "core" / "b.py")
    assert digest_of(tmp_path, ()) != before


def test_every_name_that_is_left_out_is_there():
    for name in SHOWING | SIMULATING:
        assert (ROOT / name).exists(), name


def test_the_table_of_prices_counts(tmp_path):
    write(tmp_path / "market" / "on_demand_us_east_1.json", "{}")
    before = digest_of(tmp_path, ())
    write(tmp_path / "market" / "on_demand_us_east_1.json", '{"a": 1}')
    assert digest_of(tmp_path, ()) != before
    write(tmp_path / "market" / "on_demand_eu_west_1.json", "{}")
    assert digest_of(tmp_path, ()) != before
    assert list((ROOT / "market").glob("on_demand_us_east_1.json"))


def test_the_two_versions_differ_and_name_the_release():
    assert code_version() != simulator_version()
    for version in (code_version(), simulator_version()):
        release, _, digest = version.partition("+")
        assert release == spotvortex.__version__
        assert len(digest) == 12
