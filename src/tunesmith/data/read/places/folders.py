"""Folders of documents: which files below a folder are read, and which are not."""

from __future__ import annotations

import os
from collections import Counter
from dataclasses import dataclass, field
from pathlib import Path

DOCUMENTS = (".txt", ".md", ".markdown", ".rst", ".html", ".htm", ".pdf")
MAX_FILES = 1_000_000


@dataclass
class Folder:
    """What lies below a folder."""

    documents: list[Path] = field(default_factory=list)
    """Files with an ending of `DOCUMENTS`, sorted by path."""
    left_out: Counter[str] = field(default_factory=Counter)
    """Reason -> files not read."""
    others: Counter[str] = field(default_factory=Counter)
    """Ending -> files that are no documents."""

    def notes(self) -> tuple[str, ...]:
        """What is said of the files that are not read."""
        said = [f"{count} {why}" for why, count in sorted(self.left_out.items())]
        if self.others:
            endings = ", ".join(ending for ending, _ in self.others.most_common(4))
            said.append(f"{sum(self.others.values())} of other formats ({endings})")
        return (f"not read: {', '.join(said)}",) if said else ()


def walk(folder: Path) -> Folder:
    """Looks for documents below a folder. Hidden entries and links that lead out of it are not followed."""
    found = Folder()
    root = folder.resolve()
    for at, folders, names in os.walk(root):
        for name in [name for name in folders if name.startswith(".") or Path(at, name).is_symlink()]:
            folders.remove(name)
            found.left_out["hidden" if name.startswith(".") else "linked folders"] += 1
        folders.sort()
        for name in sorted(names):
            path = Path(at, name)
            if name.startswith("."):
                found.left_out["hidden"] += 1
            elif path.is_symlink() and not path.resolve().is_relative_to(root):
                found.left_out["linked from outside of the folder"] += 1
            elif not path.is_file():
                found.left_out["neither files nor folders"] += 1
            elif path.suffix.lower() in DOCUMENTS:
                found.documents.append(path)
            else:
                found.others[path.suffix.lower() or "no ending"] += 1
    found.documents.sort()
    return found
