"""Cross-entropy and distillation on sampled data: pure functions over logits.

Shapes: B examples, H heads. The first head is `acted`; the others are p(action | acted).
"""

from torch import Tensor
from torch import zeros_like as zeros
from torch.nn.functional import binary_cross_entropy_with_logits as cross_entropy


def label_loss(
    logits_BH: Tensor,
    *,
    labels_BH: Tensor,
    negative_keep_probability_B: Tensor,
    weight_B: Tensor | None = None,
) -> Tensor:
    """CE(labels) of the factorised outcome: acted on every row, each action only on the rows that were acted on.

    Rows without an action were kept with probability k, which raises the observed log-odds of acted by −log k.
    Adding that offset inside the loss leaves the bare logits on the scale of the true log-odds (He et al. 2014,
    per row). Acted rows are never sampled, so the conditional heads need no offset. Summed over heads, averaged
    over examples: the negative log-likelihood of one example. `weight_B` is what each example counts, 1 by default.

    >>> import torch
    >>> label_loss(torch.zeros(2, 1), labels_BH=torch.tensor([[1.0], [0.0]]), negative_keep_probability_B=torch.ones(2))
    tensor(0.6931)
    """
    sampled_BH = logits_BH + sampling_offset(logits_BH, negative_keep_probability_B)
    return _by_head(cross_entropy(sampled_BH, labels_BH, reduction="none"), labels_BH, weight_B).sum()


def distillation_loss(
    logits_BH: Tensor,
    *,
    labels_BH: Tensor,
    teacher_logits_BH: Tensor,
    negative_keep_probability_B: Tensor,
    alpha: float | Tensor,
    weight_B: Tensor | None = None,
) -> Tensor:
    """alpha · KL(teacher ‖ student) + (1 − alpha) · CE(labels), over the heads and rows of `label_loss`.

    The teacher's bare logits carry the student's offset: both sides of the KL then speak of the sampled rows,
    whatever recipe the teacher was trained under. Temperature 1. `alpha` is one share, or one for each head (H).

    Raises ValueError if alpha lies outside [0, 1].

    >>> import torch
    >>> logits = torch.zeros(2, 1); labels = torch.tensor([[1.0], [0.0]]); keep = torch.ones(2)
    >>> loss = distillation_loss(logits, labels_BH=labels, teacher_logits_BH=logits,
    ...                          negative_keep_probability_B=keep, alpha=0.5)
    >>> round(loss.item(), 4)  # half of log 2: a student that equals its teacher has no KL
    0.3466
    """
    check_alpha(alpha)
    offset_BH = sampling_offset(logits_BH, negative_keep_probability_B)
    student_BH, teacher_BH = logits_BH + offset_BH, teacher_logits_BH + offset_BH
    # Binary KL is the cross-entropy against soft labels less the teacher's own entropy.
    soft_labels_BH = teacher_BH.sigmoid()
    kl_BH = cross_entropy(student_BH, soft_labels_BH, reduction="none") - cross_entropy(
        teacher_BH, soft_labels_BH, reduction="none"
    )
    teacher_H = _by_head(kl_BH, labels_BH, weight_B)
    labels_H = _by_head(cross_entropy(student_BH, labels_BH, reduction="none"), labels_BH, weight_B)
    return (alpha * teacher_H + (1 - alpha) * labels_H).sum()


def check_alpha(alpha: float | Tensor) -> None:
    """Raises ValueError if a share of the teacher lies outside [0, 1]."""
    shares = alpha.tolist() if isinstance(alpha, Tensor) else alpha
    if not all(0 <= share <= 1 for share in (shares if isinstance(shares, list) else [shares])):
        raise ValueError(f"alpha is {shares}; it weighs teacher against labels and must lie in [0, 1]")


def _by_head(loss_BH: Tensor, labels_BH: Tensor, weight_B: Tensor | None) -> Tensor:
    """The mean over examples of what counts for each head (H)."""
    counts_BH = counted(labels_BH) if weight_B is None else counted(labels_BH) * weight_B.unsqueeze(1)
    return (loss_BH * counts_BH).mean(0)


def sampling_offset(logits_BH: Tensor, negative_keep_probability_B: Tensor) -> Tensor:
    """−log k on the acted head of every row, acted rows too; 0 on the conditional heads."""
    offset_BH = zeros(logits_BH)
    offset_BH[:, 0] = -negative_keep_probability_B.log()
    return offset_BH


def counted(labels_BH: Tensor) -> Tensor:
    """1 where a head has an outcome to learn from: acted everywhere, the others where the row was acted on."""
    counts_BH = labels_BH[:, :1].expand_as(labels_BH).clone()
    counts_BH[:, 0] = 1
    return counts_BH
