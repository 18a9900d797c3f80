"""The group that a text is about, by the terms of identity in it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import lru_cache
from pathlib import Path

from tunesmith.data.methods.identity.terms import Key, Terms, key_of
from tunesmith.errors import DataError
from tunesmith.spec.document import read_document

BUNDLED = Path(__file__).parent / "groups.yaml"
SEVERAL = "(several)"
"""The group of a text that names more than one."""


class Groups:
    """The groups of one kind.

    Args:
        terms: group -> its terms.

    Raises:
        ValueError: a term stands for two groups.
    """

    def __init__(self, terms: Mapping[str, Sequence[str]]) -> None:
        self._group: dict[Key, str] = {}
        for group, named in terms.items():
            for term in named:
                if self._group.setdefault(key_of(term), group) != group:
                    raise ValueError(f"{term.rstrip('*')!r} stands for {self._group[key_of(term)]!r} and {group!r}")
        self._terms = Terms(term for named in terms.values() for term in named)

    def group_of(self, text: str) -> str | None:
        """The one group that a text names, `SEVERAL`, or None where it names nobody."""
        named = {self._group[key] for key in self._terms.found(text)}
        return SEVERAL if len(named) > 1 else next(iter(named), None)


@lru_cache(maxsize=16)
def open_groups(path: Path = BUNDLED) -> dict[str, Groups]:
    """The groups of each kind in a file, `gender: {female: [she, woman], male: [he, man]}`.

    Raises:
        DataError: it cannot be read, or is no such file.
    """
    fix = "write kinds with groups and their terms, `gender: {female: [she, woman], male: [he, man]}`"
    try:
        document = read_document(path.read_text("utf-8"))
    except (OSError, UnicodeDecodeError) as error:
        raise DataError(f"the terms cannot be read: {error}", where=str(path), fix="name a YAML file") from error
    if document.faults:
        fault = document.faults[0]
        raise DataError(f"line {fault.line}: {fault.what}", where=str(path), fix=fix)
    tree = document.tree
    if not isinstance(tree, dict) or not tree or not all(map(_is_groups, tree.values())):
        raise DataError("these are no groups with terms", where=str(path), fix=fix)
    try:
        return {str(kind): Groups(groups) for kind, groups in tree.items()}
    except ValueError as error:
        raise DataError(str(error), where=str(path), fix="leave it in one of them") from error


def _is_groups(value: object) -> bool:
    return (
        isinstance(value, dict)
        and len(value) > 1
        and all(
            isinstance(group, str) and isinstance(terms, list) and terms and all(map(_is_term, terms))
            for group, terms in value.items()
        )
    )


def _is_term(value: object) -> bool:
    return isinstance(value, str) and bool(key_of(value))
