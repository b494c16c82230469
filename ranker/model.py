"""The ranker: cross layers and shared experts over hashed embeddings, piecewise-linear numbers and recent items.

Shapes: B examples, H heads, X width of the joined features, L values of a sequence.
"""

from dataclasses import asdict, dataclass
from typing import Any

import torch
from torch import Tensor, nn

from ranker.artifact import SERVING, TEACHER, Weights, pack, spec_differences, unpack
from ranker.embedding import UNKNOWN_ROW, HashedEmbedding
from ranker.encoding import NumericEmbedding
from ranker.layers import CrossLayer, Experts, PositionLogit, TargetAttention, Towers
from ranker.spec import Feature, FeatureSpec


@dataclass(frozen=True, kw_only=True)
class RankerConfig:
    """Every size of the model. The defaults train 70,000 rows in well under half a minute on 2 cores.

    `min_count` is how often training must meet a value before it has an embedding of its own.
    """

    embedding_size: int = 16
    min_count: int = 2
    numeric_size: int = 16
    numeric_bins: int = 32
    cross_layers: int = 2
    cross_rank: int = 32
    num_experts: int = 4
    expert_sizes: tuple[int, ...] = (64, 32)
    tower_size: int = 16
    dropout: float = 0.1
    max_position: int = 50

    def __post_init__(self) -> None:
        sizes = {name: size for name, size in asdict(self).items() if isinstance(size, int)}
        layers = sizes.pop("cross_layers")
        if min(*sizes.values(), *self.expert_sizes) < 1 or not self.expert_sizes or layers < 0:
            raise ValueError(f"{self} has a size below 1 (cross_layers may be 0)")
        if not 0 <= self.dropout < 1:
            raise ValueError(f"dropout is {self.dropout}; it must lie in [0, 1)")


def head_names(actions: tuple[str, ...]) -> tuple[str, ...]:
    """`acted`, then one conditional head per action; a single action is acted itself and needs no head.

    >>> head_names(("click",)), head_names(("click", "hide"))
    (('acted',), ('acted', 'click|acted', 'hide|acted'))
    """
    return ("acted",) if len(actions) == 1 else ("acted", *(f"{action}|acted" for action in actions))


class Ranker(nn.Module):
    """Bare logits (no sampling offset) of p(acted) and of p(action | acted).

    `surfaces` names the surfaces with a position logit; without it (serving weights) every candidate counts as
    shown at position 1.
    """

    hidden_share: Tensor

    def __init__(
        self,
        *,
        spec: FeatureSpec,
        config: RankerConfig,
        actions: tuple[str, ...],
        surfaces: tuple[str, ...],
        edges_NK: Tensor,
        num_rows: int | None = None,
    ) -> None:
        super().__init__()
        for action in actions:
            spec.label_of(action)
        self.spec, self.config, self.actions, self.surfaces = spec, config, actions, surfaces
        self.heads = head_names(actions)

        size = config.embedding_size
        self.vocabularies = {feature.name: slice(at, at + 1) for at, feature in enumerate(spec.vocabularies)}
        self.embedding = HashedEmbedding(
            [feature.cardinality for feature in spec.vocabularies],
            size=size,
            min_count=config.min_count,
            num_rows=num_rows,
        )
        self.register_buffer("hidden_share", torch.zeros(len(spec.categorical)), persistent=False)
        self.hidden_history, self.hidden_features = 0.0, 0.0
        self.attention = nn.ModuleDict(
            {
                feature.name: TargetAttention(size, max_length=feature.max_length)
                for feature in spec.sequences
                if feature.of
            }
        )
        self.numeric = NumericEmbedding(edges_NK, size=config.numeric_size)

        width = size * (len(spec.categorical) + len(spec.sequences)) + config.numeric_size * len(spec.numeric)
        self.cross = nn.ModuleList(CrossLayer(width, rank=config.cross_rank) for _ in range(config.cross_layers))
        self.experts = Experts(
            width,
            num_heads=len(self.heads),
            num_experts=config.num_experts,
            sizes=config.expert_sizes,
            dropout=config.dropout,
        )
        self.towers = Towers(config.expert_sizes[-1], num_heads=len(self.heads), size=config.tower_size)
        self.output = nn.Linear(width, len(self.heads))
        nn.init.normal_(self.output.weight, std=0.01)
        self.position = (
            PositionLogit(num_surfaces=len(surfaces), num_heads=len(self.heads), max_position=config.max_position)
            if surfaces
            else None
        )

    @property
    def _categorical(self) -> slice:
        """The vocabularies of the categorical features, which come first."""
        return slice(len(self.spec.categorical))

    def values_met(self, categorical_BC: Tensor, sequences: tuple[Tensor, ...]) -> Tensor:
        """How often each bucket of all vocabularies occurs; what a sequence `of` a feature holds is not counted."""
        met_V = self.embedding.values_met(categorical_BC, vocabularies=self._categorical)
        for feature, values_BL in zip(self.spec.sequences, sequences, strict=True):
            if not feature.of:
                met_V += self.embedding.values_met(values_BL, vocabularies=self.vocabularies[feature.name])
        return met_V

    def hide(self, *, user: float, item: float, features: float) -> None:
        """Let training hide these shares of user and item ids as unknown, of the users' histories, which tell who they
        are, and of each feature as missing."""
        shares = {self.spec.user: user, self.spec.item: item}
        self.hidden_share.copy_(torch.tensor([shares.get(feature.name, 0.0) for feature in self.spec.categorical]))
        self.hidden_history, self.hidden_features = user, features

    def forward(
        self,
        categorical_BC: Tensor,
        numeric_BN: Tensor,
        missing_BN: Tensor,
        sequences: tuple[Tensor, ...],
    ) -> Tensor:
        """Bare logits (B, H) of the features alone, that is, at position 1."""
        if self.training:
            categorical_BC = categorical_BC * self._shown(categorical_BC)
            missing_BN = missing_BN | ~self._shown(missing_BN)
            sequences = tuple(values_BL * self._shown(values_BL[:, :1]) for values_BL in sequences)
        rows_BC = self.embedding.rows(categorical_BC, vocabularies=self._categorical)
        if self.training:
            hidden_BC = torch.rand(rows_BC.shape, device=rows_BC.device) < self.hidden_share
            rows_BC = rows_BC.masked_fill(hidden_BC, UNKNOWN_ROW)
        vectors_BCD = self.embedding(rows_BC, vocabularies=self._categorical)
        parts = [vectors_BCD.flatten(1), self.numeric(numeric_BN, missing_BN).flatten(1)]
        for feature, values_BL in zip(self.spec.sequences, sequences, strict=True):
            parts.append(self._sequence(feature, values_BL, vectors_BCD))
        x0_BX = torch.cat(parts, dim=1)
        x_BX = x0_BX
        for layer in self.cross:
            x_BX = layer(x0_BX, x_BX)
        return self.output(x_BX) + self.towers(self.experts(x0_BX))

    def _shown(self, values: Tensor) -> Tensor:
        """Which values training lets the model see; the others are missing for once."""
        return torch.rand(values.shape, device=values.device) >= self.hidden_features

    def _sequence(self, feature: Feature, values_BL: Tensor, vectors_BCD: Tensor) -> Tensor:
        if not feature.of:
            return self.embedding.mean(values_BL, vocabularies=self.vocabularies[feature.name])
        if self.training:
            values_BL = values_BL * (torch.rand(len(values_BL), 1, device=values_BL.device) >= self.hidden_history)
        vocabulary = self.vocabularies[feature.of]
        recent_BLD = self.embedding(self.embedding.rows(values_BL, vocabularies=vocabulary), vocabularies=vocabulary)
        return self.attention[feature.name](vectors_BCD[:, vocabulary.start], recent_BLD, values_BL > 0)

    def position_logits(self, surface_B: Tensor, position_B: Tensor) -> Tensor:
        """What the shown position adds (B, H); zeros for serving weights, which know position 1 only."""
        if self.position is None:
            return torch.zeros(len(position_B), len(self.heads), device=position_B.device)
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
            config: dict[str, Any] = {**about["config"], "expert_sizes": tuple(about["config"]["expert_sizes"])}
            model = cls(
                spec=stored,
                config=RankerConfig(**config),
                actions=tuple(about["actions"]),
                surfaces=() if weights == SERVING else tuple(about["surfaces"]),
                edges_NK=torch.zeros(len(stored.numeric), about["num_edges"]),
                num_rows=len(tensors["embedding.deviation"]),
            )
            model.load_state_dict(tensors)
        except (KeyError, TypeError, RuntimeError) as error:
            raise ValueError(f"{weights} does not fit config.json and spec.json: {error}") from error
        return model.eval()
