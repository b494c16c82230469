"""What the ranker is made of, beside its embeddings.

Shapes: B examples, X width of the joined features, H heads, E experts, L recent items, D embedding size.
"""

from itertools import pairwise

import torch
from torch import Tensor, nn

LOWEST = -(2**63)


class CrossLayer(nn.Module):
    """x ← x + x₀ ⊙ (U V x + b), with V: X → rank and U: rank → X.

    DCN-v2 in low rank: Wang et al. 2021, arXiv 2008.13535.
    """

    def __init__(self, width: int, *, rank: int) -> None:
        super().__init__()
        self.down = nn.Linear(width, rank, bias=False)
        self.up = nn.Linear(rank, width)

    def forward(self, x0_BX: Tensor, x_BX: Tensor) -> Tensor:
        return x_BX + x0_BX * self.up(self.down(x_BX))


class Experts(nn.Module):
    """Small networks that all heads share, mixed for each head by a gate of its own: (B, X) → (B, H, last size).

    Mixture of experts by task: Ma et al. 2018, KDD. What an expert says is brought to one scale before it is mixed
    (LayerNorm), so that none wins the gate by being loud.
    """

    def __init__(self, width: int, *, num_heads: int, num_experts: int, sizes: tuple[int, ...], dropout: float) -> None:
        super().__init__()
        self.num_heads, self.num_experts, self.dropout = num_heads, num_experts, dropout
        # All experts read the same: their first layers are one multiplication.
        self.first = nn.Linear(width, num_experts * sizes[0])
        nn.init.zeros_(self.first.bias)
        self.weights, self.biases = nn.ParameterList(), nn.ParameterList()
        for size_in, size_out in pairwise(sizes):
            bound = size_in**-0.5
            self.weights.append(torch.empty(num_experts, size_in, size_out).uniform_(-bound, bound))
            self.biases.append(torch.zeros(num_experts, 1, size_out))
        self.norm = nn.LayerNorm(sizes[-1])
        self.gate = nn.Linear(width, num_heads * num_experts) if num_experts > 1 else None

    def forward(self, x_BX: Tensor) -> Tensor:
        x_EBY = self._dropped(nn.functional.silu(self.first(x_BX))).unflatten(1, (self.num_experts, -1)).transpose(0, 1)
        for weight_EXY, bias_E1Y in zip(self.weights, self.biases, strict=True):
            x_EBY = self._dropped(nn.functional.silu(torch.baddbmm(bias_E1Y, x_EBY, weight_EXY)))
        if self.gate is None:
            return self.norm(x_EBY).transpose(0, 1).expand(-1, self.num_heads, -1)
        gates_BHE = self.gate(x_BX).unflatten(1, (-1, self.num_experts)).softmax(2)
        return torch.bmm(gates_BHE, self.norm(x_EBY).transpose(0, 1))

    def _dropped(self, x: Tensor) -> Tensor:
        return dropped(x, share=self.dropout) if self.training and self.dropout else x


def dropped(x: Tensor, *, share: float) -> Tensor:
    """Dropout of the 256ths nearest to `share`, from a random byte for each element: a quarter of what torch's takes,
    which on a CPU was an eighth of a training step.
    """
    num_dropped = min(max(round(256 * share), 1), 255)
    words = torch.empty(-(-x.numel() // 8), dtype=torch.int64, device=x.device).random_(LOWEST, None)
    kept = words.view(torch.uint8)[: x.numel()].view(x.shape) >= num_dropped
    return x * kept * (256 / (256 - num_dropped))


class Towers(nn.Module):
    """A head's logit from its own mix of the experts: (B, H, X) → (B, H)."""

    def __init__(self, width: int, *, num_heads: int, size: int) -> None:
        super().__init__()
        bound = width**-0.5
        self.hidden = nn.Parameter(torch.empty(num_heads, width, size).uniform_(-bound, bound))
        self.bias = nn.Parameter(torch.zeros(num_heads, size))
        self.output = nn.Parameter(torch.randn(num_heads, size) * 0.01)

    def forward(self, x_BHX: Tensor) -> Tensor:
        hidden_BHY = nn.functional.silu(torch.einsum("bhx,hxy->bhy", x_BHX, self.hidden) + self.bias)
        return torch.einsum("bhy,hy->bh", hidden_BHY, self.output)


class TargetAttention(nn.Module):
    """What a user's recent items say about the candidate: a mean of them, weighted by how they relate to it (B, D).

    weight_l = softmax(candidate · W item_l + recency_l) over the recent items and a slot that stands for none of them,
    after Zhou et al. 2018, arXiv 1706.06978. Zeros without recent items.
    """

    def __init__(self, size: int, *, max_length: int) -> None:
        super().__init__()
        self.relation = nn.Linear(size, size, bias=False)
        self.recency = nn.Parameter(torch.zeros(max_length))

    def forward(self, candidate_BD: Tensor, recent_BLD: Tensor, there_BL: Tensor) -> Tensor:
        scores_BL = torch.bmm(recent_BLD, self.relation(candidate_BD).unsqueeze(2)).squeeze(2) + self.recency
        scores_BL = scores_BL.masked_fill(~there_BL, float("-inf"))
        none_B1 = scores_BL.new_zeros(len(scores_BL), 1)
        weights_BL = torch.cat([scores_BL, none_B1], dim=1).softmax(1)[:, :-1]
        return torch.bmm(weights_BL.unsqueeze(1), recent_BLD).squeeze(1)


class PositionLogit(nn.Module):
    """What being shown at a position adds to each head's logit, per surface, with position 1 as the zero.

    0 also for an unknown position (0) and for a surface that training did not see (−1). Positions past
    max_position share its value.
    """

    def __init__(self, *, num_surfaces: int, num_heads: int, max_position: int) -> None:
        super().__init__()
        self.table = nn.Parameter(torch.zeros(num_surfaces, max_position + 1, num_heads))

    def forward(self, surface_B: Tensor, position_B: Tensor) -> Tensor:
        known_B = (surface_B >= 0) & (position_B > 1)
        rows_BH = self.table[surface_B.clamp(min=0), position_B.clamp(max=self.table.shape[1] - 1)]
        return rows_BH * known_B.unsqueeze(1)
