"""Write docs/configuration.md from the settings, or check that it is up to date.

Usage: python -m scripts.configuration [--check]
"""

from __future__ import annotations

import inspect
import re
import sys
from pathlib import Path
from typing import get_args

from pydantic.fields import FieldInfo
from pydantic_core import PydanticUndefined

from spotvortex.settings import PREFIX, Settings

PAGE = Path(__file__).resolve().parent.parent / "docs" / "configuration.md"

HEAD = """# Configuration

<!-- Generated from spotvortex/settings.py by `python -m scripts.configuration`; edit there. -->

Every setting is a variable of the environment with the prefix `SPOTVORTEX_`. A value out of range,
or an unknown name with that prefix, stops the start with exit code 2, the name and the fix; names
that Kubernetes injects for Services are ignored. `KUBECONFIG` and the standard `OTEL_*` variables
are read too: traces are made when `OTEL_EXPORTER_OTLP_ENDPOINT` or
`OTEL_EXPORTER_OTLP_TRACES_ENDPOINT` is set.

| variable | default | values | meaning |
|---|---|---|---|
"""


def describe_fields() -> dict[str, str]:
    """Return the docstring that stands below each field of `Settings`."""
    source = inspect.getsource(Settings)
    pattern = re.compile(r'^    (\w+): [^\n]+\n    """(.+?)"""', re.MULTILINE | re.DOTALL)
    return {name: " ".join(text.split()) for name, text in pattern.findall(source)}


def values_of(field: FieldInfo) -> str:
    """Say in words what a field takes."""
    bounds = [
        f"{sign} {getattr(rule, name):g}"
        for rule in field.metadata
        for name, sign in (("ge", "≥"), ("le", "≤"))
        if getattr(rule, name, None) is not None
    ]
    if bounds:
        return ", ".join(bounds)
    choices = [choice for choice in get_args(field.annotation) if isinstance(choice, str)]
    if choices:
        return ", ".join(f"`{choice}`" if choice else "empty" for choice in choices)
    return "path" if "Path" in str(field.annotation) else "text"


def default_of(name: str, field: FieldInfo) -> str:
    """Return the default as a person would type it."""
    if name == "model_dir":
        return "the bundle that ships with the product"
    if field.default is PydanticUndefined:
        return "required"
    if field.default is None or field.default == "":
        return "unset"
    return f"`{field.default}`"


def page() -> str:
    """Return the whole page."""
    words = describe_fields()
    rows = [
        f"| `{PREFIX}{name.upper()}` | {default_of(name, field)} | {values_of(field)} | "
        f"{words[name]} |"
        for name, field in Settings.model_fields.items()
    ]
    return HEAD + "\n".join(rows) + "\n"


def main() -> int:
    """Write the page, or compare with `--check`."""
    if "--check" in sys.argv[1:]:
        if PAGE.read_text("utf-8") == page():
            return 0
        print(f"{PAGE.name} is out of date: run python -m scripts.configuration")
        return 1
    PAGE.write_text(page(), "utf-8")
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
