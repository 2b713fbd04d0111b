"""A real Prometheus on loopback, which scrapes what it is told to and may hold samples of the past.

Comes in: an empty folder and a configuration. Goes out: a running server. It is Debian's package
(`debian.find_program`); everything that it writes stays in the folder.
"""

import os
import subprocess
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any, Self

import yaml

from tests.controlplane.api import wait_until
from tests.controlplane.processes.etcd import http_body
from tests.controlplane.processes.ports import free_port
from tests.controlplane.processes.process import Server
from tests.debian import find_program

KEPT = "30d"
WHOLE = "720h"
"""One block for all samples of the past: promtool reads everything again for each."""

FILLED_S = 120


class PrometheusServer:
    """One server, started on entry.

    Args:
        folder: for its data, its configuration and its log.
        config: as `prometheus.yml` has it.
        past: lines in OpenMetrics' form with times, grouped by name, and each series by time.
        lookback: how far a question looks back for a sample.
    """

    def __init__(
        self,
        folder: Path,
        config: Mapping[str, Any],
        *,
        past: Iterable[str] = (),
        lookback: str = "5m",
    ) -> None:
        self._folder, self._data, self._lookback = folder, folder / "data", lookback
        (folder / "prometheus.yaml").write_text(yaml.safe_dump(dict(config)))
        if past:
            self._fill(past)
        self.url = f"http://127.0.0.1:{free_port()}"

    def _fill(self, past: Iterable[str]) -> None:
        text = self._folder / "past.om"
        with text.open("w") as lines:
            lines.writelines(f"{line}\n" for line in past)
            lines.write("# EOF\n")
        command = [find_program("promtool", "prometheus"), "tsdb", "create-blocks-from"]
        command += [f"--max-block-duration={WHOLE}", "openmetrics", str(text), str(self._data)]
        subprocess.run(
            command, stdin=subprocess.DEVNULL, capture_output=True, check=True, timeout=FILLED_S
        )

    def __enter__(self) -> Self:
        command = [
            find_program("prometheus"),
            f"--config.file={self._folder / 'prometheus.yaml'}",
            f"--storage.tsdb.path={self._data}",
            f"--storage.tsdb.retention.time={KEPT}",
            f"--web.listen-address={self.url.removeprefix('http://')}",
            f"--query.lookback-delta={self._lookback}",
        ]
        log = self._folder / "prometheus.log"
        self._server = Server("prometheus", command, log=log, env=dict(os.environ))
        wait_until(self._is_ready, 60)
        return self

    def _is_ready(self) -> bool:
        self._server.check()
        return http_body(f"{self.url}/-/ready") is not None

    def __exit__(self, *_: object) -> None:
        self._server.stop(20)


def promtool(folder: Path, *words: str) -> "subprocess.CompletedProcess[str]":
    """Run Prometheus's own checker in a folder, and return how it ended and what it said."""
    return subprocess.run(
        [find_program("promtool", "prometheus"), *words],
        cwd=folder,
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
