"""Pages that repeat what the program says, and the site that is made of all pages."""

import importlib.util
import subprocess
import sys
from pathlib import Path

import pytest

from spotvortex.report.fixes import CURES
from tests.paths import ROOT


def test_the_findings_of_the_page_are_those_of_the_program():
    page = (ROOT / "docs" / "faq.md").read_text()
    table = page.partition("<!-- findings: begin -->\n")[2].partition("<!-- findings: end -->")[0]
    rows = [[cell.strip() for cell in line.strip("|").split("|")] for line in table.splitlines()]
    assert rows[2:] == [[f"`{t}`", str(cure.weight), cure.fix] for t, cure in CURES.items()]


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
