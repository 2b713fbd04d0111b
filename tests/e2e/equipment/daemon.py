"""The daemon as its own process, with what a person would use to look at it."""

import json
import os
import signal
import subprocess
import sys
import urllib.error
import urllib.request
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Self

from spotvortex.core.record.checkpoint import is_checkpoint
from tests.controlplane.api import wait_until
from tests.controlplane.processes.ports import free_port
from tests.paths import ROOT


class Daemon:
    """`python -m spotvortex run`, started on entry and stopped on exit.

    Args:
        folder: where its records and its log are kept.
        variables: settings beside the ones that every test uses.
        arguments: further arguments of `run`.
    """

    def __init__(self, folder: Path, variables: dict[str, str], *arguments: str) -> None:
        self.host = variables.get("SPOTVORTEX_HTTP_HOST", "127.0.0.1")
        self.port = int(variables.get("SPOTVORTEX_HTTP_PORT") or free_port())
        self.records_path = folder / "decisions.jsonl"
        self.log_path = folder / "daemon.log"
        self._arguments = arguments
        self._environment = {
            **{k: v for k, v in os.environ.items() if not k.startswith(("SPOTVORTEX_", "OTEL_"))},
            "SPOTVORTEX_HTTP_PORT": str(self.port),
            "SPOTVORTEX_DECISION_LOG": str(self.records_path),
            "SPOTVORTEX_TICK_S": "0.5",
            "SPOTVORTEX_LOG_LEVEL": "DEBUG",
            **variables,
        }
        self.process: subprocess.Popen[bytes] | None = None

    def __enter__(self) -> Self:
        with self.log_path.open("ab") as log:
            self.process = subprocess.Popen(
                [sys.executable, "-m", "spotvortex", "run", *self._arguments],
                cwd=ROOT,
                env=self._environment,
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
            )
        return self

    def __exit__(self, *_: object) -> None:
        assert self.process is not None
        if self.process.poll() is None:
            self.process.kill()
            self.process.wait(60)

    def add(self, variables: dict[str, str]) -> None:
        """Set further variables for the next start."""
        self._environment |= variables

    def stop(self, number: signal.Signals = signal.SIGTERM) -> int:
        """Send a signal and return the exit code; more than 20 s of a pod's 30 is a failure."""
        assert self.process is not None
        self.process.send_signal(number)
        return self.process.wait(20)

    def get(self, path: str) -> tuple[int, Any]:
        """Return status and decoded body; status 0 where nobody answers."""
        status, body, _ = self.asked(path)
        return status, body

    def asked(self, path: str) -> tuple[int, Any, Mapping[str, str]]:
        """Return status, decoded body and headers; status 0 where nobody answers."""
        try:
            url = f"http://{self.host}:{self.port}{path}"
            with urllib.request.urlopen(url, timeout=30) as answer:
                return answer.status, _decoded(answer.read()), answer.headers
        except urllib.error.HTTPError as error:
            with error:
                return error.code, _decoded(error.read()), error.headers
        except OSError:
            return 0, None, {}

    def is_ready(self) -> bool:
        """Tell whether /readyz says so."""
        return self.get("/readyz")[0] == 200

    def wait_ready(self, timeout: float = 90) -> None:
        """Wait for readiness; a daemon that ended says why."""
        wait_until(self._ready_or_dead, timeout=timeout)

    def _ready_or_dead(self) -> bool:
        assert self.process is not None
        assert self.process.poll() is None, self.log_path.read_text()
        return self.is_ready()

    def metric(self, series: str) -> float:
        """Return the value of one series, written as Prometheus writes it."""
        _, text = self.get("/metrics")
        for line in str(text).splitlines():
            if line.startswith(f"{series} "):
                return float(line.rpartition(" ")[2])
        raise AssertionError(f"no series {series}")

    def pools(self) -> dict[str, Any]:
        """Return /pools by name."""
        _, body = self.get("/pools")
        return {pool["pool"]: pool for pool in body["pools"]}

    def records(self) -> list[dict[str, Any]]:
        """Return every record written so far, without the checkpoints between them."""
        if not self.records_path.exists():
            return []
        lines = self.records_path.read_text().splitlines(keepends=True)
        # A line that is being written has no end yet.
        whole = (line for line in lines if line.endswith("\n"))
        return [json.loads(line) for line in whole if not is_checkpoint(line)]


def _decoded(body: bytes) -> Any:
    text = body.decode()
    return json.loads(text) if text.startswith(("{", "[")) else text
