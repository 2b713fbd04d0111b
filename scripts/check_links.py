"""Check every link, anchor and path of a module in the Markdown files that git does not ignore.

Comes in: the working tree. Goes out: one `file:line: what` a dead link, or a module in code that is
not there (below the root, `spotvortex/` or `tests/`), and exit status 1 if there is any. Looks at
nothing outside the repository: addresses with a scheme are left alone. A changelog tells of the
past, so its modules may be gone.
"""

from __future__ import annotations

import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from urllib.parse import unquote

INLINE = re.compile(r"\]\(\s*(?:<([^>]*)>|((?:[^()\s]|\([^()\s]*\))*))(?:\s+[\"'(][^)]*)?\s*\)")
DEFINITION = re.compile(r"^ {0,3}\[[^\]^]+\]:\s*<?([^\s>]+)")
HEADING = re.compile(r"^ {0,3}#{1,6}\s+(.*?)(?:\s+#+)?\s*$")
FENCE = re.compile(r"^\s*(`{3,}|~{3,})")
CODE = re.compile(r"(`+)(?!`).*?(?<!`)\1(?!`)")
SCHEME = re.compile(r"^[A-Za-z][A-Za-z0-9+.-]*:|^//")
MODULE = re.compile(r"(?<![\w/.*])(\w[\w/]*/\w+\.py)\b")
ROOTS = ("", "spotvortex", "tests")
"""Below which the path of a module may begin."""

EXPLICIT = re.compile(r"<a\s[^>]*\b(?:id|name)=[\"']([^\"']+)")


def markdown_files(root: Path) -> list[Path]:
    """List the Markdown files that are tracked, or new and not ignored."""
    command = ["git", "ls-files", "-z", "--cached", "--others", "--exclude-standard", "*.md"]
    listed = subprocess.run(command, cwd=root, check=True, capture_output=True, text=True).stdout
    paths = (root / name for name in sorted(set(listed.split("\0"))) if name)
    return [path for path in paths if path.exists()]


def prose(path: Path) -> Iterator[tuple[int, str]]:
    """Yield the numbered lines outside fenced code."""
    fence = ""
    for number, line in enumerate(path.read_text(encoding="utf-8").splitlines(), start=1):
        mark = FENCE.match(line)
        if not fence and mark:
            fence = mark[1]
        elif fence and mark and mark[1].startswith(fence):
            fence = ""
        elif not fence:
            yield number, line


def targets(path: Path) -> Iterator[tuple[int, str]]:
    """Yield every link target with its line, outside code."""
    for number, line in prose(path):
        text = CODE.sub("", line)
        for angled, plain in INLINE.findall(text):
            yield number, angled or plain
        definition = DEFINITION.match(text)
        if definition:
            yield number, definition[1]


def modules(path: Path) -> Iterator[tuple[int, str]]:
    """Yield every path of a Python module that stands in code, with its line."""
    if path.name == "CHANGELOG.md":
        return
    for number, line in prose(path):
        for span in CODE.finditer(line):
            for name in MODULE.findall(span[0]):
                yield number, name


def anchors(path: Path) -> set[str]:
    """Return the anchors of a Markdown file as GitHub makes them, and the explicit ones."""
    found: set[str] = set()
    for _, line in prose(path):
        found.update(EXPLICIT.findall(line))
        heading = HEADING.match(line)
        if heading:
            name, n = slug(heading[1]), 0
            while (f"{name}-{n}" if n else name) in found:
                n += 1
            found.add(f"{name}-{n}" if n else name)
    return found


def slug(heading: str) -> str:
    """Turn a heading into its anchor."""
    text = re.sub(r"!?\[([^\]]*)\]\([^)]*\)", r"\1", heading)
    return re.sub(r"[^\w\- ]", "", text.lower()).replace(" ", "-")


def fault(root: Path, source: Path, target: str) -> str:
    """Say what is wrong with a target, "" where nothing is."""
    if SCHEME.match(target):
        return ""
    name, _, anchor = target.partition("#")
    if name.startswith("/"):
        return f"{target} is not relative"
    path = (source.parent / unquote(name)).resolve() if name else source
    if not path.is_relative_to(root.resolve()):
        return f"{target} leaves the repository"
    if not path.exists():
        return f"{target} does not exist"
    if anchor and path.suffix == ".md" and unquote(anchor) not in anchors(path):
        return f"{target} names no heading"
    return ""


def main(root: Path) -> int:
    """Print every dead link; return 1 where there is one."""
    faults = [
        f"{source.relative_to(root)}:{number}: {wrong}"
        for source in markdown_files(root)
        for number, target in targets(source)
        if (wrong := fault(root, source, target))
    ]
    faults += [
        f"{source.relative_to(root)}:{number}: {name} does not exist"
        for source in markdown_files(root)
        for number, name in modules(source)
        if not any((root / below / name).exists() for below in ROOTS)
    ]
    print("\n".join(faults), end="\n" if faults else "")
    return 1 if faults else 0


if __name__ == "__main__":
    sys.exit(main(Path(__file__).resolve().parents[1]))
