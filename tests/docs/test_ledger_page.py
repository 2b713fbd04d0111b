"""The page of the ledger shows what commands print: figures for figures, or word for word."""

import re
from pathlib import Path

from tests.cli.test_commands import typed
from tests.docs.pages import shown_below
from tests.paths import ROOT

PAGE = ROOT / "docs" / "ledger.md"
KEPT = Path(__file__).parent / "kept" / "savings-ledger.json"
"""The ledger of the simulated cluster of `make run`, as `/ledger` served it."""


def test_the_ledger_that_is_shown_is_what_the_command_prints_of_the_kept_one():
    printed = typed("ledger", "--from", KEPT).output
    assert shown_below(PAGE, "spotvortex ledger --from savings-ledger.json") == printed


def test_no_amount_on_the_page_stands_elsewhere_than_in_what_a_command_prints():
    outside = re.sub(r"^```.*?^```$", "", PAGE.read_text(), flags=re.MULTILINE | re.DOTALL)
    assert re.findall(r"-?\$\d+\.\d\d", outside) == []
