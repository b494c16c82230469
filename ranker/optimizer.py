"""AdamW as the ranker uses it: what decays how much, its state by name, and rare embeddings that begin anew.

Shapes: R rows of the embedding table.
"""

from collections.abc import Mapping
from dataclasses import dataclass

import torch
from torch import Tensor

from ranker.embedding import HashedEmbedding
from ranker.model import Ranker
from ranker.training_config import TrainingConfig

# Rows of a value from which on they are too many to be learnt by heart.
MEMORABLE = 1_000
# Rows of a value from which on what they say needs less of a prior.
FAMILIAR = 10_000


def optimizer_of(model: Ranker, training: TrainingConfig) -> torch.optim.Optimizer:
    """AdamW with a group each for embeddings, position logits and the rest, and their learning rates as `peak`."""
    tables = [model.embedding.deviation]
    position = [p for name, p in model.named_parameters() if name.startswith("position.")]
    own = {id(p) for p in (*tables, *position)}
    rest = [p for p in model.parameters() if id(p) not in own]
    groups = [
        {"params": rest, "peak": training.learning_rate, "weight_decay": training.decay},
        {"params": tables, "peak": training.embedding_learning_rate, "weight_decay": 0.0},
        {"params": position, "peak": training.position_learning_rate, "weight_decay": 0.0},
    ]
    optimizer = torch.optim.AdamW([group for group in groups if group["params"]], fused=True)
    (table,) = tables
    decay_R1 = training.embedding_decay * (FAMILIAR / model.embedding.counts()).clamp(max=1).square().unsqueeze(1)

    def decay(optimizer: torch.optim.Optimizer, *_: object) -> None:
        with torch.no_grad():
            table.mul_(1 - optimizer.param_groups[1]["lr"] * decay_R1)

    optimizer.register_step_pre_hook(decay)
    return optimizer


def moments_of(optimizer: torch.optim.Optimizer, model: Ranker) -> dict[str, Tensor]:
    """The optimiser's state of each parameter by name."""
    return {
        f"{name}.{what}": value.cpu()
        for name, parameter in model.named_parameters()
        for what, value in optimizer.state[parameter].items()
    }


def restore(optimizer: torch.optim.Optimizer, model: Ranker, moments: Mapping[str, Tensor]) -> None:
    """Go on from another training's moments. Rows that have been added since begin without a direction, and with the
    mean of the others' squared gradients: with 0, their first step would be three times too long.
    """
    for name, parameter in model.named_parameters():
        try:
            state = {what: moments[f"{name}.{what}"].clone() for what in ("step", "exp_avg", "exp_avg_sq")}
        except KeyError as error:
            raise ValueError(f"the optimiser's state lacks {error}; train from scratch, or without it") from error
        added = parameter.shape[0] - state["exp_avg"].shape[0] if parameter.dim() else 0
        if added < 0 or state["exp_avg"].shape[1:] != parameter.shape[1:]:
            raise ValueError(
                f"the optimiser's state of {name} has shape {tuple(state['exp_avg'].shape)}; the model's is "
                f"{tuple(parameter.shape)}: they are not of one training"
            )
        if added:
            mean = state["exp_avg_sq"].mean(0, keepdim=True).expand(added, *parameter.shape[1:])
            state["exp_avg_sq"] = torch.cat([state["exp_avg_sq"], mean])
            state["exp_avg"] = torch.cat([state["exp_avg"], torch.zeros_like(mean)])
        optimizer.state[parameter] = {what: value.to(parameter.device) for what, value in state.items()}


@dataclass(frozen=True, kw_only=True)
class Again:
    """What the rows of rare values begin each epoch with: their embeddings, and the moments of these."""

    rare: Tensor
    embeddings: Tensor
    moments: dict[str, Tensor]

    @classmethod
    def of(cls, embedding: HashedEmbedding, optimizer: torch.optim.Optimizer) -> "Again":
        rare, state = embedding.rows_below(MEMORABLE), optimizer.state[embedding.deviation]
        embeddings = embedding.deviation.detach()[rare]
        moments = {what: state[what][rare] for what in ("exp_avg", "exp_avg_sq") if what in state}
        return cls(rare=rare, embeddings=embeddings, moments=moments)

    def begin(self, embedding: HashedEmbedding, optimizer: torch.optim.Optimizer) -> None:
        with torch.no_grad():
            embedding.deviation[self.rare] = self.embeddings
            for what in ("exp_avg", "exp_avg_sq"):
                start = self.moments.get(what, torch.zeros(()))
                optimizer.state[embedding.deviation][what][self.rare] = start.to(embedding.deviation.device)
