"""What a ranker loses when features fail to arrive: each hidden in turn as missing, on rows that it is judged on."""

from collections.abc import Collection, Mapping
from dataclasses import dataclass, replace

import torch

from ranker.examples import Examples
from ranker.hashing import MISSING
from ranker.metrics import auc, log_loss, pcoc
from ranker.model import Ranker
from ranker.scoring import score
from ranker.spec import FeatureSpec


@dataclass(frozen=True, kw_only=True)
class Loss:
    """What hiding a group of features costs: AUC lost, log loss gained (nats), and PCOC without them."""

    group: str
    action: str
    auc_lost: float
    log_loss_gained: float
    pcoc: float


def robustness(model: Ranker, examples: Examples, *, groups: Mapping[str, Collection[str]] | None = None) -> list[Loss]:
    """A row for each group of features and action, the costliest first; by default each feature is a group.

    groups: {name: features}. Rows are weighted by what they stand for. Raises ValueError for an unknown feature.
    """
    chosen = {feature.name: (feature.name,) for feature in model.spec.features} if groups is None else groups
    weights, whole = examples.weights, score(model, examples, position="shown")
    losses = []
    for group, names in chosen.items():
        hidden = score(model, without(examples, names, spec=model.spec), position="shown")
        for action in model.actions:
            labels, p, q = examples.label(action), whole.probability(action), hidden.probability(action)
            losses.append(
                Loss(
                    group=group,
                    action=action,
                    auc_lost=auc(labels, p, weights=weights) - auc(labels, q, weights=weights),
                    log_loss_gained=log_loss(labels, q, weights=weights) - log_loss(labels, p, weights=weights),
                    pcoc=pcoc(labels, q, weights=weights),
                )
            )
    return sorted(losses, key=lambda loss: -loss.log_loss_gained)


def without(examples: Examples, names: Collection[str], *, spec: FeatureSpec) -> Examples:
    """The examples as if these features had been null in every row. Raises ValueError for an unknown one."""
    unknown = sorted(set(names) - {feature.name for feature in spec.features})
    if unknown:
        raise ValueError(f"{unknown} are no features; the spec has {sorted(feature.name for feature in spec.features)}")
    shown_C = torch.tensor([feature.name not in names for feature in spec.categorical], dtype=torch.bool)
    gone_N = torch.tensor([feature.name in names for feature in spec.numeric], dtype=torch.bool)
    return replace(
        examples,
        categorical_BC=torch.where(shown_C, examples.categorical_BC, MISSING),
        numeric_BN=torch.where(gone_N, 0.0, examples.numeric_BN),
        missing_BN=examples.missing_BN | gone_N,
        sequences=tuple(
            torch.full_like(values_BL, MISSING) if feature.name in names else values_BL
            for feature, values_BL in zip(spec.sequences, examples.sequences, strict=True)
        ),
    )
