"""Documents: the text and title of an HTML, PDF, Markdown or plain text file, one row a document."""

from __future__ import annotations

import logging
import re
from collections.abc import Iterator
from pathlib import Path
from typing import ClassVar

from tunesmith.data.read.decode import open_bytes, open_text
from tunesmith.data.read.encodings import NOT_ITS_ENCODING, REPAIRED, Encoding, repaired_lines, undecoded
from tunesmith.data.readers import Broken, Row, TextReader, excerpt
from tunesmith.data.readers._html import html_text
from tunesmith.errors import DataError, MissingDependency

MAX_BYTES = 2**26
"""A longer document is broken: no reader of it is a person."""
MAX_TEXT = 2**26
MAX_PAGE = 2**23
_HEADING = re.compile(r"^#{1,2}\s+(.+?)\s*#*$", re.MULTILINE)


class Document(TextReader):
    """One row a file, with the columns `text` and `title`; `path` too where a folder is read."""

    suffixes: ClassVar[tuple[str, ...]] = (".html", ".htm", ".xhtml", ".pdf")

    def written_in(self, path: Path) -> Encoding:
        return Encoding("utf-8") if path.suffix.lower() == ".pdf" else super().written_in(path)

    def rows(self, path: Path) -> Iterator[Row | Broken]:
        where = f"{path.name}:1"
        with open_bytes(path) as file:
            head = file.read(1024)
        if path.stat().st_size > MAX_BYTES:
            yield Broken(where, f"document larger than {MAX_BYTES // 2**20} MiB", "")
        elif head.lstrip().startswith(b"%PDF"):
            yield _pdf(path, where)
        else:
            yield self._written(path, where)

    def _written(self, path: Path, where: str) -> Row | Broken:
        with open_text(path, self.written_in(path).name) as file:
            text = file.read(MAX_TEXT)
        notes: tuple[str, ...] = ()
        if undecoded(text):
            mended = repaired_lines(text)
            if mended is None:
                return Broken(where, NOT_ITS_ENCODING, excerpt(text))
            text, notes = mended, (REPAIRED,)
        if path.suffix.lower() in (".html", ".htm", ".xhtml"):
            try:
                text, title = html_text(text)
            except AssertionError:  # how the parser refuses a declaration that is none
                return Broken(where, "markup that cannot be read", "")
        else:
            heading = _HEADING.search(text)
            title = heading.group(1) if heading else ""
        if not text.strip():
            return Broken(where, "a document without text", "")
        return Row({"text": text.strip("\n"), "title": title or path.stem}, where, notes)


def _pdf(path: Path, where: str) -> Row | Broken:
    try:
        import pypdf
    except ImportError as error:
        raise MissingDependency("pypdf", extra="documents", needed_by=str(path)) from error
    logging.getLogger("pypdf").setLevel(logging.CRITICAL)  # it tells of every oddity; what matters is what comes out
    parts: list[str] = []
    try:
        with path.open("rb") as file:
            reader = pypdf.PdfReader(file, strict=False)
            if reader.is_encrypted and not reader.decrypt(""):
                return Broken(where, "an encrypted PDF", "")
            length = 0
            for page in reader.pages:
                contents = page.get_contents()
                if contents is not None and len(contents.get_data()) > MAX_PAGE:
                    return Broken(where, f"a PDF page larger than {MAX_PAGE // 2**20} MiB", "")
                parts.append(page.extract_text())
                length += len(parts[-1])
                if length > MAX_TEXT:
                    return Broken(where, f"document larger than {MAX_TEXT // 2**20} MiB", "")
            title = (reader.metadata.title if reader.metadata else None) or ""
    except DataError:
        raise
    except Exception:  # whatever it raises for a broken file; its own errors do not derive from one class
        return Broken(where, "a damaged PDF", "")
    text = "\n\n".join(part.strip() for part in parts if part.strip())
    if not text:
        return Broken(where, "a PDF without text (pictures of pages?)", "")
    return Row({"text": text, "title": title.strip() or path.stem}, where)
