"""Pages that repeat what the program says, and the site that is made of all pages."""

import importlib.util
import re
import subprocess
import sys
from pathlib import Path

import pytest

from spotvortex.report.fixes import CURES
from tests.faultsearch.variants import VARIANTS
from tests.paths import ROOT


def test_the_findings_of_the_page_are_those_of_the_program():
    page = (ROOT / "docs" / "faq.md").read_text()
    table = page.partition("<!-- findings: begin -->\n")[2].partition("<!-- findings: end -->")[0]
    rows = [[cell.strip() for cell in line.strip("|").split("|")] for line in table.splitlines()]
    assert rows[2:] == [[f"`{t}`", str(cure.weight), cure.fix] for t, cure in CURES.items()]


PAGES = [p for p in (*ROOT.glob("*.md"), *(ROOT / "docs").rglob("*.md")) if p.stem != "CHANGELOG"]
"""Every page but the one that tells of what was once."""

NAMED = re.compile(r"`((?:tests|spotvortex|scripts|deploy|docs)/[\w./-]+\w)?(?:::(test_\w+))?`")
INSIDE = re.compile(r"`((?:core|kube|pipeline|market|aws|app|ports|report|server|sim)/[\w/]+\.py)`")


def missing_of(page: Path):
    """Yield every file, and every test in a file, that a page names and that is not there."""
    file = ROOT
    for name, test in NAMED.findall(page.read_text()):
        if name:
            file = ROOT / name
            if not file.exists():
                yield name
        if test and not (file.is_file() and f"def {test}(" in file.read_text()):
            yield f"{name or file.name}::{test}"
    yield from (
        n for n in INSIDE.findall(page.read_text()) if not (ROOT / "spotvortex" / n).exists()
    )


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.relative_to(ROOT).as_posix())
def test_every_file_and_test_that_a_page_names_is_there(page):
    assert list(missing_of(page)) == []


def test_the_number_of_broken_controllers_is_that_of_the_search():
    page = (ROOT / "docs" / "architecture.md").read_text()
    assert f"and {len(VARIANTS)} broken controllers are found" in page


@pytest.mark.program
@pytest.mark.skipif(
    importlib.util.find_spec("material") is None, reason="mkdocs-material is not installed"
)
def test_the_site_has_no_dead_link_and_every_page_of_docs(tmp_path: Path):
    made = subprocess.run(
        [sys.executable, "-m", "mkdocs", "build", "--strict", "--site-dir", str(tmp_path)],
        cwd=ROOT,
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
    assert made.returncode == 0, made.stdout + made.stderr
    pages = {
        p.relative_to(tmp_path).with_suffix(".md").as_posix() for p in tmp_path.rglob("*.html")
    }
    assert {p.relative_to(ROOT / "docs").as_posix() for p in (ROOT / "docs").rglob("*.md")} <= pages
    assert "What it does not do yet" in (tmp_path / "index.html").read_text()
