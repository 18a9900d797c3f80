"""From how a spec names a base model to a folder on this machine whose files are safe to open.

A reference is `bundled`, `run:NAME/N`, a folder, or a hub id; each becomes a folder, and everything
else reads that folder only. Files that can hold code (pickles, `auto_map`, hub kernels) are refused here.
"""

from __future__ import annotations

import hashlib
import json
import re
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tunesmith.errors import ModelError
from tunesmith.runs import file_digest, find_run

BUNDLED = Path(__file__).parent / "bundled"
CARD = "tunesmith.json"
"""What Tunesmith says of a model it saved."""
WEIGHTS = "model.safetensors"
INDEX = "model.safetensors.index.json"
ADAPTER_CONFIG = "adapter_config.json"
ADAPTER_WEIGHTS = "adapter_model.safetensors"
HEAD_WEIGHTS = "head.safetensors"

_HUB_ID = re.compile(r"[A-Za-z0-9][\w.-]*(/[A-Za-z0-9][\w.-]*)?")
_UNSAFE_SUFFIXES = (".bin", ".pt", ".pth", ".ckpt", ".pkl", ".pickle", ".msgpack", ".h5", ".gguf", ".onnx")
_HUB_TEXTS = ["*.json", "*.jinja", "*.model", "vocab.txt", "merges.txt", "README.md"]
_HUB_WEIGHTS = [WEIGHTS, "model-*.safetensors", ADAPTER_WEIGHTS, HEAD_WEIGHTS]


@dataclass(frozen=True)
class Place:
    """A reference found on this machine."""

    reference: str
    """How the spec names it."""
    folder: Path
    revision: str | None = None
    """The hub commit that was read."""

    @property
    def is_adapter(self) -> bool:
        """Whether the folder holds an adapter rather than whole weights."""
        return (self.folder / ADAPTER_CONFIG).exists()


def locate(reference: str, *, workspace: Path, revision: str | None = None, weights: bool = True) -> Place:
    """Finds the folder that `reference` names, fetching it from the hub where it is a hub id.

    Args:
        reference: `bundled`, `run:NAME/N`, a folder (absolute or relative to `workspace`) or a hub id.
        workspace: the folder that holds `runs/`.
        revision: a hub branch, tag or commit.
        weights: False fetches no weight files from the hub.

    Raises:
        ModelError: nothing of that name exists, or the hub cannot be reached.
        NotFound: no such run.
    """
    if reference == "bundled":
        return Place(reference, _existing(BUNDLED, reference, "reinstall tunesmith: its bundled model is missing"))
    if reference.startswith("run:"):
        run = find_run(workspace / "runs", reference)
        fix = f"finish it first: run `tunesmith run` on {run.name!r} again"
        return Place(f"run:{run}", _existing(run / "model", reference, fix))
    folder = (workspace / Path(reference).expanduser()).resolve()
    if folder.is_dir():
        return Place(reference, folder)
    if folder.exists():
        raise ModelError("this is a file, not a model folder", where=str(folder), fix="name the folder that holds it")
    if reference.startswith((".", "/", "~")) or not _HUB_ID.fullmatch(reference):
        raise ModelError(
            f"no model folder {reference!r}",
            where=str(folder),
            fix="write `bundled`, an existing folder, a hub id such as owner/name, or run:NAME/N",
        )
    return _fetch(reference, revision, weights)


def _existing(folder: Path, reference: str, fix: str) -> Path:
    if not folder.is_dir() or not any(folder.glob("*.json")):
        raise ModelError(f"{reference!r} holds no model", where=str(folder), fix=fix)
    return folder


def _fetch(reference: str, revision: str | None, weights: bool) -> Place:
    from huggingface_hub import snapshot_download
    from huggingface_hub.errors import HFValidationError, LocalEntryNotFoundError
    from huggingface_hub.errors import HTTPError as TransportError  # type: ignore[attr-defined]  # whichever client it uses

    patterns = _HUB_TEXTS + (_HUB_WEIGHTS if weights else [])
    try:
        folder = Path(snapshot_download(reference, revision=revision, allow_patterns=patterns))
    except LocalEntryNotFoundError as error:
        raise ModelError(
            f"the hub cannot be reached and {reference!r} is not in this machine's cache",
            where=f"base {reference!r}",
            fix="go online once, or write the path of a folder that holds the model",
        ) from error
    except (TransportError, OSError, HFValidationError) as error:
        what = str(error).strip().splitlines()[0] if str(error).strip() else type(error).__name__
        raise ModelError(
            f"the hub does not give {reference!r}: {what}",
            where=f"base {reference!r}",
            fix="check the id and revision, log in with `hf auth login` if it is private, or name a local folder",
        ) from error
    return Place(reference, folder, folder.name)


def read_json_file(path: Path, what: str) -> dict[str, Any]:
    """Reads a JSON object that others wrote.

    Raises:
        ModelError: the file is missing, not JSON, or not an object.
    """
    try:
        value = json.loads(path.read_text("utf-8"))
    except FileNotFoundError:
        raise ModelError(
            f"the model has no {path.name}", where=str(path.parent), fix=f"name a folder that holds {what}"
        ) from None
    except (ValueError, OSError, RecursionError) as error:
        raise ModelError(
            f"{path.name} cannot be read: {error}", where=str(path), fix="fetch the file again; it is damaged"
        ) from error
    if not isinstance(value, dict):
        raise ModelError(f"{path.name} is not a JSON object", where=str(path), fix=f"name a folder that holds {what}")
    return value


def refuse_code(value: Any, where: Path) -> None:
    """Refuses settings that would make a library fetch or run code, at any depth.

    Raises:
        ModelError: `auto_map`, `trust_remote_code` or an attention kernel from the hub is asked for.
    """
    if isinstance(value, list):
        for item in value:
            refuse_code(item, where)
    if not isinstance(value, dict):
        return
    for key, setting in value.items():
        kernel = key.endswith(("_implementation", "_implementation_internal"))
        if (key in ("auto_map", "custom_pipelines", "trust_remote_code") and setting) or (
            kernel and isinstance(setting, str) and "/" in setting
        ):
            raise ModelError(
                f"the model asks for code of its own ({key})",
                where=str(where),
                fix="use a model whose architecture transformers has itself; Tunesmith never runs code from a model",
            )
        refuse_code(setting, where)


def weight_files(folder: Path) -> list[Path]:
    """The safetensors files that hold a model's or adapter's weights, in the order of their names.

    Raises:
        ModelError: there are none; where only formats that can run code are found, how to convert them.
    """
    if (folder / ADAPTER_CONFIG).exists():
        names = {ADAPTER_WEIGHTS}
    elif (folder / INDEX).exists():
        names = set(map(str, read_json_file(folder / INDEX, "a model").get("weight_map", {}).values()))
    else:
        names = {WEIGHTS}
    missing = sorted(name for name in names if Path(name).name != name or not (folder / name).is_file())
    if not names or missing:
        raise _no_weights(folder, missing)
    return sorted(folder / name for name in names)


def _no_weights(folder: Path, missing: list[str]) -> ModelError:
    unsafe = sorted(path.name for path in folder.glob("*") if path.suffix in _UNSAFE_SUFFIXES)
    if unsafe:
        return ModelError(
            f"the model has no safetensors weights, only {unsafe[0]}, a format Tunesmith does not open",
            where=str(folder),
            fix="if you trust its maker, convert it once: AutoModel.from_pretrained(FOLDER).save_pretrained(NEW)",
        )
    return ModelError(
        f"the model has no weights ({', '.join(missing[:3]) or 'its index is empty'} not found)",
        where=str(folder),
        fix="fetch the folder again, or write `initialize: random` to start from fresh weights",
    )


def has_weights(folder: Path) -> bool:
    """Whether `folder` holds safetensors that `weight_files` would list."""
    return any((folder / name).exists() for name in (WEIGHTS, INDEX, ADAPTER_WEIGHTS))


def weights_digest(folder: Path, base: str = "") -> str:
    """The sha256 that names a model: over the names and contents of its weight files, our head's included.

    Args:
        folder: holds the files.
        base: the digest of an adapter's base; empty for whole weights.
    """
    files = [*weight_files(folder), *(path for path in [folder / HEAD_WEIGHTS] if path.exists())]
    lines = base + "".join(f"{path.name} {file_digest(path)}\n" for path in files)
    return hashlib.sha256(lines.encode()).hexdigest()
