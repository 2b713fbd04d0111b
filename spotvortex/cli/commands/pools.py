"""Every pool as it is now, for people and programs."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from typing import Any, Final

import typer

from spotvortex.cli.console import NO_LIMIT
from spotvortex.cli.options import Form, FormOption, UrlOption
from spotvortex.report import pools
from spotvortex.report.running_daemon import ask, base_of
from spotvortex.report.top import lines_of, read_answer
from spotvortex.settings.load import load as load_settings

RENDERED: Final[Mapping[Form, Callable[[dict[str, Any]], str]]] = {
    Form.JSON: lambda answer: json.dumps(answer, indent=2, allow_nan=False),
    Form.YAML: pools.yaml_of,
    Form.CSV: pools.csv_of,
    Form.HTML: pools.html_of,
}


def command(*, url: UrlOption = "", output: FormOption = Form.TABLE) -> None:
    """Say of every pool of a running daemon what it has, what it costs and what is decided."""
    loaded = load_settings()
    base = base_of(url or f"http://127.0.0.1:{loaded.http_port}")
    text = ask(f"{base}/pools", loaded.http_token.get_secret_value()) or ""
    answer = read_answer(text, base)
    if output is Form.TABLE:
        typer.echo("\n".join(lines_of(answer, NO_LIMIT)))
    else:
        typer.echo(RENDERED[output](json.loads(text)).rstrip("\n"))
