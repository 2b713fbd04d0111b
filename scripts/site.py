"""Make one site of the documents: the pages of docs/ and those at the root of the tree.

Comes in: the files of mkdocs. Goes out: the same with README, CONTRIBUTING, SECURITY and CHANGELOG
as pages, links between root and docs/ as they are on the site, and links to files that are no page
as plain names. mkdocs calls these hooks by name (`mkdocs.yml`).
"""

from __future__ import annotations

import posixpath
import re
from pathlib import Path
from typing import Any

from mkdocs.structure.files import File

ROOT = Path(__file__).resolve().parents[1]
ROOT_PAGES = {
    "README.md": "index.md",
    "CONTRIBUTING.md": "CONTRIBUTING.md",
    "SECURITY.md": "SECURITY.md",
    "CHANGELOG.md": "CHANGELOG.md",
}
LINK = re.compile(r"(!?)\[((?:[^\[\]]|\[[^\[\]]*\])*)\]\((<?)([^()\s>]+)(>?)\)")
SCHEME = re.compile(r"^[a-z][a-z0-9+.-]*:")


def on_files(files: Any, config: Any) -> Any:
    """Add the pages of the root."""
    for source, page in ROOT_PAGES.items():
        text = (ROOT / source).read_text(encoding="utf-8")
        files.append(File.generated(config, page, content=text))
    return files


def on_page_markdown(markdown: str, *, page: Any, files: Any, **_: Any) -> str:
    """Turn every link into one of the site."""
    uri = page.file.src_uri
    source = {page: root for root, page in ROOT_PAGES.items()}.get(uri, f"docs/{uri}")
    return LINK.sub(lambda found: _link(found, source, uri, files), markdown)


def _link(found: re.Match[str], source: str, uri: str, files: Any) -> str:
    mark, text, _, target, _ = found.groups()
    if SCHEME.match(target) or target.startswith("#"):
        return found[0]
    path, hash_mark, anchor = target.partition("#")
    meant = posixpath.normpath(posixpath.join(posixpath.dirname(source), path))
    on_site = ROOT_PAGES.get(meant, meant.removeprefix("docs/"))
    if meant == on_site and meant not in ROOT_PAGES:
        return text
    if files.get_file_from_path(on_site) is None:
        return text
    near = posixpath.relpath(on_site, posixpath.dirname(uri) or ".")
    return f"{mark}[{text}]({near}{hash_mark}{anchor})"
