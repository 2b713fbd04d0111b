"""Every pool as it is now, in a terminal."""

from __future__ import annotations

import select
import shutil
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Annotated, Final

import typer

from spotvortex.cli.options import UrlOption
from spotvortex.report.running_daemon import ask, base_of
from spotvortex.report.top import lines_of, read_answer
from spotvortex.settings.load import load as load_settings

CLEAR: Final = "\x1b[H\x1b[J"
"""Puts the cursor home and clears what is below it."""


def command(
    *,
    url: UrlOption = "",
    every: Annotated[float, typer.Option(min=0.5, help="Seconds between two looks.")] = 2.0,
    once: Annotated[bool, typer.Option("--once", help="Look once, and end.")] = False,
) -> None:
    """Watch every pool of a running daemon: cost, Spot share, risk, decision, moves; q ends it.

    Off a terminal it looks once.
    """
    loaded = load_settings()
    base = base_of(url or f"http://127.0.0.1:{loaded.http_port}")
    token = loaded.http_token.get_secret_value()
    watches = not once and sys.stdin.isatty() and sys.stdout.isatty()
    with _keys() if watches else _no_keys():
        while True:
            width = shutil.get_terminal_size().columns if watches else 10_000
            answer = read_answer(ask(f"{base}/pools", token) or "", base)
            shown = "\n".join(lines_of(answer, width))
            typer.echo(f"{CLEAR}{shown}" if watches else shown)
            if not watches or _typed_q(every):
                return


@contextmanager
def _no_keys() -> Iterator[None]:
    yield


@contextmanager
def _keys() -> Iterator[None]:
    """Let single keys come without Enter, until the block ends."""
    import termios  # noqa: PLC0415 - not there on every system that the other commands run on
    import tty  # noqa: PLC0415

    before = termios.tcgetattr(sys.stdin)
    tty.setcbreak(sys.stdin)
    try:
        yield
    finally:
        termios.tcsetattr(sys.stdin, termios.TCSADRAIN, before)


def _typed_q(seconds: float) -> bool:
    """Wait so long, or until a key comes, and tell whether it was q."""
    ready, _, _ = select.select([sys.stdin], [], [], seconds)
    return bool(ready) and sys.stdin.read(1) in ("q", "Q", "")
