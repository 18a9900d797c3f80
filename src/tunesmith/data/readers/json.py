"""JSON: a list of objects, or an object that holds exactly one such list."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any, ClassVar

from tunesmith.data.read.decode import open_text
from tunesmith.data.read.encodings import NOT_ITS_ENCODING, undecoded
from tunesmith.data.read.strict_json import Refused, parse
from tunesmith.data.readers import Broken, Row, TextReader, excerpt
from tunesmith.errors import DataError


class Json(TextReader):
    """A list of objects, or an object with one list of objects under any key. The whole file is held in memory."""

    suffixes: ClassVar[tuple[str, ...]] = (".json",)

    def rows(self, path: Path) -> Iterator[Row | Broken]:
        with open_text(path, self.written_in(path).name) as file:
            text = file.read()
        try:
            value = parse(text)
        except Refused as refused:
            raise DataError(
                f"{refused.reason}: {refused.detail}" if refused.detail else refused.reason,
                where=f"{path.name}:{refused.line}",
                fix="mend the file, or write `format: jsonl` when it holds one object a line",
            ) from refused
        for number, item in enumerate(_items(value, path), 1):
            where = f"{path.name}:{number}"
            if not isinstance(item, dict):
                yield Broken(where, "not a JSON object", excerpt(repr(item)))
            elif undecoded(text) and undecoded(repr(item)):
                yield Broken(where, NOT_ITS_ENCODING, excerpt(repr(item)))
            else:
                yield Row(item, where)


def _items(value: Any, path: Path) -> list[Any]:
    if isinstance(value, list):
        return value
    if not isinstance(value, dict):
        raise DataError(
            f"holds a single {type(value).__name__}, not rows",
            where=path.name,
            fix="write a list of objects, or one object a line as .jsonl",
        )
    lists = [key for key, item in value.items() if isinstance(item, list) and item and isinstance(item[0], dict)]
    if len(lists) == 1:
        found: list[Any] = value[lists[0]]
        return found
    said = f"several lists of objects ({', '.join(map(repr, lists))})" if lists else "no list of objects"
    raise DataError(
        f"is one object with {said}; its keys are {', '.join(map(repr, list(value)[:10])) or 'none'}",
        where=path.name,
        fix="write a list of objects, or keep one list in the file",
    )
