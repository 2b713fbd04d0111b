"""The audit log of the API server: the independent witness of who did what."""

import itertools
import json
from pathlib import Path
from typing import Any

from tests.controlplane.api import Api, wait_until

_BARRIER = "/audit-barrier-"
_numbers = itertools.count()


class AuditLog:
    """Reads the log of one API server."""

    def __init__(self, path: Path) -> None:
        self._path = path

    def events(self, username: str | None) -> list[dict[str, Any]]:
        """Return the events so far, oldest first, of one user or of all."""
        with self._path.open(encoding="utf-8") as lines:
            # A line that is being written has no end yet.
            events = [json.loads(line) for line in lines if line.endswith("\n")]
        return [
            event
            for event in events
            if not event["requestURI"].startswith(_BARRIER)
            and (username is None or event["user"].get("username") == username)
        ]

    def await_written(self, api: Api) -> None:
        """Wait until the events of all answers seen so far are in the log.

        An event is written just after its answer was sent. When that of a later request is
        there, those of earlier answers are there as well.
        """
        mark = f"{_BARRIER}{next(_numbers)}"
        position = self._path.stat().st_size
        api.request("GET", mark)

        def written() -> bool:
            with self._path.open("rb") as lines:
                lines.seek(position)
                return mark.encode() in lines.read()

        wait_until(written, 10, every_s=0.01)
