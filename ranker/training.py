"""Fit a ranker: from scratch or from a previous one, with or without a teacher; the same bits for the same seed."""

from collections.abc import Callable, Iterable, Mapping
from contextlib import closing
from pathlib import Path

from torch import Tensor

from ranker.artifact import spec_differences
from ranker.examples import Examples
from ranker.loop import Alpha, Fitted, Progress, train
from ranker.model import Ranker, RankerConfig
from ranker.reproducible import reproducible
from ranker.rows import Teacher, TrainingRows
from ranker.scoring import score
from ranker.spec import FeatureSpec
from ranker.start import fresh, meet, unknown_shares, warm
from ranker.training_config import TrainingConfig


def fit(
    examples: Examples | Iterable[Examples],
    *,
    spec: FeatureSpec,
    seed: int,
    config: RankerConfig | None = None,
    training: TrainingConfig | None = None,
    teacher_logits_BH: Teacher = None,
    alpha: Alpha = 0.5,
    last_alpha: Alpha | None = None,
    initial: Ranker | None = None,
    moments: Mapping[str, Tensor] | None = None,
    validation: Examples | None = None,
    folder: Path | None = None,
    checkpoint: Path | None = None,
    on_progress: Callable[[Progress], None] | None = None,
) -> Fitted:
    """Train on `examples`; the same content and seed give the same weights bit for bit on one machine.

    examples: all of them, or chunks (`Examples.chunks`). Under torch.distributed, those of this rank: each rank brings
    rows of its own, all take as many steps, and all end with the same model.
    teacher_logits_BH: bare logits in the row order of `examples`, heads as the model's, at the position shown
    (`score(teacher, examples, position="shown").logits_BH`), or what gives them for each chunk. `alpha` is then the
    teacher's share of the loss, of all heads or by head; where `last_alpha` is given, it moves there in a line over the
    training.
    initial: weights, bins and surfaces to start from (warm start); its spec, config and actions must be the same.
    moments: the optimiser's state to go on with, `Fitted.moments` of the training that `initial` came from.
    validation: rows of a later time window; the weights of the epoch with the lowest loss on them are kept.
    folder: where to put rows that shall not stay in memory; what is made there is deleted in the end.
    checkpoint: a file to which the training is saved once a minute. Called again with the same rows and settings, it
    goes on from there, to the same weights; it is deleted when the training is done.

    Raises ValueError without examples, without an acted row, where the arguments do not fit each other, or where the
    checkpoint is of another training.
    """
    config, training = config or RankerConfig(), training or TrainingConfig()
    if moments is not None and initial is None:
        raise ValueError("moments are given without the model that they belong to; give `initial` too")
    chunks = [examples] if isinstance(examples, Examples) else examples
    with (
        reproducible(seed=seed, num_threads=training.num_threads),
        closing(
            TrainingRows(chunks, teacher=teacher_logits_BH, random_weight=training.random_weight, folder=folder)
        ) as rows,
    ):
        if initial is None:
            model = fresh(rows, spec=spec, config=config)
        else:
            model = warm(initial, rows, spec=spec, config=config)
        shares = unknown_shares(model, rows, met_V=meet(model, rows))
        model.hide(
            user=shares.get(spec.user, 0.0) if training.hidden_users is None else training.hidden_users,
            item=shares.get(spec.item, 0.0) if training.hidden_items is None else training.hidden_items,
            features=training.hidden_features,
        )
        return train(
            model,
            rows,
            training=training,
            seed=seed,
            alpha=alpha,
            last_alpha=last_alpha,
            moments=moments,
            validation=validation,
            checkpoint=checkpoint,
            on_progress=on_progress,
        )


def distill(
    examples: Examples | Iterable[Examples],
    *,
    teacher: Ranker,
    spec: FeatureSpec,
    seed: int,
    config: RankerConfig | None = None,
    training: TrainingConfig | None = None,
    alpha: Alpha = 0.5,
    last_alpha: Alpha | None = None,
    initial: Ranker | None = None,
    moments: Mapping[str, Tensor] | None = None,
    validation: Examples | None = None,
    folder: Path | None = None,
    checkpoint: Path | None = None,
    on_progress: Callable[[Progress], None] | None = None,
) -> Fitted:
    """`fit` with what `teacher` says of the same examples at the position shown, which is the rest of the loss.

    Raises ValueError as `fit` does, and for a teacher that reads other features: read its examples by its own spec,
    score them, and give `fit` the logits.
    """
    if teacher.spec.features != spec.features:
        raise ValueError(
            f"the teacher reads other features ({spec_differences(teacher.spec, spec)}): read the examples by its own "
            "spec, `score` them at the position shown, and give `fit` the logits"
        )
    return fit(
        examples,
        spec=spec,
        seed=seed,
        config=config,
        training=training,
        teacher_logits_BH=lambda chunk: score(teacher, chunk, position="shown").logits_BH,
        alpha=alpha,
        last_alpha=last_alpha,
        initial=initial,
        moments=moments,
        validation=validation,
        folder=folder,
        checkpoint=checkpoint,
        on_progress=on_progress,
    )
