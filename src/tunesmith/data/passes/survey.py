"""What kinds of rows there are: shapes, labels, columns."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import NamedTuple

from tunesmith.records import Record, Shape


class RecordFacts(NamedTuple):
    """What of a record is counted."""

    shape: Shape
    own: tuple[str, ...]
    """Labels of the whole."""
    spans: tuple[str, ...]
    """Labels of its stretches."""
    columns: tuple[str, ...]

    @property
    def labels(self) -> tuple[str, ...]:
        """Those of the whole, else those of its stretches."""
        return self.own or self.spans


def facts_of(record: Record) -> RecordFacts:
    """What of a record is counted."""
    spans = tuple(span.label for span in record.spans or ())
    return RecordFacts(record.shape, record.labels, spans, tuple(record.slices))


@dataclass
class Survey:
    """What kinds of rows there are."""

    labels: Counter[str] = field(default_factory=Counter)
    """Rows by label; stretches by label where rows have none."""
    shapes: Counter[Shape] = field(default_factory=Counter)
    columns: set[str] = field(default_factory=set)
    """What rows keep as slices."""
    several: bool = False
    """Whether a row has more than one label."""
    _own: set[str] = field(default_factory=set)
    _spans: set[str] = field(default_factory=set)

    def add(self, facts: RecordFacts) -> None:
        """Counts a record."""
        self.labels.update(facts.labels)
        self.shapes[facts.shape] += 1
        self.columns.update(facts.columns)
        self.several = self.several or len(facts.own) > 1
        self._own.update(facts.own)
        self._spans.update(facts.spans)

    def join(self, other: Survey) -> None:
        """Adds what another has counted."""
        self.labels += other.labels
        self.shapes += other.shapes
        self.columns |= other.columns
        self.several = self.several or other.several
        self._own |= other._own
        self._spans |= other._spans

    @property
    def shape(self) -> Shape:
        """The shape of most rows."""
        return self.shapes.most_common(1)[0][0]

    @property
    def own_labels(self) -> tuple[str, ...]:
        """Labels of whole rows, numbers in their order, else by the alphabet."""
        return _sorted(self._own)

    @property
    def span_labels(self) -> tuple[str, ...]:
        """Labels of stretches of the rows."""
        return _sorted(self._spans)


def _sorted(labels: Iterable[str]) -> tuple[str, ...]:
    found = set(labels)
    try:
        return tuple(sorted(found, key=lambda label: (float(label), label)))
    except ValueError:
        return tuple(sorted(found))
