"""Learning what a teacher thinks likely, and not only what the rows say (Hinton et al., arXiv 1503.02531).

Shapes: M supervised positions, C some of them, D hidden size, V vocabulary, S answer tokens.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import torch
from pydantic import Field, PrivateAttr
from torch import Tensor
from torch.nn.functional import cross_entropy, linear

from tunesmith.errors import ModelError
from tunesmith.models.tokenizer import refuse_other_vocabulary
from tunesmith.train.objectives import Batch, Loss, Objective
from tunesmith.train.objectives._divergence import Direction, divergence
from tunesmith.train.objectives.sft import Sft, answer_logits
from tunesmith.train.readout import is_plain, linear_loss, supervised_hidden, supervised_logits

if TYPE_CHECKING:
    from tunesmith.data.encode.tokenize import Example
    from tunesmith.models.load import Model

TeacherLogits = Callable[[slice], Tensor]
"""The teacher's logits [C, V] of some of the M positions."""


class Distill(Objective):
    """Learn to answer as a teacher does: its probabilities of every token, at the tokens `sft` would train."""

    need = "chat"
    head = "lm"

    teacher: str = Field(examples=["bundled"])
    """The model to learn from: `bundled`, a local folder, a hub id, or `run:NAME/N`; with the base's vocabulary."""
    temperature: float = Field(default=1.0, gt=0)
    """Divides both models' logits; above 1 unlikely tokens count more. The divergence is multiplied by its square."""
    alpha: float = Field(default=0.5, ge=0, lt=1)
    """Share of the supervised loss, that of `sft`; the rest is the divergence from the teacher."""
    divergence: Direction = "forward"
    """KL(teacher | student), which covers all the teacher says; `reverse` seeks its likeliest; `jsd` lies between."""

    _teacher: Model | None = PrivateAttr(default=None)

    def teachers(self) -> tuple[str, ...]:
        return (self.teacher,)

    def taught_by(self, teachers: Mapping[str, Model]) -> Distill:
        taught = self.model_copy()
        taught._teacher = teachers[self.teacher]
        taught._teacher.train(False)
        return taught

    def check(self, model: Model) -> None:
        Sft().check(model)
        teacher = self._known()
        if teacher.family != model.family:
            raise ModelError(
                f"{self.teacher} is {teacher.family.replace('_', '-')}, and the base is {model.family}",
                where="train.objective.teacher",
                fix="use a teacher of the base's own kind",
            )
        refuse_other_vocabulary(model.tokenizer, teacher.tokenizer, self.teacher, "train.objective.teacher")

    def batch(self, examples: Sequence[Example], model: Model) -> Batch:
        return Sft().batch(examples, model)

    def loss(self, model: Model, batch: Batch) -> Loss:
        tensors = batch.tensors
        piece = _Piece(self, self._logits(tensors), tensors["targets_M"], tensors["weights_M"], {})
        if model.family == "causal" and is_plain(model):
            return Loss(linear_loss(model, supervised_hidden(model, tensors), piece), piece.sums)
        causal = model.family == "causal"
        logits_MV = supervised_logits(model, tensors) if causal else answer_logits(model, tensors)
        return Loss(piece.summed(logits_MV.float(), slice(None)), piece.sums)

    @torch.no_grad()
    def _logits(self, tensors: dict[str, Tensor]) -> TeacherLogits:
        """What the teacher says: computed a piece at a time where its head allows."""
        teacher = self._known()
        if teacher.family == "causal" and is_plain(teacher):
            hidden_MD, head = supervised_hidden(teacher, tensors), teacher.inner.get_output_embeddings()
            return lambda rows: linear(hidden_MD[rows], head.weight, head.bias).float()
        causal = teacher.family == "causal"
        logits_MV = supervised_logits(teacher, tensors) if causal else answer_logits(teacher, tensors)
        return lambda rows: logits_MV[rows].float()

    def _known(self) -> Model:
        assert self._teacher is not None, "a teacher is given by `taught_by`"
        return self._teacher


@dataclass(frozen=True)
class _Piece:
    """The loss of some positions, and what it is made of."""

    rule: Distill
    teacher: TeacherLogits
    targets_M: Tensor
    weights_M: Tensor
    sums: dict[str, Tensor]
    """Divergence and supervised loss, summed over the pieces with the rows' weights."""

    def __call__(self, logits_CV: Tensor, rows: slice) -> tuple[Tensor, Tensor]:
        with torch.enable_grad():
            leaf_CV = logits_CV.requires_grad_()
            loss = self.summed(leaf_CV, rows)
            (d_logits_CV,) = torch.autograd.grad(loss, leaf_CV)
        return loss.detach(), d_logits_CV

    def summed(self, logits_CV: Tensor, rows: slice) -> Tensor:
        rule, weights_C = self.rule, self.weights_M[rows]
        with torch.no_grad():
            teacher_CV = self.teacher(rows)
        # Tables of one family are padded to different widths; the ids they share are the vocabulary.
        width = min(logits_CV.shape[1], teacher_CV.shape[1])
        apart_C = divergence(logits_CV[:, :width], teacher_CV[:, :width], rule.divergence, rule.temperature)
        loss = (1 - rule.alpha) * rule.temperature**2 * self._noted("divergence", (apart_C * weights_C).sum())
        if rule.alpha:
            said_C = cross_entropy(logits_CV, self.targets_M[rows], reduction="none")
            loss = loss + rule.alpha * self._noted("supervised", (said_C * weights_C).sum())
        return loss

    def _noted(self, name: str, value: Tensor) -> Tensor:
        self.sums[name] = self.sums.get(name, 0.0) + value.detach()
        return value
