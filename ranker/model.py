"""The ranker: a multi-task DCN-v2 over hashed embeddings and piecewise-linear numbers.

Shapes: B examples, H heads, X width of the joined features. Cross layers: Wang et al. 2021, arXiv 2008.13535.
"""

from dataclasses import asdict, dataclass
from typing import Any

import torch
from torch import Tensor, nn

from ranker.artifact import SERVING, TEACHER, Weights, pack, spec_differences, unpack
from ranker.encoding import NumericEmbedding
from ranker.spec import FeatureSpec


@dataclass(frozen=True, kw_only=True)
class RankerConfig:
    """Every size of the model. The defaults train 70,000 rows in well under half a minute on 2 cores.

    `id_dropout` is the share of user and item ids (the spec's user and item columns, where they are features) that
    training hides as missing: users and items come and go, so the model has to rank well without knowing them.
    """

    embedding_size: int = 8
    numeric_size: int = 8
    numeric_bins: int = 16
    cross_layers: int = 2
    cross_rank: int = 32
    hidden_sizes: tuple[int, ...] = (64, 32)
    dropout: float = 0.1
    id_dropout: float = 0.8
    max_position: int = 50

    def __post_init__(self) -> None:
        sizes = (
            self.embedding_size,
            self.numeric_size,
            self.numeric_bins,
            self.cross_rank,
            self.max_position,
            *self.hidden_sizes,
        )
        if min(sizes) < 1 or self.cross_layers < 0:
            raise ValueError(f"{self} has a size below 1 (cross_layers may be 0)")
        for name, share in (("dropout", self.dropout), ("id_dropout", self.id_dropout)):
            if not 0 <= share < 1:
                raise ValueError(f"{name} is {share}; it must lie in [0, 1)")


def head_names(actions: tuple[str, ...]) -> tuple[str, ...]:
    """`acted`, then one conditional head per action; a single action is acted itself and needs no head.

    >>> head_names(("click",)), head_names(("click", "hide"))
    (('acted',), ('acted', 'click|acted', 'hide|acted'))
    """
    return ("acted",) if len(actions) == 1 else ("acted", *(f"{action}|acted" for action in actions))


class CrossLayer(nn.Module):
    """x ← x + x₀ ⊙ (U V x + b), with V: X → rank and U: rank → X (DCN-v2 in low rank)."""

    def __init__(self, width: int, *, rank: int) -> None:
        super().__init__()
        self.down = nn.Linear(width, rank, bias=False)
        self.up = nn.Linear(rank, width)

    def forward(self, x0_BX: Tensor, x_BX: Tensor) -> Tensor:
        return x_BX + x0_BX * self.up(self.down(x_BX))


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


class Ranker(nn.Module):
    """Bare logits (no sampling offset) of p(acted) and of p(action | acted).

    `surfaces` names the surfaces with a position logit; without it (serving weights) every candidate counts as
    shown at position 1.
    """

    offsets: Tensor
    trained: Tensor
    hidden_share: Tensor

    def __init__(
        self,
        *,
        spec: FeatureSpec,
        config: RankerConfig,
        actions: tuple[str, ...],
        surfaces: tuple[str, ...],
        edges_NK: Tensor,
    ) -> None:
        super().__init__()
        for action in actions:
            spec.label_of(action)
        self.spec, self.config, self.actions, self.surfaces = spec, config, actions, surfaces
        self.heads = head_names(actions)

        cardinalities = torch.tensor([0, *(feature.cardinality + 1 for feature in spec.categorical)])
        self.register_buffer("offsets", cardinalities.cumsum(0)[:-1], persistent=False)
        self.embedding = nn.Embedding(int(cardinalities.sum()), config.embedding_size) if spec.categorical else None
        ids = [feature.name in (spec.user, spec.item) for feature in spec.categorical]
        self.register_buffer("hidden_share", torch.tensor(ids) * config.id_dropout, persistent=False)
        # Buckets that training met; all others share the row of the missing value.
        self.register_buffer("trained", torch.zeros(int(cardinalities.sum()), dtype=torch.bool))
        self.bags = nn.ModuleList(
            nn.EmbeddingBag(feature.cardinality + 1, config.embedding_size, mode="mean", padding_idx=0)
            for feature in spec.sequences
        )
        for table in (self.embedding, *self.bags):
            if table is not None:
                nn.init.normal_(table.weight, std=0.01)
        self.numeric = NumericEmbedding(edges_NK, size=config.numeric_size)

        width = config.embedding_size * (len(spec.categorical) + len(spec.sequences))
        width += config.numeric_size * len(spec.numeric)
        self.cross = nn.ModuleList(CrossLayer(width, rank=config.cross_rank) for _ in range(config.cross_layers))
        layers: list[nn.Module] = []
        for size_in, size_out in zip((width, *config.hidden_sizes[:-1]), config.hidden_sizes, strict=True):
            layers += [nn.Linear(size_in, size_out), nn.SiLU(), nn.Dropout(config.dropout)]
        self.mlp = nn.Sequential(*layers)
        self.output = nn.Linear(width + config.hidden_sizes[-1], len(self.heads))
        nn.init.normal_(self.output.weight, std=0.01)
        self.position = (
            PositionLogit(num_surfaces=len(surfaces), num_heads=len(self.heads), max_position=config.max_position)
            if surfaces
            else None
        )

    def meet(self, categorical_BC: Tensor) -> None:
        """Note the buckets that training is about to use."""
        self.trained[(categorical_BC + self.offsets).flatten()] = True

    def _known(self, categorical_BC: Tensor) -> Tensor:
        """Buckets with an embedding of their own; in training some ids are hidden, so that their lack is met there."""
        known_BC = self.trained[categorical_BC + self.offsets]
        if self.training:
            known_BC = known_BC & (torch.rand(categorical_BC.shape) >= self.hidden_share)
        return categorical_BC * known_BC

    def forward(
        self,
        categorical_BC: Tensor,
        numeric_BN: Tensor,
        missing_BN: Tensor,
        sequences: tuple[Tensor, ...],
    ) -> Tensor:
        """Bare logits (B, H) of the features alone, that is, at position 1."""
        parts = [bag(sequence_BL) for bag, sequence_BL in zip(self.bags, sequences, strict=True)]
        if self.embedding is not None:
            parts.append(self.embedding(self._known(categorical_BC) + self.offsets).flatten(1))
        parts.append(self.numeric(numeric_BN, missing_BN).flatten(1))
        x0_BX = torch.cat(parts, dim=1)
        x_BX = x0_BX
        for layer in self.cross:
            x_BX = layer(x0_BX, x_BX)
        return self.output(torch.cat([x_BX, self.mlp(x0_BX)], dim=1))

    def position_logits(self, surface_B: Tensor, position_B: Tensor) -> Tensor:
        """What the shown position adds (B, H); zeros for serving weights, which know position 1 only."""
        if self.position is None:
            return torch.zeros(len(position_B), len(self.heads))
        return self.position(surface_B, position_B)

    def to_files(self) -> dict[str, bytes]:
        """The model as files, see `artifact.pack`. Raises ValueError for one loaded from serving weights."""
        if self.position is None:
            raise ValueError("the model holds serving weights, without the position logit; save the full one")
        about = {
            "config": asdict(self.config),
            "actions": list(self.actions),
            "surfaces": list(self.surfaces),
            "num_edges": self.numeric.edges.shape[1],
        }
        return pack(self.state_dict(), about=about, spec=self.spec)

    @classmethod
    def from_files(
        cls, files: dict[str, bytes], *, weights: Weights = TEACHER, spec: FeatureSpec | None = None
    ) -> "Ranker":
        """Rebuild a model from its own files; serving weights know position 1 only.

        spec: what the caller's table offers today. Raises ValueError if it differs from the one trained with, if a
        file is missing or unreadable, or if the weights do not fit the config.
        """
        tensors, about, stored = unpack(files, weights=weights)
        if spec is not None and spec != stored:
            raise ValueError(f"the feature spec differs from the one trained with: {spec_differences(stored, spec)}")
        try:
            config: dict[str, Any] = {**about["config"], "hidden_sizes": tuple(about["config"]["hidden_sizes"])}
            model = cls(
                spec=stored,
                config=RankerConfig(**config),
                actions=tuple(about["actions"]),
                surfaces=() if weights == SERVING else tuple(about["surfaces"]),
                edges_NK=torch.zeros(len(stored.numeric), about["num_edges"]),
            )
            model.load_state_dict(tensors)
        except (KeyError, TypeError, RuntimeError) as error:
            raise ValueError(f"{weights} does not fit config.json and spec.json: {error}") from error
        return model.eval()
