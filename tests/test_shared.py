"""A shared fixture lasts while files in a row ask for it, and what was made on it ends first."""

import subprocess
import sys
from pathlib import Path

import pytest

pytestmark = pytest.mark.program
ROOT = Path(__file__).parent.parent

CONFTEST = """
import pytest
from tests.controlplane.needs import remember
pytest_plugins = ["tests.shared"]

@pytest.fixture(scope="session")
def control_plane(request):
    remember(request)
    print("plane begins")
    yield
    print("plane ends")

@pytest.fixture(scope="session")
def shop(control_plane):
    print("shop begins")
    yield
    print("shop ends")
"""
ON_IT = "def test_one(control_plane):\n    print('used')\n"
IN_SHOP = "def test_one(shop):\n    print('in the shop')\n"
OFF_IT = "def test_one():\n    print('alone')\n"


def told_by(folder, *files):
    """Run files in this order; return the lines that fixtures and tests printed."""
    (folder / "conftest.py").write_text(CONFTEST)
    for number, text in enumerate(files):
        (folder / f"test_{number}.py").write_text(text)
    words = ["-m", "pytest", "-s", "-q", "-p", "no:cacheprovider", "-c", "/dev/null", str(folder)]
    done = subprocess.run(
        [sys.executable, *words], cwd=ROOT, capture_output=True, text=True, timeout=60, check=False
    )
    assert done.returncode == 0, done.stdout
    known = ("begins", "ends", "used", "alone", "in the shop")
    lines = [line.lstrip(".") for line in done.stdout.splitlines()]
    return [line for line in lines if line.endswith(known)]


def test_it_ends_before_a_file_that_does_not_ask_and_begins_again_for_one_that_does(tmp_path):
    assert told_by(tmp_path, ON_IT, ON_IT, OFF_IT, ON_IT) == [
        "plane begins",
        "used",
        "used",
        "plane ends",
        "alone",
        "plane begins",
        "used",
        "plane ends",
    ]


def test_what_was_made_on_it_ends_first_and_is_made_anew(tmp_path):
    once = ["plane begins", "shop begins", "in the shop", "shop ends", "plane ends"]
    assert told_by(tmp_path, IN_SHOP, OFF_IT, IN_SHOP) == [*once, "alone", *once]
