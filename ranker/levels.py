"""The level of a trained model: what to add to each head so that it predicts as many outcomes as there were.

Shapes: B examples, H heads.
"""

from collections.abc import Callable

import torch
from torch import Tensor

from ranker.loss import counted, sampling_offset

NEWTON_STEPS = 20


def level_corrections(
    logits_BH: Tensor,
    *,
    labels_BH: Tensor,
    negative_keep_probability_B: Tensor,
    weight_B: Tensor | None = None,
    total: Callable[[Tensor], Tensor] = lambda part: part,
) -> Tensor:
    """b (H) with Σ sigmoid(logit + offset + b) = Σ label over the rows that count for a head, in float64.

    The last batches of a training run decide the level that it ends at, several per cent beside that of all rows where
    an action is rare; this is the maximum-likelihood level given everything else. 0 for a head whose rows all had the
    same outcome. Examples count `weight_B`, 1 by default. `total` adds up what several processes have, each with rows
    of its own.

    >>> logits, labels = torch.zeros(4, 1), torch.tensor([[1.0], [0.0], [0.0], [0.0]])
    >>> round(level_corrections(logits, labels_BH=labels, negative_keep_probability_B=torch.ones(4)).item(), 4)
    -1.0986
    """
    counts_BH, labels_BH = counted(labels_BH).double(), labels_BH.double()
    if weight_B is not None:
        counts_BH = counts_BH * weight_B.double().unsqueeze(1)
    logits_BH = logits_BH.double()
    sampled_BH = logits_BH + sampling_offset(logits_BH, negative_keep_probability_B.double())
    happened_H, rows_H = total((counts_BH * labels_BH).sum(0)), total(counts_BH.sum(0))
    both_H = (happened_H > 0) & (happened_H < rows_H)
    corrections_H = torch.zeros_like(happened_H)
    for _ in range(NEWTON_STEPS):
        p_BH = (sampled_BH + corrections_H).sigmoid()
        excess_H = total((counts_BH * p_BH).sum(0)) - happened_H
        slope_H = total((counts_BH * p_BH * (1 - p_BH)).sum(0)).clamp(min=1e-12)
        # A step of 1 at most: far from the level the slope is nearly 0.
        corrections_H -= torch.where(both_H, (excess_H / slope_H).clamp(-1, 1), 0.0)
    return corrections_H
