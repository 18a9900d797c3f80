"""How far groups are apart in what a head says of them, as a loss that falls as they come together.

Shapes: B rows, C classes, G groups. Between every two groups, the squared difference of the means of a class's
probability. Products of a row with itself are left out, so that the mean over batches is that of all rows, however
small the batches are (a U-statistic, as in the unbiased estimate of JMLR 13:723, 2012).
"""

from __future__ import annotations

from typing import Literal

import torch
from torch import Tensor
from torch.nn.functional import one_hot

Aim = Literal["demographic_parity", "equalized_odds"]


def groups_apart(sure_BC: Tensor, has_BC: Tensor, groups_B: Tensor, num_groups: int, aim: Aim) -> Tensor:
    """The mean squared difference over classes, conditions and pairs of groups; 0 where no two groups can be compared.

    Args:
        sure_BC: probabilities.
        has_BC: 1.0 where a row has a class.
        groups_B: number of each row's group, -1 where it has none.
        num_groups: G.
        aim: `demographic_parity` compares all rows; `equalized_odds` those that have a class, and those that do not.
    """
    member_BG = one_hot(groups_B.clamp_min(0), num_groups).to(sure_BC) * (groups_B >= 0)[:, None]
    conditions = [torch.ones_like(has_BC)] if aim == "demographic_parity" else [has_BC, 1 - has_BC]
    apart, compared = sure_BC.new_zeros(()), sure_BC.new_zeros(())
    for condition_BC in conditions:
        rows_GC = member_BG.T @ condition_BC
        sum_GC = member_BG.T @ (condition_BC * sure_BC)
        squares_GC = member_BG.T @ (condition_BC * sure_BC**2)
        enough_GC = rows_GC >= 2
        mean_GC = sum_GC / rows_GC.clamp_min(1)
        own_GC = (sum_GC**2 - squares_GC) / (rows_GC * (rows_GC - 1)).clamp_min(1)
        for one in range(num_groups):
            for other in range(one + 1, num_groups):
                both_C = (enough_GC[one] & enough_GC[other]).to(sure_BC)
                squared_C = own_GC[one] + own_GC[other] - 2 * mean_GC[one] * mean_GC[other]
                apart = apart + (squared_C * both_C).sum()
                compared = compared + both_C.sum()
    return apart / compared.clamp_min(1)
