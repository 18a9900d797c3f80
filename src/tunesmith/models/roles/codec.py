"""How texts become tokens, as far as models in a role need it.

`data.encode.tokenize.Codec` is one. It stands beside `models` and so is handed in, by whoever opens models.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Protocol

from tunesmith.models.families import Family
from tunesmith.records import Record, Span


class Codec(Protocol):
    """A tokenizer with what a model's family and task put around texts."""

    @property
    def stop_ids(self) -> tuple[int, ...]: ...

    @property
    def tag_names(self) -> tuple[str, ...]: ...

    def prompt_ids(self, record: Record, room: int = 0) -> list[int]: ...

    def encode_many(self, records: Sequence[Record]) -> Any: ...

    def spans_of(self, record: Record, tag_ids: Sequence[int]) -> tuple[Span, ...]: ...


class MakeCodec(Protocol):
    """Makes a codec: the class `data.encode.tokenize.Codec`."""

    def __call__(
        self,
        tokenizer: Any,
        *,
        need: Any,
        family: Family,
        max_length: int,
        too_long: str,
        labels: Sequence[str] = (),
        multi_label: bool = False,
    ) -> Codec: ...
