"""Where training starts: a fresh model by what the rows hold, or a previous one with room for what is new.

Shapes: C categorical features, V hash buckets of all vocabularies.
"""

import copy

import numpy as np
import torch
from torch import Tensor

from ranker.encoding import quantile_edges
from ranker.layers import PositionLogit
from ranker.model import Ranker, RankerConfig
from ranker.rows import Rows, TrainingRows
from ranker.spec import FeatureSpec

# Quantiles of so many rows differ from those of all by less than a thousandth.
SAMPLE_ROWS = 1_000_000


def fresh(rows: TrainingRows, *, spec: FeatureSpec, config: RankerConfig) -> Ranker:
    """A model whose output bias starts at the corrected log-odds of the data, its position logits at 0.

    Raises ValueError without an acted row, or without one that is not.
    """
    gathered = rows.ranks.each(rows.sample(SAMPLE_ROWS).columns())
    numeric_BN, missing_BN = (torch.cat([one[name] for one in gathered]) for name in ("numeric_BN", "missing_BN"))
    edges_NK = quantile_edges(numeric_BN, missing_BN, num_bins=config.numeric_bins)
    model = Ranker(spec=spec, config=config, actions=rows.actions, surfaces=rows.surfaces, edges_NK=edges_NK)
    happened_H, negatives = rows.total(_happened), float(rows.total(_negatives))
    acted = float(happened_H[0])
    if not 0 < acted < len(rows):
        raise ValueError(f"{acted:.0f} of {len(rows)} examples are acted; training needs both outcomes")
    bias_H = [_log_odds(acted, negatives)] + [_log_odds(taken, acted - taken) for taken in happened_H[1:].tolist()]
    with torch.no_grad():
        model.output.bias.copy_(torch.tensor(bias_H))
    return model


def warm(initial: Ranker, rows: TrainingRows, *, spec: FeatureSpec, config: RankerConfig) -> Ranker:
    """A copy of `initial` with room for the surfaces that are new."""
    for what, theirs, ours in (
        ("spec", initial.spec, spec),
        ("config", initial.config, config),
        ("actions", initial.actions, rows.actions),
    ):
        if theirs != ours:
            raise ValueError(f"initial was trained with another {what}: {theirs}, not {ours}; train from scratch")
    if initial.position is None:
        raise ValueError("initial holds serving weights, without the position logit; start from teacher weights")
    model = copy.deepcopy(initial).train()
    assert model.position is not None
    new = tuple(sorted(set(rows.surfaces) - set(model.surfaces)))
    if new:
        model.surfaces = (*model.surfaces, *new)
        position = PositionLogit(
            num_surfaces=len(model.surfaces), num_heads=len(model.heads), max_position=config.max_position
        )
        with torch.no_grad():
            position.table[: len(initial.surfaces)] = model.position.table
        model.position = position
    return model


def meet(model: Ranker, rows: TrainingRows) -> Tensor:
    """Let the model know how often each value occurs in the rows (V)."""
    met_V = rows.total(lambda part: values_met(model, part))
    model.embedding.meet(met_V)
    return met_V


def values_met(model: Ranker, rows: Rows) -> Tensor:
    """How often each bucket of the model's vocabularies occurs (V)."""
    return model.values_met(rows.categorical_BC, sequences_of(model, rows))


def sequences_of(model: Ranker, rows: Rows) -> tuple[Tensor, ...]:
    return rows.sequence_BL.split([feature.max_length for feature in model.spec.sequences], dim=1)


def unknown_shares(model: Ranker, rows: TrainingRows, *, met_V: Tensor) -> dict[str, float]:
    """How often each categorical feature's value is unknown when a model meets it: of the last tenth of the rows by
    time, the share whose value the rows before hold fewer than `min_count` times.
    """
    gathered = torch.cat(rows.ranks.each(rows.sample(SAMPLE_ROWS).served_at_B))
    begins = gathered.sort().values[len(gathered) * 9 // 10]
    last_V = rows.total(lambda part: values_met(model, part.take(torch.nonzero(part.served_at_B >= begins).flatten())))
    before_V = met_V - last_V
    shares = {}
    for feature in model.spec.categorical:
        buckets = model.embedding.buckets_of(model.vocabularies[feature.name].start)
        unknown_V = before_V[buckets] < model.config.min_count
        shares[feature.name] = float(last_V[buckets][unknown_V].sum() / last_V[buckets].sum())
    return shares


def _happened(rows: Rows) -> Tensor:
    return rows.labels_BH.double().sum(0)


def _negatives(rows: Rows) -> Tensor:
    """The rows without action that the log had."""
    return ((1 - rows.labels_BH[:, 0]) / rows.negative_keep_probability_B).double().sum()


def _log_odds(positives: float, negatives: float) -> float:
    """With half a row on either side, so that an action never seen starts low instead of at −inf."""
    return float(np.log(positives + 0.5) - np.log(negatives + 0.5))
