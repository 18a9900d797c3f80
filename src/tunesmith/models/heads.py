"""Our classification and tagging heads: one linear layer over a model's hidden states.

Tensors: B rows, T tokens, D hidden width, C classes.
"""

from __future__ import annotations

from typing import Literal

import torch
from torch import Tensor, nn

from tunesmith.models.families import Family

Pooling = Literal["mean", "last", "first"]

DEFAULT_POOLING: dict[Family, Pooling] = {"causal": "mean", "encoder": "mean", "encoder_decoder": "mean"}
"""How a row's hidden states become one vector when nothing is said."""


class Head(nn.Module):
    """Dropout and a linear layer; for `classify` over one pooled vector a row, for `tag` over every token.

    Args:
        kind: `classify` or `tag`.
        width: D, the hidden width of the model.
        num_classes: C.
        pooling: for `classify`: the `mean` over real tokens, the `last` real token, or the `first`.
        dropout: share of the features dropped in training.
        seed: draws the fresh weights.
    """

    def __init__(
        self,
        kind: Literal["classify", "tag"],
        width: int,
        num_classes: int,
        *,
        pooling: Pooling,
        dropout: float,
        seed: int,
    ) -> None:
        super().__init__()
        self.kind = kind
        self.pooling = pooling
        self.dropout = nn.Dropout(dropout)
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(seed)
            self.linear = nn.Linear(width, num_classes)
            nn.init.normal_(self.linear.weight, std=0.02)
            nn.init.zeros_(self.linear.bias)

    def forward(self, hidden_BTD: Tensor, mask_BT: Tensor) -> Tensor:
        """Logits [B, C] for `classify`, [B, T, C] for `tag`."""
        features = hidden_BTD if self.kind == "tag" else pool(hidden_BTD, mask_BT, self.pooling)
        logits: Tensor = self.linear(self.dropout(features))
        return logits


def pool(hidden_BTD: Tensor, mask_BT: Tensor, pooling: Pooling) -> Tensor:
    """One vector [B, D] a row from its real tokens; padded ones have no influence."""
    if pooling == "first":
        return hidden_BTD[:, 0]
    if pooling == "last":
        last_B = mask_BT.long().sum(dim=1) - 1
        return hidden_BTD[torch.arange(len(hidden_BTD), device=hidden_BTD.device), last_B]
    real_BT1 = mask_BT.to(hidden_BTD.dtype).unsqueeze(-1)
    return (hidden_BTD * real_BT1).sum(dim=1) / real_BT1.sum(dim=1)
