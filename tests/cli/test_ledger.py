"""`spotvortex ledger` reads a daemon or a file, and writes what the next program reads."""

import csv
import io
import json
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from threading import Thread

import pytest

from spotvortex.core.ledger.ledger_text import to_text
from tests.cli.test_commands import refused, typed
from tests.core.ledger.looks import Book, web

TEXT = to_text(Book().steady(web()).ledger)


@pytest.fixture
def kept(tmp_path):
    path = tmp_path / "savings-ledger.json"
    path.write_text(TEXT)
    return path


@contextmanager
def daemon(pages):
    """A daemon that serves these pages."""

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self):
            body = pages.get(self.path)
            self.send_response(404 if body is None else 200)
            self.end_headers()
            self.wfile.write((body or "").encode())

        def log_message(self, *_):
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    thread = Thread(target=server.serve_forever)
    thread.start()
    try:
        yield f"http://127.0.0.1:{server.server_port}"
    finally:
        server.shutdown()
        thread.join()
        server.server_close()


def test_a_file_is_told_as_a_table(kept):
    result = typed("ledger", "--from", kept)
    assert result.exit_code == 0
    assert "saved -$0.06 .. $0.14 beside all on-demand" in result.output
    assert "web" in result.output


def test_a_daemon_is_asked(kept):
    with daemon({"/ledger": TEXT}) as url:
        assert typed("ledger", "--from", url).output == typed("ledger", "--from", kept).output


def test_json_csv_and_focus_are_what_they_are_called(kept):
    data = json.loads(typed("ledger", "--from", kept, "-o", "json", "--by", "hour").output)
    assert data["rows"][0]["span"] == "hour"
    (row,) = csv.DictReader(io.StringIO(typed("ledger", "--from", kept, "-o", "csv").output))
    assert row["pool"] == "web"
    words = ("ledger", "--from", kept, "-o", "focus", "--account", "123456789012")
    rows = list(csv.DictReader(io.StringIO(typed(*words).output)))
    assert {r["BillingAccountId"] for r in rows} == {"123456789012"}


def test_what_is_no_ledger_is_said_in_a_line(tmp_path, capsys, monkeypatch):
    odd = tmp_path / "odd.json"
    odd.write_text("{}")
    error = refused(capsys, monkeypatch, "ledger", "--from", odd)
    assert f"{odd} holds no ledger that this version can read" in error
    odd.write_text("hello")
    error = refused(capsys, monkeypatch, "ledger", "--from", odd)
    assert "can read: no JSON: Expecting value" in error
    error = refused(capsys, monkeypatch, "ledger", "--from", tmp_path / "gone")
    assert "cannot be read: No such file" in error
    with daemon({}) as url:
        error = refused(capsys, monkeypatch, "ledger", "--from", url)
        assert "serves no ledger: its daemon is of an older version" in error


@pytest.mark.parametrize("account", ["", " "])
def test_focus_has_an_account(kept, capsys, monkeypatch, account):
    words = ("ledger", "--from", kept, "-o", "focus", "--account", account)
    said = refused(capsys, monkeypatch, *words)
    assert "--account: give the id" in said
