"""How far two distributions over a vocabulary are apart.

Shapes: C positions, V vocabulary.
"""

from __future__ import annotations

import math
from typing import Literal

import torch
from torch import Tensor
from torch.nn.functional import log_softmax

Direction = Literal["forward", "reverse", "jsd"]


def divergence(student_CV: Tensor, teacher_CV: Tensor, direction: Direction, temperature: float) -> Tensor:
    """The divergence [C] of a student's logits from a teacher's, in nats.

    Args:
        student_CV: logits, with or without a gradient.
        teacher_CV: logits without one.
        direction: `forward` is KL(teacher | student), `reverse` KL(student | teacher), `jsd` the mean of both
            distributions' KL from their mixture, the generalised one of arXiv 2306.13649 at one half.
        temperature: both logits are divided by it.
    """
    student_CV = log_softmax(student_CV / temperature, dim=-1)
    teacher_CV = log_softmax(teacher_CV / temperature, dim=-1)
    if direction == "forward":
        return _kl(teacher_CV, student_CV)
    if direction == "reverse":
        return _kl(student_CV, teacher_CV)
    mixed_CV = torch.logaddexp(student_CV, teacher_CV) - math.log(2)
    return (_kl(teacher_CV, mixed_CV) + _kl(student_CV, mixed_CV)) / 2


def _kl(of_CV: Tensor, from_CV: Tensor) -> Tensor:
    """Kullback-Leibler divergence [C], both given as logarithms."""
    return (of_CV.exp() * (of_CV - from_CV)).sum(dim=-1)
