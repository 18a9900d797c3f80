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
from contextlib import contextmanager, suppress
from itertools import accumulate, pairwise
from pathlib import Path
from typing import TYPE_CHECKING

import torch
from safetensors import SafetensorError
from safetensors.torch import load_file, save_file
from torch import Tensor

from tunesmith.errors import ModelError, OutOfMemory
from tunesmith.models.layers.depth import num_frozen
from tunesmith.models.layers.trunk import Rows, Trunk, bears, why_not

if TYPE_CHECKING:
    from tunesmith.models.model import Model
    from tunesmith.spec.sections import Train

SETS = 4
"""Sets of states that are laid out for other processes at a time: studies that vary the batch make one for each."""


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

    @property
    def num_kept(self) -> int:
        """Tokens whose states are known."""
        return self._filled

    def write(self, path: Path) -> None:
        """Writes all that is known; the file is there whole or not at all.

        Raises:
            OSError: there is no room for it.
        """
        assert self._states is not None, "something is known"
        said = {
            "names": torch.frombuffer(bytearray(b"".join(self._places)), dtype=torch.uint8),
            "lengths_B": torch.tensor([place.stop - place.start for place in self._places.values()]),
            "states_ND": self._states[: self._filled],
        }
        path.parent.mkdir(parents=True, exist_ok=True)
        made = path.with_name(f".{path.name}.{os.getpid()}")
        try:
            save_file(said, made)
            made.replace(path)
        finally:
            made.unlink(missing_ok=True)

    def read(self, path: Path) -> None:
        """Takes in what another process wrote of the same rows."""
        said = load_file(path)
        names, lengths = said["names"].numpy().tobytes(), said["lengths_B"].tolist()
        ends = [end * len(names) // sum(lengths) for end in accumulate(lengths, initial=0)]
        self._put([names[a:b] for a, b in pairwise(ends)], lengths, said["states_ND"])

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
    same layers read the same rows in the same batches, and so said the same, bit for bit.

    Args:
        folder: where it is laid for other processes, and for those after this one; None to keep it to this process.
    """

    def __init__(self, folder: Path | None = None) -> None:
        self._folder = folder
        self._print = ""
        self._kept: dict[str, Kept] = {}

    def kept(self, print_: str, name: str, trunk: Trunk | None, num_tokens: int, folder: Path | None) -> Kept:
        """The states of one set of rows, for a model that was opened anew.

        Args:
            print_: equal where all is equal that decides what the layers say; of others nothing stays in memory.
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
            laid = self._laid(name)
            if laid is not None:
                with suppress(FileNotFoundError):  # another process took it away for newer ones
                    self._kept[name].read(laid)
        return self._kept[name]

    def lay_out(self) -> str:
        """Lays what this process keeps where others find it, unless as much lies there; the newest `SETS` stay.

        Returns:
            Why that could not be; empty where it could.
        """
        if self._folder is None:
            return ""
        for name, kept in self._kept.items():
            laid = self._laid(name)
            if kept.num_kept <= (_tokens(laid) if laid else 0):
                continue
            try:
                kept.write(self._folder / f"{self._print}-{name}-{kept.num_kept}.safetensors")
            except (OSError, SafetensorError) as error:
                return f"what frozen layers say is not shared between processes: {error}"
        with suppress(FileNotFoundError):  # another process does the same
            for old in sorted(self._files("*.safetensors"), key=lambda path: path.stat().st_mtime)[: -2 * SETS]:
                old.unlink()
        return ""

    def _laid(self, name: str) -> Path | None:
        """The file that holds most of these rows' states."""
        found = self._files(f"{self._print}-{name}-*.safetensors")
        return max(found, key=_tokens, default=None)

    def _files(self, pattern: str) -> list[Path]:
        return [] if self._folder is None else [*self._folder.glob(pattern)]


def _tokens(laid: Path) -> int:
    """How many tokens' states a file holds, as its name says."""
    return int(laid.stem.rpartition("-")[2])


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
