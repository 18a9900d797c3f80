"""A suite: a folder with `suite.yaml` and `items.jsonl`, or a JSONL file of items alone.

    choice        {"question": "2 + 2 =", "choices": ["3", "4"], "answer": 1}     the answer's number, or its text
    generate      {"question": "What is 2 + 2?", "answer": "4"}                   or several right ones, in a list
    likelihood    {"question": "", "answer": "A text."}                           or {"text": "A text."}

Other fields of an item can be named by the template. Few-shot examples stand in `shots.jsonl`, in the same form.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any, Literal, cast

from pydantic import Field, ValidationError

from tunesmith.errors import DataError, NotFound
from tunesmith.metrics import Metric
from tunesmith.part import METRICS, Part
from tunesmith.runs import file_digest, fingerprint
from tunesmith.spec.document import read_document
from tunesmith.spec.section import Section
from tunesmith.spec.sections import ABILITIES, ability_of

Kind = Literal["choice", "generate", "likelihood"]
BUILT_IN = Path(__file__).parent / "built_in"
SETTINGS, ITEMS, SHOTS = "suite.yaml", "items.jsonl", "shots.jsonl"
BETWEEN_SHOTS = "\n\n"
"""Between an example and the next, as lm-evaluation-harness puts it."""
_PLACE = re.compile(r"\{\{\s*(\w+)\s*\}\}")


class Settings(Section):
    """What `suite.yaml` says; every field may be left out."""

    kind: Kind | None = None
    """How items are answered; by what the first item holds when left out."""
    template: str = "{{ question }}"
    """What is asked, with the item's fields in places `{{ field }}`."""
    separator: str = " "
    """What stands between the question and its answer."""
    few_shot: int = Field(default=0, ge=0, le=64)
    """So many items of `shots.jsonl` are shown with their answers before each question, the first ones."""
    metric: Annotated[Part, METRICS] | None = None
    """What generated answers are measured by; `exact_match` when left out."""
    stop: list[str] = Field(default=["\n"])
    """A generated answer ends before the first of these."""
    max_new_tokens: int = Field(default=64, ge=1)
    """The longest generated answer."""
    chat: bool = False
    """Whether models are asked through their chat template; they continue a plain text otherwise."""
    licence: str | None = None
    """What the items may be used for."""


@dataclass(frozen=True)
class Item:
    """One question."""

    id: str
    """`file:line`."""
    context: str
    """All that is read before the answer, examples included."""
    choices: tuple[str, ...]
    right: int
    """The place of the right choice; 0 without choices."""
    answers: tuple[str, ...]
    """The right answers."""


@dataclass(frozen=True)
class Suite:
    """Questions with known answers."""

    name: str
    kind: Kind
    settings: Settings
    items: list[Item]
    digest: str
    """Names its content."""

    @property
    def metric(self) -> Metric:
        """What generated answers are measured by."""
        return cast(Metric, self.settings.metric or METRICS.make("exact_match"))


def files_of(source: str, folder: Path) -> list[Path]:
    """The files that a suite is read from; none for the built-in ones, which come with the code.

    Raises:
        NotFound: there is no such suite.
    """
    if source in ABILITIES:
        return []
    place = folder / Path(source).expanduser()
    if place.is_file() and place.suffix == ".jsonl":
        return [place]
    if not (place / ITEMS).is_file():
        raise NotFound(
            f"no suite {source!r}",
            where=str(place),
            fix=f"name a folder with {ITEMS}, a .jsonl file, or one of: {', '.join(ABILITIES)}",
        )
    return [path for path in (place / SETTINGS, place / ITEMS, place / SHOTS) if path.is_file()]


def read_suite(source: str, folder: Path = Path(), most: int | None = None) -> Suite:
    """Reads and checks a suite.

    Args:
        source: the name of a built-in one, a folder, or a JSONL file.
        folder: what relative paths start from.
        most: only the first so many items.

    Raises:
        NotFound: there is no such suite.
        DataError: something in it cannot be used; it names the line.
    """
    files = files_of(source, folder) or files_of(str(BUILT_IN / source), folder)
    by_name = {path.name: path for path in files}
    settings = _settings(by_name[SETTINGS]) if SETTINGS in by_name else Settings()
    path = by_name.get(ITEMS, files[0])
    rows = list(_rows(path))
    if not rows:
        raise DataError("the suite has no items", where=str(path), fix="write one item a line")
    kind = settings.kind or _kind_of(rows[0][1])
    if settings.metric is not None and (kind != "generate" or not settings.metric.needs <= {"text", "label"}):  # type: ignore[attr-defined]
        raise DataError(
            f"{settings.metric.kind} does not measure this suite",
            where=str(by_name[SETTINGS]),
            fix="name a metric of written answers, and only with `kind: generate`",
        )
    shots = _shots(by_name.get(SHOTS), settings, kind, path)
    return Suite(
        name=ability_of(source),
        kind=kind,
        settings=settings,
        items=[_item(row, where, settings, kind, shots) for where, row in rows[:most]],
        digest=fingerprint([*(file_digest(file) for file in files), most]),
    )


def _settings(path: Path) -> Settings:
    document = read_document(path.read_text("utf-8"))
    if document.faults:
        fault = document.faults[0]
        raise DataError(fault.what, where=f"{path}:{fault.line}", fix="mend the line")
    try:
        return Settings.model_validate(document.tree or {})
    except ValidationError as error:
        first = error.errors()[0]
        name = ".".join(map(str, first["loc"]))
        raise DataError(
            first["msg"],
            where=f"{path}:{document.lines.get(name, 1)} {name}".strip(),
            fix=f"its fields: {', '.join(Settings.model_fields)}",
        ) from error


def _rows(path: Path) -> Iterator[tuple[str, dict[str, Any]]]:
    try:
        lines = path.read_text("utf-8").split("\n")  # other separators may stand within a text
    except UnicodeDecodeError as error:
        raise DataError("the file is not UTF-8", where=str(path), fix="save it as UTF-8") from error
    for number, line in enumerate(lines, 1):
        if line.strip():
            where = f"{path.name}:{number}"
            try:
                row = json.loads(line)
            except ValueError as error:
                raise DataError(f"no JSON: {error}", where=where, fix="write one JSON object a line") from error
            if not isinstance(row, dict):
                raise DataError("an item is a JSON object", where=where, fix='write {"question": ..., "answer": ...}')
            yield where, {"answer": row["text"], "question": "", **row} if "text" in row else row


def _kind_of(row: Mapping[str, Any]) -> Kind:
    return "choice" if "choices" in row else "likelihood"


def _shots(path: Path | None, settings: Settings, kind: Kind, items: Path) -> str:
    """The examples shown before each question."""
    if not settings.few_shot:
        return ""
    rows = list(_rows(path)) if path else []
    if len(rows) < settings.few_shot:
        raise DataError(
            f"{settings.few_shot} examples are to be shown, and there are {len(rows)}",
            where=str(items.with_name(SHOTS)),
            fix=f"write as many items there, or lower few_shot in {SETTINGS}",
        )
    shown = [_item(row, where, settings, kind, "") for where, row in rows[: settings.few_shot]]
    return "".join(f"{item.context}{settings.separator}{item.answers[0]}{BETWEEN_SHOTS}" for item in shown)


def _item(row: Mapping[str, Any], where: str, settings: Settings, kind: Kind, shots: str) -> Item:
    choices, answer = row.get("choices", []), row.get("answer")
    if kind == "choice":
        if not isinstance(choices, list) or len(choices) < 2 or not all(isinstance(c, str) and c for c in choices):
            raise DataError("an item needs two choices or more, all texts", where=where, fix='write "choices": [...]')
        place = choices.index(answer) if answer in choices else answer
        if isinstance(place, bool) or not isinstance(place, int) or not 0 <= place < len(choices):
            raise DataError(
                f"the answer {answer!r} is none of the choices",
                where=where,
                fix=f"write its number, 0 to {len(choices) - 1}, or its text",
            )
        answers: Sequence[Any] = [choices[place]]
    else:
        place, answers = 0, answer if isinstance(answer, list) else [answer]
        if not answers or not all(isinstance(one, str) and one for one in answers):
            raise DataError("an item has no answer", where=where, fix='write "answer": "...", or "text" for prose')

    def fill(found: re.Match[str]) -> str:
        if found[1] not in row:
            raise DataError(
                f"the template names {found[1]!r}, which the item lacks",
                where=where,
                fix=f"name one of: {', '.join(row)}",
            )
        return str(row[found[1]])

    context = shots + _PLACE.sub(fill, settings.template)
    return Item(where, context, tuple(choices) if kind == "choice" else (), place, tuple(answers))
