"""Adapters made into one folder: a whole model, or one adapter of several."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from tunesmith.errors import GateFailed, UserError
from tunesmith.runs import write_json

Form = Literal["model", "adapter"]


@dataclass(frozen=True)
class Merged:
    """What a merge wrote."""

    folder: Path
    digest: str
    """sha256 that names the new weights."""
    notes: tuple[str, ...]
    """What was lost or decided, in words."""

    def to_json(self) -> dict[str, Any]:
        """Plain JSON values."""
        return {"folder": str(self.folder), "digest": self.digest, "notes": list(self.notes)}


def merge(
    references: Sequence[str],
    into: Path,
    *,
    method: Literal["linear", "ties", "dare"] = "linear",
    weights: Sequence[float] = (),
    density: float | None = None,
    form: Form = "model",
    seed: int = 0,
    workspace: Path = Path(),
) -> Merged:
    """Folds one adapter into its base, or makes one of several on the same base.

    Args:
        references: the adapters: folders, hub ids or `run:NAME/N`.
        into: the folder to write; it must not exist.
        method: `linear`, `ties` or `dare`, where there are several.
        weights: one for each adapter; empty takes their mean.
        density: the share of each adapter that `ties` and `dare` keep; 0.5 when left out.
        form: a whole `model`, or one `adapter` on the same base.
        seed: draws what `dare` keeps.
        workspace: the folder that holds `runs/`.

    Raises:
        UserError: a setting would not be read, or the adapters cannot be merged.
    """
    _refuse(references, into, method, weights, density, form)
    from tunesmith.models.combine import Rule, combine, merge_one
    from tunesmith.models.references import locate, weights_digest
    from tunesmith.models.save import read_card

    several = len(references) > 1
    rule = Rule(method, tuple(weights), 0.5 if density is None else density, seed)
    if several:
        model = combine(references, rule, workspace=workspace, whole=form == "model")
    else:
        model = merge_one(references[0], workspace=workspace)
    places = [locate(reference, workspace=workspace).folder for reference in references]
    facts = [read_card(place).get("facts", {}) for place in places]
    # How the model is to be asked, where all that went in agree on it.
    agreed = {key: value for key, value in facts[0].items() if all(other.get(key) == value for other in facts)}
    model.save(into, **agreed)
    base = model.origin.digest
    digest = weights_digest(into, base if form == "adapter" else "")
    write_json(
        into / "lineage.json",
        {
            "made_by": "merge",
            "form": form,
            "method": method if several else None,
            "weights": rule.factors(len(references)) if several else None,
            "density": rule.density if several and method != "linear" else None,
            "seed": seed if several and method == "dare" else None,
            "base": {"reference": model.origin.reference, "revision": model.origin.revision, "digest": base},
            "adapters": [
                {"reference": reference, "digest": weights_digest(place, base)}
                for reference, place in zip(references, places, strict=True)
            ],
            "notes": model.notes,
            "model_digest": digest,
        },
    )
    return Merged(into, digest, tuple(model.notes))


def _refuse(
    references: Sequence[str],
    into: Path,
    method: str,
    weights: Sequence[float],
    density: float | None,
    form: str,
) -> None:
    """Refuses what would not be read, and what would be written over."""
    if into.exists():
        raise GateFailed(f"{into} exists already", fix="name another folder, or delete it first")
    several = len(references) > 1
    wrong = None
    if not references:
        wrong = "no adapter is named"
    elif not several and (weights or density is not None or method != "linear" or form == "adapter"):
        wrong = "method, weights, density and adapter are for several adapters, and one is named"
    elif weights and len(weights) != len(references):
        wrong = f"{len(weights)} weights are given for {len(references)} adapters"
    elif density is not None and method == "linear":
        wrong = "a linear merge keeps everything and reads no density"
    elif density is not None and not 0 < density < 1:
        wrong = f"a density of {density:g} is not between 0 and 1"
    if wrong:
        raise UserError(wrong, where="merge", fix="see `tunesmith merge --help`")
