"""Sequence classification: one label a row, or several.

Shapes: N tokens of all rows, B rows, D hidden width, C classes, G groups.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Literal, Self

import torch
from pydantic import Field, PrivateAttr, model_validator
from torch import Tensor
from torch.nn.functional import binary_cross_entropy_with_logits, cross_entropy

from tunesmith.errors import UserError
from tunesmith.metrics._parity import MISSING
from tunesmith.models.heads import pool
from tunesmith.models.packing.rows import hidden_of_rows
from tunesmith.train.collate import layout_of, read
from tunesmith.train.objectives import Batch, Loss, Objective
from tunesmith.train.objectives._adversary import Adversary
from tunesmith.train.objectives._groups_apart import Aim, groups_apart

if TYPE_CHECKING:
    from tunesmith.data.encode.tokenize import Example
    from tunesmith.models.load import Model
    from tunesmith.records import Record

WEIGHTS = {"penalty": 5.0, "adversary": 1.0}
"""What `fair_weight` is when it is left out."""


class Classify(Objective):
    """Learn which label, or which of several, a text has."""

    need = "label"
    head = "classify"

    label_smoothing: float = Field(default=0.0, ge=0, lt=1)
    """Share of each target spread evenly over all classes (several labels: drawn towards one half)."""
    fair_by: str | None = None
    """A column of groups of people who are to fare alike; the loss then grows with how far they are apart."""
    fair_aim: Aim = "equalized_odds"
    """In what: the probability of each label among rows that have it and those that do not, or `demographic_parity`:
    among all rows."""
    fair_how: Literal["penalty", "adversary"] = "penalty"
    """`penalty` adds how far groups are apart; an `adversary` guesses the group, and its gradient is reversed."""
    fair_weight: float | None = Field(default=None, gt=0)
    """What the squared difference between groups, or the reversed gradient, counts beside the loss of the rows; 5, or 1
    for an adversary, when left out."""
    _groups: dict[str, int] | None = PrivateAttr(None)
    """Id of a row -> number of its group."""

    @model_validator(mode="after")
    def _fair_to_somebody(self) -> Self:
        usual = {"fair_aim": "equalized_odds", "fair_how": "penalty", "fair_weight": None}
        named = [name for name, value in usual.items() if getattr(self, name) != value]
        if self.fair_by is None and named:
            raise ValueError(f"{named[0]} needs groups; name their column in `fair_by`")
        return self

    def columns(self) -> tuple[str, ...]:
        return () if self.fair_by is None else (self.fair_by,)

    def told(self, records: Sequence[Record]) -> Classify:
        if self.fair_by is None:
            return self
        named = {record.id: record.slices.get(self.fair_by) for record in records}
        numbers: dict[str, int] = {}
        found = {
            name: numbers.setdefault(group, len(numbers))
            for name, group in named.items()
            if group is not None and group not in MISSING
        }
        if len(numbers) < 2:
            raise UserError(
                f"the rows to train on name {'no group' if not numbers else 'one group alone'} in {self.fair_by!r}",
                where="train.objective.fair_by",
                fix="name a column with two groups or more",
            )
        told = self.model_copy()
        told._groups = found
        return told

    def join(self, model: Model, seed: int) -> None:
        if self._groups is not None and self.fair_how == "adversary":
            assert model.head is not None, "a head of ours is needed"
            told = len(model.labels) if self.fair_aim == "equalized_odds" else 0
            adversary = Adversary(model.head.linear.in_features, told, self._num_groups, seed=seed)
            model.beside = adversary.to(model.device)

    def batch(self, examples: Sequence[Example], model: Model) -> Batch:
        targets_BC = torch.zeros(len(examples), len(model.labels))
        for row_C, example in zip(targets_BC, examples, strict=True):
            row_C[list(example.label)] = 1.0
        weights_B = torch.tensor([example.weight for example in examples])
        return Batch(
            {
                **read(examples, model.device),
                "targets_BC": targets_BC.to(model.device),
                "weights_B": weights_B.to(model.device),
                **self._grouped(examples, model),
            },
            ids=[example.id for example in examples],
            num_tokens=sum(example.num_tokens for example in examples),
            num_trained=len(examples),
            count=float(weights_B.double().sum()),
        )

    def loss(self, model: Model, batch: Batch) -> Loss:
        tensors = batch.tensors
        assert model.head is not None, "a head of ours is needed"
        layout = layout_of(tensors)
        hidden_ND = hidden_of_rows(model, tensors["ids_N"], layout)
        logits_BC = model.head(hidden_ND, layout.lengths).float()
        targets_BC, weights_B = tensors["targets_BC"], tensors["weights_B"]
        # Smoothing is for learning; the validation loss is that of the targets as they are.
        smoothing = self.label_smoothing if model.module.training else 0.0
        loss_B = (
            _several(logits_BC, targets_BC, smoothing) if model.multi_label else _one(logits_BC, targets_BC, smoothing)
        )
        right_B = _right(logits_BC.detach(), targets_BC, model.multi_label)
        loss, metrics = (loss_B * weights_B).sum(), {"accuracy": (right_B * weights_B).sum()}
        # As with smoothing: what is validated is how right it is.
        if "groups_B" in tensors and model.module.training:
            weight = self.fair_weight or WEIGHTS[self.fair_how]
            if isinstance(model.beside, Adversary):
                features_BD = pool(hidden_ND, layout.lengths, model.head.pooling).float()
                guess_BG = model.beside(features_BD, targets_BC, weight)
                known_B = (tensors["groups_B"] >= 0) * weights_B
                wrong_B = cross_entropy(guess_BG, tensors["groups_B"].clamp_min(0), reduction="none")
                guessed_B = (guess_BG.argmax(dim=1) == tensors["groups_B"]).float()
                loss, metrics["groups_guessed"] = loss + (wrong_B * known_B).sum(), (guessed_B * known_B).sum()
            else:
                sure_BC = logits_BC.sigmoid() if model.multi_label else logits_BC.softmax(dim=1)
                apart = groups_apart(sure_BC, targets_BC, tensors["groups_B"], self._num_groups, self.fair_aim)
                apart = apart * batch.count
                loss, metrics["groups_apart"] = loss + weight * apart, apart.detach()
        return Loss(loss, metrics)

    @property
    def _num_groups(self) -> int:
        return max((self._groups or {}).values(), default=-1) + 1

    def _grouped(self, examples: Sequence[Example], model: Model) -> dict[str, Tensor]:
        if self._groups is None:
            return {}
        numbers = [self._groups.get(example.id, -1) for example in examples]
        return {"groups_B": torch.tensor(numbers, device=model.device)}


def _one(logits_BC: Tensor, targets_BC: Tensor, smoothing: float) -> Tensor:
    """Softmax cross-entropy of each row."""
    return cross_entropy(logits_BC, targets_BC, reduction="none", label_smoothing=smoothing)


def _several(logits_BC: Tensor, targets_BC: Tensor, smoothing: float) -> Tensor:
    """Sigmoid cross-entropies of each row, their mean over the classes."""
    smooth_BC = targets_BC * (1 - smoothing) + smoothing / 2
    return binary_cross_entropy_with_logits(logits_BC, smooth_BC, reduction="none").mean(dim=1)


def _right(logits_BC: Tensor, targets_BC: Tensor, multi_label: bool) -> Tensor:
    """1.0 for each row whose labels are all right."""
    if multi_label:
        return ((logits_BC > 0) == targets_BC.bool()).all(dim=1).float()
    return (logits_BC.argmax(dim=1) == targets_BC.argmax(dim=1)).float()
