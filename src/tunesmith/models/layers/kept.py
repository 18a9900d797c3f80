"""What the frozen trunk said of each row, kept in memory or on the disk for the epochs to come.

A row is known by its tokens, so equal rows are kept once. What is kept is what was computed, in its own
precision. Which rows a row was first computed with decides how its last bit is rounded; that is a function
of the order of learning, and so a training that is resumed computes the same again.

Tensors: N tokens of all rows, B rows, T tokens of the longest row, D hidden width.
"""

from __future__ import annotations

import os
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

import torch
from torch import Tensor

from tunesmith.errors import ModelError, OutOfMemory
from tunesmith.models.layers.depth import num_frozen
from tunesmith.models.layers.trunk import Rows, Trunk, bears, why_not

if TYPE_CHECKING:
    from tunesmith.models.model import Model
    from tunesmith.spec.sections import Train


class Kept:
    """The states of one set of rows.

    Args:
        trunk: what says them; None where nothing is kept, and all is computed as ever.
        num_tokens: of all rows there will be, at most.
        folder: where a file for them may lie; None to keep them in memory.
    """

    def __init__(self, trunk: Trunk | None, num_tokens: int = 0, folder: Path | None = None) -> None:
        self.trunk, self.num_tokens, self.folder = trunk, num_tokens, folder
        self._places: dict[bytes, slice] = {}
        self._filled = 0
        self._states: Tensor | None = None

    @contextmanager
    def reading(self, tensors: Mapping[str, Tensor]) -> Iterator[None]:
        """Spares the trunk where all rows of a batch are known; keeps what it says where one is not.

        Args:
            tensors: a batch's: `ids_N` and `lengths_B`, or `ids_BT` and `mask_BT`.
        """
        if self.trunk is None:
            yield
            return
        rows = _rows(tensors)
        names = _names(rows)
        if all(name in self._places for name in names):
            with self.trunk.told(rows, self._get(names).to(rows.ids_N.device)):
                yield
        else:
            with self.trunk.heard(rows, lambda states_ND: self._put(names, rows.lengths, states_ND)):
                yield

    def belong_to(self, trunk: Trunk) -> None:
        """From now on the states are those of the same layers of another model."""
        assert self.trunk is not None
        trunk.answers = self.trunk.answers
        self.trunk = trunk

    def knows(self, tensors: Mapping[str, Tensor]) -> bool:
        """Whether all rows of a batch are known."""
        return all(name in self._places for name in _names(_rows(tensors)))

    def _get(self, names: Sequence[bytes]) -> Tensor:
        assert self._states is not None, "what has a place is kept"
        return torch.cat([self._states[self._places[name]] for name in names])

    def _put(self, names: Sequence[bytes], lengths: Sequence[int], states_ND: Tensor) -> None:
        if self._states is None:
            self._states = self._room(states_ND.shape[1], states_ND.dtype)
        for name, row_TD in zip(names, torch.split(states_ND, list(lengths)), strict=True):
            if name not in self._places:
                place = slice(self._filled, self._filled + len(row_TD))
                self._states[place] = row_TD
                self._places[name] = place
                self._filled = place.stop

    def _room(self, width: int, dtype: torch.dtype) -> Tensor:
        if self.folder is None:
            return torch.empty(self.num_tokens, width, dtype=dtype)
        size = self.num_tokens * width * dtype.itemsize
        self.folder.mkdir(parents=True, exist_ok=True)
        # The file loses its name once it is mapped, so it is gone with the process, however that ends.
        with tempfile.NamedTemporaryFile(dir=self.folder, prefix="trunk-") as file:
            try:
                if hasattr(os, "posix_fallocate"):  # a full disk is noticed here, and not when it is written
                    os.posix_fallocate(file.fileno(), 0, size)
            except OSError as error:
                raise OutOfMemory(
                    f"there is no room for a file of {size / 1e9:.2f} GB ({error.strerror})",
                    where=str(self.folder),
                    fix="make room, or write `freeze: {cache: off}`",
                ) from error
            flat = torch.from_file(file.name, shared=True, size=self.num_tokens * width, dtype=dtype)
        return flat.view(self.num_tokens, width)


class Keeper:
    """Keeps what frozen layers say for trainings one after the other: each finds what those before it kept, where the
    same layers read the same rows in the same batches, and so said the same, bit for bit."""

    def __init__(self) -> None:
        self._print = ""
        self._kept: dict[str, Kept] = {}

    def kept(self, print_: str, name: str, trunk: Trunk | None, num_tokens: int, folder: Path | None) -> Kept:
        """The states of one set of rows, for a model that was opened anew.

        Args:
            print_: equal where all is equal that decides what the layers say; of others nothing stays.
            name: of the rows.
            trunk, num_tokens, folder: as `Kept` takes them.
        """
        if trunk is None:
            return Kept(None)
        if print_ != self._print:
            self._print, self._kept = print_, {}
        if name in self._kept:
            self._kept[name].belong_to(trunk)
        else:
            self._kept[name] = Kept(trunk, num_tokens, folder)
        return self._kept[name]


def kept_trunk(model: Model, train: Train) -> Trunk | None:
    """The trunk whose states `freeze.cache` asks to keep; None where it asks for nothing, or is not yet decided.

    Args:
        model: what is frozen is; its dropout is that of the training.
        train: the stage.

    Raises:
        ModelError: what is asked for cannot be.
    """
    if train.freeze is None or train.freeze.cache not in ("memory", "disk"):
        return None
    depth = num_frozen(model)
    reason = why_not(model, depth, train.regularize) or (None if bears(model, depth) else refusal(model))
    if reason is not None:
        raise ModelError(
            f"the frozen layers cannot be computed once and kept: {reason}",
            where="train.freeze.cache",
            fix="write `cache: auto`, which keeps them where that can be, or `off`",
        )
    return Trunk(model, depth)


def refusal(model: Model) -> str:
    """What is said of an architecture that does not bear it."""
    return f"{model.inner.config.model_type} models do not say the same when their lowest layers are not computed"


def _rows(tensors: Mapping[str, Tensor]) -> Rows:
    if "ids_N" in tensors:
        return Rows(tensors["ids_N"], tensors["lengths_B"].tolist())
    mask_BT = tensors["mask_BT"].bool()
    return Rows(tensors["ids_BT"][mask_BT], mask_BT.sum(dim=1).tolist())


def _names(rows: Rows) -> list[bytes]:
    return [row.numpy().tobytes() for row in torch.split(rows.ids_N.cpu(), list(rows.lengths))]
