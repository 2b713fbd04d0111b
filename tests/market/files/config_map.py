"""A ConfigMap as a kubelet mounts it: a file is a link to a folder that another link leads to."""

from pathlib import Path


def mounted(folder: Path, version: str, name: str, text: str) -> Path:
    """Bring a version as a kubelet does: a new folder, then `..data` leads there at once."""
    (folder / version).mkdir()
    (folder / version / name).write_text(text)
    (folder / "..new").symlink_to(version)
    (folder / "..new").rename(folder / "..data")
    link = folder / name
    if not link.is_symlink():
        link.symlink_to(Path("..data") / name)
    return link
