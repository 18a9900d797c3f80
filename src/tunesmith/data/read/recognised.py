"""What the columns of a source are taken for."""

from __future__ import annotations

from dataclasses import dataclass

from tunesmith.records import Shape


@dataclass(frozen=True)
class Recognised:
    """What the columns of a source are for."""

    shape: Shape
    columns: dict[str, str]
    """Role -> column; a column inside of objects is `outer.inner`."""
    why: str
    """`columns 'text' and 'label': texts with a label`."""
    sure: float = 1.0
    """From 0 to 1: how telling the names are, how many of the sampled rows fit, and how near the next reading comes."""
    others: tuple[Recognised, ...] = ()
    """Other readings that fit, the surest first."""

    def said(self) -> str:
        """The reading with its confidence, and the next one: what ledger and terminal show."""
        if self.sure == 1:
            return self.why
        other = f"; less likely {self.others[0].why} ({self.others[0].sure:.0%})" if self.others else ""
        return f"{self.why} ({self.sure:.0%} sure{other})"
