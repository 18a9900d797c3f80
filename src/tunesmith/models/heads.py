"""Our classification and tagging heads: one linear layer over a model's hidden states.

Tensors: N tokens of all rows, B rows, T tokens of a row, D hidden width, C classes.
"""

from __future__ import annotations

from collections.abc import Sequence
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

    def forward(self, hidden_ND: Tensor, lengths: Sequence[int]) -> Tensor:
        """Logits of rows that lie one after another.

        Args:
            hidden_ND: hidden states of all rows' tokens.
            lengths: tokens of each row.

        Returns:
            `classify`: [B, C], a row each; `tag`: [N, C], a token each.
        """
        features = hidden_ND if self.kind == "tag" else pool(hidden_ND, lengths, self.pooling)
        logits: Tensor = self.linear(self.dropout(features))
        return logits


def pool(hidden_ND: Tensor, lengths: Sequence[int], pooling: Pooling) -> Tensor:
    """One vector [B, D] a row from its tokens."""
    rows = torch.split(hidden_ND, list(lengths))
    if pooling == "mean":
        return torch.stack([row_TD.mean(dim=0) for row_TD in rows])
    return torch.stack([row_TD[0 if pooling == "first" else -1] for row_TD in rows])
