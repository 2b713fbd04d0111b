"""Write docs/configuration.md from the settings, or check that it is up to date.

Usage: python -m scripts.configuration [--check]
"""

from __future__ import annotations

import inspect
import re
from pathlib import Path

from pydantic.fields import FieldInfo

from scripts.generated import write_or_check
from spotvortex.settings.describe import unit_of, values_of
from spotvortex.settings.model import PREFIX, Settings

PAGE = Path(__file__).resolve().parent.parent / "docs" / "configuration.md"

HEAD = """# Configuration

<!-- Generated from `spotvortex/settings/model.py` by `scripts/configuration.py`; edit there. -->

Every setting is a variable of the environment with the prefix `SPOTVORTEX_`, in capitals; an empty
one counts as unset. A value out of range, or an unknown name with that prefix, stops the start with
exit code 2, the name and the fix; `python -m spotvortex check` tells it beforehand. What Kubernetes
injects for Services (`*_SERVICE_HOST`, `*_SERVICE_PORT*`, `*_PORT*`) is ignored, also under the
name of a setting. `KUBECONFIG` and the standard `OTEL_*` variables are read too: traces are made
when `OTEL_EXPORTER_OTLP_ENDPOINT` or `OTEL_EXPORTER_OTLP_TRACES_ENDPOINT` is set, over HTTP unless
`OTEL_EXPORTER_OTLP_PROTOCOL` says `grpc`. Where a queue is
read, the standard `AWS_*` variables give region, credentials and endpoint.

| variable | unit | default | values | meaning |
|---|---|---|---|---|
"""


def describe_fields() -> dict[str, str]:
    """Return the docstring that stands below each field of `Settings`."""
    source = inspect.getsource(Settings)
    pattern = re.compile(r'^    (\w+): [^\n]+\n    """(.+?)"""', re.MULTILINE | re.DOTALL)
    return {name: " ".join(text.split()) for name, text in pattern.findall(source)}


def default_of(name: str, field: FieldInfo) -> str:
    """Return the default as a person would type it."""
    if name == "model_dir":
        return "the bundle that ships with the product"
    default = field.get_default(call_default_factory=True)
    if default in (None, "", {}):
        return "unset"
    return f"`{default}`"


def page() -> str:
    """Return the whole page."""
    words = describe_fields()
    rows = [
        f"| `{PREFIX}{name.upper()}` | {unit_of(field)} | {default_of(name, field)} | "
        f"{values_of(field)} | {words[name]} |"
        for name, field in Settings.model_fields.items()
    ]
    return HEAD + "\n".join(rows) + "\n"


def main() -> int:
    """Write the page, or compare with `--check`."""
    return write_or_check(PAGE, page, "configuration")


if __name__ == "__main__":
    raise SystemExit(main())
