"""Checkpoints: whole or not there, verified when read, and never the only copy while being replaced.

    checkpoints/
        step-00000120/   tensors.safetensors  state.json  manifest.json (sha256 of both, written last)
        step-00000240/   the newest two are kept
        best-00000120/   weights.safetensors  manifest.json: the weights with the best validation figure

A folder that does not match its manifest is passed over, aloud, for the one before.
"""

from __future__ import annotations

import json
import shutil
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from safetensors import SafetensorError
from safetensors.torch import load_file, save_file
from torch import Tensor

from tunesmith.errors import GateFailed, RunError
from tunesmith.runs import UNFINISHED, file_digest, read_json, whole_folder, write_json

KEEP = 2
"""Checkpoints kept beside the best weights; more than one, so that a damaged one can be passed over."""
FORMAT = 1
"""Raised when a newer Tunesmith writes what an older cannot read."""


@dataclass(frozen=True)
class Saved:
    """What a checkpoint holds.

    Args:
        tensors: by name.
        state: plain JSON values.
    """

    tensors: Mapping[str, Tensor]
    state: Mapping[str, Any]

    def part(self, prefix: str) -> dict[str, Tensor]:
        """The tensors whose names begin with `prefix/`, without it."""
        return {
            name.removeprefix(prefix + "/"): tensor
            for name, tensor in self.tensors.items()
            if name.startswith(prefix + "/")
        }


class Checkpoints:
    """The checkpoints of one training.

    Args:
        folder: where they are; made when first saved to.
        save_every: seconds after which `due` is True again.
        warn: told of damaged checkpoints.
    """

    def __init__(
        self, folder: Path, *, save_every: float = 120.0, warn: Callable[[str], None] = lambda message: None
    ) -> None:
        self.folder = folder
        self.save_every = save_every
        self.warn = warn
        self._saved_at = time.monotonic()

    @property
    def due(self) -> bool:
        """Whether `save_every` seconds have passed since the last save."""
        return time.monotonic() - self._saved_at >= self.save_every

    def save(self, step: int, saved: Saved, *, best: int | None) -> None:
        """Writes a checkpoint, then removes what it replaces.

        Args:
            step: optimizer steps done.
            saved: what to keep.
            best: the step whose best weights must stay; of older checkpoints they stay too.

        Raises:
            RunError: the disk refuses; earlier checkpoints stand.
        """
        state = {"format": FORMAT, "step": step, "best_step": best, "tensors": sorted(saved.tensors), **saved.state}
        self._write(f"step-{step:08d}", {"tensors.safetensors": saved.tensors}, {"state.json": state})
        self._prune(step)
        self._saved_at = time.monotonic()

    def save_best(self, step: int, weights: Mapping[str, Tensor]) -> None:
        """Writes the best weights so far; older best weights stay until the next `save`."""
        self._write(f"best-{step:08d}", {"weights.safetensors": weights}, {})

    def latest(self) -> Saved | None:
        """The newest checkpoint that is whole; None where there is none.

        Raises:
            GateFailed: it was written by a newer Tunesmith.
        """
        for leftover in self.folder.glob(f"*{UNFINISHED}"):
            shutil.rmtree(leftover)
        folders = self._steps()
        while folders:
            folder = folders.pop()
            reason = _damage(folder)
            if reason is None:
                return self._read(folder)
            instead = "going on from the one before" if folders else "training starts from the beginning"
            self.warn(f"checkpoint {folder.name} is damaged ({reason}); {instead}")
        return None

    def best(self, step: int) -> dict[str, Tensor] | None:
        """The best weights, saved at `step`; None, aloud, when they are damaged."""
        folder = self.folder / f"best-{step:08d}"
        reason = _damage(folder)
        if reason is not None:
            self.warn(f"the best weights, {folder.name}, are damaged ({reason}); the last weights are kept instead")
            return None
        return load_file(folder / "weights.safetensors")

    def _steps(self) -> list[Path]:
        return sorted(path for path in self.folder.glob("step-*") if not path.name.endswith(UNFINISHED))

    def _read(self, folder: Path) -> Saved:
        state = read_json(folder / "state.json")
        if state.get("format") != FORMAT:
            raise GateFailed(
                f"checkpoint {folder.name} has format {state.get('format')!r}; this Tunesmith reads {FORMAT}",
                where=str(folder),
                fix="go on with the Tunesmith that wrote it, or delete the folder to train from the beginning",
            )
        return Saved(load_file(folder / "tensors.safetensors"), state)

    def _write(
        self, name: str, tensors: Mapping[str, Mapping[str, Tensor]], values: Mapping[str, Mapping[str, Any]]
    ) -> None:
        try:
            with whole_folder(self.folder / name) as folder:
                for file, named in tensors.items():
                    save_file({key: tensor.detach().contiguous() for key, tensor in named.items()}, folder / file)
                for file, value in values.items():
                    write_json(folder / file, value)
                digests = {file: file_digest(folder / file) for file in (*tensors, *values)}
                write_json(folder / "manifest.json", digests)
        except (OSError, SafetensorError) as error:
            raise RunError(
                f"the checkpoint could not be written: {error}",
                where=str(self.folder / name),
                fix="make room or mend the disk and give the same command again; earlier checkpoints stand",
            ) from error

    def _prune(self, newest: int) -> None:
        steps = self._steps()
        # Folders above the newest step are damaged: `latest` passed over them.
        kept = [folder for folder in steps if int(folder.name[5:]) <= newest][-KEEP:]
        try:
            best = {read_json(folder / "state.json")["best_step"] for folder in kept}
        except (OSError, ValueError, KeyError, TypeError):  # which best weights are needed is not known: all stay
            bests = []
        else:
            bests = [folder for folder in self.folder.glob("best-*") if int(folder.name[5:13]) not in best]
        for folder in [*(folder for folder in steps if folder not in kept), *bests]:
            try:
                shutil.rmtree(folder)
            except OSError as error:  # the new one stands, and the next save tries again
                self.warn(f"{folder.name}, which is needed no longer, could not be removed: {error}")


def _damage(folder: Path) -> str | None:
    """Why a checkpoint cannot be used; None when every file is as its manifest says."""
    try:
        digests = read_json(folder / "manifest.json")
        for name, digest in digests.items():
            if file_digest(folder / name) != digest:
                return f"{name} has changed"
    except FileNotFoundError as error:
        return f"{Path(error.filename).name} is missing"
    except (OSError, json.JSONDecodeError, UnicodeDecodeError, AttributeError) as error:
        return f"it cannot be read: {error}"
    return None
