"""The savings ledger survives a restart, and a spoilt file does not stop one."""

from spotvortex.core.ledger.ledger_text import from_text, to_text
from spotvortex.persistence.ledger_file import FILE_NAME, LedgerFile
from tests.core.ledger.looks import Book, web

LEDGER = from_text(to_text(Book().steady(web(), hours=0.5).ledger))


def test_a_ledger_that_was_saved_is_recalled(tmp_path):
    store = LedgerFile(tmp_path)
    assert store.is_settled
    assert store.keeps
    assert store.recall() is None
    assert store.recall() is None
    assert store.save(LEDGER)
    assert store.saved is LEDGER
    assert LedgerFile(tmp_path).recall() == LEDGER
    assert [p.name for p in tmp_path.iterdir()] == [FILE_NAME]


def test_a_spoilt_file_is_kept_aside(tmp_path, caplog):
    (tmp_path / FILE_NAME).write_text("spoilt")
    assert LedgerFile(tmp_path).recall() is None
    assert (tmp_path / "savings-ledger.unreadable").read_text() == "spoilt"
    assert caplog.messages == ["ledger.unreadable"]


def test_a_folder_that_is_gone_is_told_and_nothing_counts_as_saved(tmp_path, caplog):
    store = LedgerFile(tmp_path / "gone")
    assert not store.save(LEDGER)
    assert store.saved is None
    assert caplog.messages == ["ledger.not_saved"]
