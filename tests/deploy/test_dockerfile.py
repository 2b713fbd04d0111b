"""The Dockerfile keeps hadolint's rules and the project's own, and its health check tells."""

import http.server
import json
import subprocess
import sys
import threading
from pathlib import Path

import pytest

from tests.deploy.test_image import instructions
from tests.paths import ROOT

HADOLINT = Path(sys.executable).parent / "hadolint"


def all_of(name):
    return [rest for found, rest in instructions() if found == name]


@pytest.mark.program
def test_hadolint_finds_nothing():
    done = subprocess.run(
        [HADOLINT, ROOT / "Dockerfile"], capture_output=True, text=True, timeout=60, check=False
    )
    assert (done.returncode, done.stdout) == (0, "")


def test_both_stages_stand_on_one_base_that_an_argument_may_pin():
    assert all_of("FROM") == ["${BASE} AS build", "${BASE}"]
    assert [a for a in all_of("ARG") if a.startswith("BASE=")] == ["BASE=python:3.12-slim"]
    assert instructions()[0][0] == "ARG"


def test_the_last_stage_runs_nothing_and_is_not_roots():
    names = [name for name, _ in instructions()]
    last = len(names) - names[::-1].index("FROM")
    assert "RUN" not in names[last:]
    assert "ADD" not in names
    assert all_of("USER") == ["65532:65532"]
    assert names.index("USER") > last


def test_the_bill_of_materials_is_made_of_what_is_installed():
    assert all_of("RUN")[-1] == (
        "/venv/bin/python sbom.py --installed requirements.lock /venv/sbom.cdx.json"
    )


class Health(http.server.BaseHTTPRequestHandler):
    status = 200

    def do_GET(self):
        self.send_response(self.status if self.path == "/healthz" else 404)
        self.end_headers()

    def log_message(self, *_):
        pass


@pytest.mark.program
@pytest.mark.parametrize(("status", "code"), [(200, 0), (503, 1)])
def test_the_health_check_says_what_the_daemon_says(status, code, monkeypatch):
    monkeypatch.setattr(Health, "status", status)
    (check,) = all_of("HEALTHCHECK")
    _, *words = json.loads(check.partition(" CMD ")[2])
    with http.server.HTTPServer(("127.0.0.1", 0), Health) as server:
        thread = threading.Thread(target=server.handle_request)
        thread.start()
        variables = {"SPOTVORTEX_HTTP_PORT": str(server.server_port)}
        done = subprocess.run(
            [sys.executable, *words], env=variables, capture_output=True, timeout=30, check=False
        )
        thread.join(10)
    assert done.returncode == code
