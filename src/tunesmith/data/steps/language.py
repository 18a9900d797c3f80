"""Drops rows in other languages."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Sequence

import numpy as np
import numpy.typing as npt
from pydantic import Field

from tunesmith.data.methods.quality.said import judged
from tunesmith.data.room import Room
from tunesmith.data.steps._bounded import Bound, BoundedStep, gathered
from tunesmith.errors import UserError, did_you_mean
from tunesmith.records import Record

_TOO_SHORT = "too short to tell"


class Language(BoundedStep):
    """Leaves out rows in languages other than those wanted, where it is sure. Rows too short to tell are kept and
    counted; so are rows without language, such as numbers and code.

    The detector is py3langid: 139 languages, offline, trained on texts longer than a word. All turns of a chat are
    taken together; code blocks, links and addresses are not looked at.
    """

    keep: tuple[str, ...] = Field(default=("en",), min_length=1)
    """Codes of the languages to keep, `[en, de]`."""
    confidence: float = Field(default=0.98, ge=0, le=1)
    """Drop a row when it is in none of these languages with this probability."""
    min_letters: int = Field(default=20, ge=1)
    """Rows with fewer letters are kept."""

    def bounds(self, values_NK: npt.NDArray[np.float64]) -> tuple[Bound, ...]:
        what = f"probability of {' or '.join(self.keep)}"
        return (Bound(what, low=1 - self.confidence, below="another language"),)

    def measure(self, records: Sequence[Record], room: Room) -> npt.NDArray[np.float64]:
        self._refuse_unknown()
        counts: Counter[str] = Counter()
        found = gathered(self._counted(room.look(self._look, records), counts), len(records), 1)
        room.figure("languages", dict(counts.most_common()))
        if counts[_TOO_SHORT]:
            room.note(f"{counts[_TOO_SHORT]} rows are too short to tell their language, and are kept")
        return found

    def _counted(self, looks: Iterator[tuple[str, float]], counts: Counter[str]) -> Iterator[tuple[float]]:
        for name, probability in looks:
            counts[name] += 1
            yield (probability,)

    def _look(self, record: Record) -> tuple[str, float]:
        """The language of a record, and how likely it is one to keep."""
        # The detector takes half a second to open, and other steps do not need it.
        from tunesmith.data.methods.quality.language import NO_LANGUAGE, detect, letters

        said = "\n".join(judged(record))
        if letters(said) < self.min_letters:
            return _TOO_SHORT, np.nan
        return detect(said, {*self.keep, NO_LANGUAGE})

    def _refuse_unknown(self) -> None:
        from tunesmith.data.methods.quality.language import languages

        known = languages()
        for name in self.keep:
            if name not in known:
                raise UserError(
                    f"no language {name!r}{did_you_mean(name, known)}",
                    where="data.steps",
                    fix=f"name some of: {', '.join(known)}",
                )
