"""Excel workbooks (.xlsx), read row by row. Formulas are never evaluated: their saved values are read."""

from __future__ import annotations

import datetime
import re
import warnings
import xml.parsers.expat
import zipfile
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from itertools import zip_longest
from pathlib import Path
from typing import Any, ClassVar

from pydantic import Field

from tunesmith.data.read.places.limits import refuse_bomb
from tunesmith.data.readers import Broken, Reader, Row
from tunesmith.errors import DataError, MissingDependency, did_you_mean

NO_VALUE = "a formula without a saved value read as missing"
ERROR_CELL = "an error cell such as #N/A read as missing"
_ERRORS = frozenset({"#N/A", "#REF!", "#DIV/0!", "#VALUE!", "#NAME?", "#NULL!", "#NUM!"})
_FORMULA = re.compile(rb"<(?:\w+:)?f[ />]")
_LARGEST_STRINGS = 2**29
"""Bytes of the table of texts, which is held in memory."""
_MOST_COLUMNS = 2000
_WRONG = (
    KeyError, ValueError, TypeError, AttributeError, IndexError, SyntaxError, EOFError, RuntimeError, OSError,
    RecursionError, OverflowError, zipfile.BadZipFile, zlib.error, xml.parsers.expat.ExpatError,
)  # fmt: skip
"""What openpyxl and what it reads with raise for workbooks that are none."""


class Excel(Reader):
    """A sheet of a workbook; the first row that is not empty names the columns."""

    suffixes: ClassVar[tuple[str, ...]] = (".xlsx", ".xlsm")

    sheet: str | None = None
    """Which sheet; needed where the workbook has several."""
    columns: list[str] | None = Field(default=None, min_length=1)
    """Names of the columns when the sheet has no header row; its first row is the header when left out."""

    def rows(self, path: Path) -> Iterator[Row | Broken]:
        try:
            import defusedxml  # noqa: F401 - openpyxl reads with it where it is there
            import openpyxl  # noqa: F401
        except ImportError as error:
            raise MissingDependency(str(error.name), extra="excel", needed_by=str(path)) from error
        with _refusing_damage(path):
            _refuse_traps(path)
            yield from self._rows(path)

    def _rows(self, path: Path) -> Iterator[Row | Broken]:
        columns = self.columns
        for number, values, formulas in _cells(path, self.sheet):
            where = f"{path.name}:{number}"
            while values and values[-1] is None and (columns is None or len(values) > len(columns)):
                values.pop()
            if all(value is None for value in values):
                continue
            if columns is None:
                columns = _header(values, where)
            elif len(values) > len(columns):
                yield Broken(where, "more values than columns", ", ".join(map(str, values))[:200])
            else:
                yield _row(values, columns, formulas, where)


def _row(values: list[Any], columns: list[str], formulas: list[bool], where: str) -> Row:
    notes = []
    found = dict.fromkeys(columns)
    for name, value, formula in zip_longest(columns, values[: len(columns)], formulas[: len(columns)]):
        if value is None and formula:
            notes.append(NO_VALUE)
        elif isinstance(value, str) and value in _ERRORS:
            notes.append(ERROR_CELL)
            value = None
        found[name] = value.isoformat() if isinstance(value, (datetime.date, datetime.time)) else value
    return Row(found, where, tuple(dict.fromkeys(notes)))


def _header(values: list[Any], where: str) -> list[str]:
    if len(values) > _MOST_COLUMNS:
        raise DataError(f"has {len(values):,} columns", where=where, fix="keep those that are needed, as CSV")
    names = [f"column {n}" if value is None else str(value).strip() for n, value in enumerate(values, 1)]
    twice = sorted({name for name in names if names.count(name) > 1})
    if twice:
        raise DataError(
            f"the column {twice[0]!r} stands twice in the header",
            where=where,
            fix="rename one of them, or give `format: {kind: excel, columns: [...]}` if the first row is no header",
        )
    return names


def _cells(path: Path, sheet: str | None) -> Iterator[tuple[int, list[Any], list[bool]]]:
    """Number, values and, of each cell, whether it holds a formula."""
    import openpyxl

    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # extensions that it leaves out: pictures, colours, rules
        book = openpyxl.load_workbook(path, read_only=True, data_only=True, keep_links=False)
        try:
            values = _sheet(book, sheet, path)
            values.reset_dimensions()  # what a file says of its size may be a lie
            if not _has_formulas(path):
                for number, row in enumerate(values.iter_rows(values_only=True), 1):
                    yield number, list(row), []
                return
            twin = openpyxl.load_workbook(path, read_only=True, data_only=False, keep_links=False)
            try:
                written = twin[values.title]
                written.reset_dimensions()
                both = zip(values.iter_rows(values_only=True), written.iter_rows(), strict=True)
                for number, (row, cells) in enumerate(both, 1):
                    yield number, list(row), [cell.data_type == "f" for cell in cells]
            finally:
                twin.close()
        finally:
            book.close()


def _sheet(book: Any, name: str | None, path: Path) -> Any:
    sheets = {sheet.title: sheet for sheet in book.worksheets}
    named = ", ".join(map(repr, sheets))
    if name is not None and name not in sheets:
        raise DataError(
            f"has no sheet {name!r}{did_you_mean(name, sheets)}", where=path.name, fix=f"its sheets are {named}"
        )
    if not sheets:
        raise DataError("has no sheet with cells", where=path.name, fix="save its rows as CSV")
    if name is None and len(sheets) > 1:
        raise DataError(
            f"has {len(sheets)} sheets: {named}",
            where=path.name,
            fix=f"write `format: {{kind: excel, sheet: {next(iter(sheets))}}}` with the one that is meant",
        )
    return sheets[name] if name is not None else next(iter(sheets.values()))


# Workbooks that are traps -----------------------------------------------------------------------------


def _refuse_traps(path: Path) -> None:
    """Refuses, before anything is parsed, archives that expand without bound and XML that declares entities.

    Raises:
        DataError: it is such a workbook.
    """
    with zipfile.ZipFile(path) as archive:
        infos = archive.infolist()
        refuse_bomb(sum(info.file_size for info in infos), path.stat().st_size, path.name)
        for info in infos:
            if info.filename.endswith("sharedStrings.xml") and info.file_size > _LARGEST_STRINGS:
                raise DataError("holds more text than fits in memory", where=path.name, fix="save it as CSV")
            if info.filename.endswith((".xml", ".rels", ".vml")):
                with archive.open(info) as file:
                    if _declares_a_type(file):
                        raise DataError(
                            f"declares XML entities in {info.filename}, which no workbook needs",
                            where=path.name,
                            fix="do not trust the file; have its rows exported as CSV",
                        )


class _Enough(Exception):
    """The first element has begun: no declaration can follow."""


def _declares_a_type(file: Any) -> bool:
    found = []
    parser = xml.parsers.expat.ParserCreate()

    def declared(*_: object) -> None:
        found.append(True)
        raise _Enough

    def begun(*_: object) -> None:
        raise _Enough

    parser.StartDoctypeDeclHandler, parser.StartElementHandler = declared, begun
    try:
        while block := file.read(2**12):
            parser.Parse(block)
    except _Enough:
        pass
    return bool(found)


def _has_formulas(path: Path) -> bool:
    with zipfile.ZipFile(path) as archive:
        for name in archive.namelist():
            if not name.startswith("xl/worksheets/") or not name.endswith(".xml"):
                continue
            with archive.open(name) as file:
                before = b""
                while block := file.read(2**20):
                    if _FORMULA.search(before + block):
                        return True
                    before = block[-64:]
    return False


@contextmanager
def _refusing_damage(path: Path) -> Iterator[None]:
    try:
        yield
    except DataError:
        raise
    except _WRONG as error:
        said = (str(error) or type(error).__name__).splitlines()[0][:200]
        raise DataError(
            f"is not a whole Excel workbook: {said}", where=path.name, fix="open and save it again, or save it as CSV"
        ) from error
