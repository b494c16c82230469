"""Fit a ranker: from scratch or from a previous one, with or without a teacher; the same bits for the same seed."""

import copy
import time
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from ranker.artifact import spec_differences
from ranker.batches import content_order, shuffled_batches
from ranker.embedding import HashedEmbedding
from ranker.encoding import quantile_edges
from ranker.examples import Examples
from ranker.layers import PositionLogit
from ranker.levels import level_corrections
from ranker.loss import distillation_loss, label_loss
from ranker.model import Ranker, RankerConfig
from ranker.reproducible import reproducible
from ranker.scoring import score, surface_codes
from ranker.spec import FeatureSpec

CURVE_POINTS = 100
# Rows of a value from which on they are too many to be learnt by heart.
MEMORABLE = 1_000
STEPS_PER_EPOCH, MIN_BATCH, MAX_BATCH = 600, 128, 4096


@dataclass(frozen=True, kw_only=True)
class TrainingConfig:
    """How to train. AdamW; the learning rate rises over a tenth of the steps and falls to zero on a cosine.

    Each epoch begins with the embeddings of the start for values that fewer than 1,000 examples have, and only the
    other weights go on: met a second time, a user's few rows are learnt by heart (the one-epoch phenomenon; Liu et al.
    2023, arXiv 2305.19531).
    `batch_size` is by default a power of two with which an epoch has about 600 steps.
    `embedding_decay` is the weight decay of the hashed embeddings, `decay` that of the other weights.
    `hidden_users` and `hidden_items` are the shares of ids that training hides as unknown, so that the model ranks well
    without them: by default as many as turn out to be unknown, see `unknown_share`. `hidden_features` is the share of
    each feature's values that it hides as missing, so that a feature that fails to arrive costs what it knew, not more.
    `position_learning_rate` is higher: a position logit has few values, each with many rows.
    One thread by default: batches this small gain little from a second, and on a busy machine two threads that
    wait for each other trained 24 times slower than one (measured).
    """

    epochs: int = 3
    batch_size: int | None = None
    learning_rate: float = 0.004
    embedding_learning_rate: float = 0.008
    position_learning_rate: float = 0.03
    decay: float = 0.1
    embedding_decay: float = 1.0
    hidden_users: float | None = None
    hidden_items: float | None = None
    hidden_features: float = 0.005
    num_threads: int = 1

    def __post_init__(self) -> None:
        if min(self.epochs, self.rows_in_batch(0), self.num_threads) < 1:
            raise ValueError(f"{self}: epochs, batch_size and num_threads must be at least 1")
        rates = (self.learning_rate, self.embedding_learning_rate, self.position_learning_rate)
        if min(rates) <= 0 or min(self.decay, self.embedding_decay) < 0:
            raise ValueError(f"{self}: learning rates must lie above 0, decays at or above 0")
        for name in ("hidden_users", "hidden_items", "hidden_features"):
            share = getattr(self, name)
            if share is not None and not 0 <= share < 1:
                raise ValueError(f"{name} is {share}; it must lie in [0, 1)")

    def rows_in_batch(self, num_rows: int) -> int:
        """The batch size for so many rows.

        >>> [TrainingConfig().rows_in_batch(rows) for rows in (1_000, 70_000, 1_000_000, 100_000_000)]
        [128, 128, 1024, 4096]
        """
        if self.batch_size is not None:
            return self.batch_size
        return int(min(max(2 ** (num_rows // STEPS_PER_EPOCH).bit_length() // 2, MIN_BATCH), MAX_BATCH))


@dataclass(frozen=True, kw_only=True)
class Progress:
    """Where training stands: rows seen of all rows of all epochs, their pace, and the recent loss."""

    epoch: int
    num_seen: int
    num_total: int
    examples_per_second: float
    seconds_left: float
    loss: float


@dataclass(frozen=True, kw_only=True)
class Fitted:
    """A trained model and its loss curve.

    curve: {"examples", "loss"}: training loss, averaged since the point before.
    epochs: {"epoch", "validation_loss"}: label loss on the validation examples after each epoch (empty without).
    """

    model: Ranker
    curve: list[dict[str, float]]
    epochs: list[dict[str, float]]
    seconds: float


def fit(
    examples: Examples,
    *,
    spec: FeatureSpec,
    seed: int,
    config: RankerConfig | None = None,
    training: TrainingConfig | None = None,
    teacher_logits_BH: Tensor | None = None,
    alpha: float = 0.5,
    initial: Ranker | None = None,
    validation: Examples | None = None,
    on_progress: Callable[[Progress], None] | None = None,
) -> Fitted:
    """Train on `examples`; the same content and seed give the same weights bit for bit on one machine.

    teacher_logits_BH: bare logits in the row order of `examples`, heads as the model's, at the position shown
    (`score(teacher, examples, position="shown").logits_BH`). `alpha` is then the teacher's share of the loss.
    initial: weights, bins and surfaces to start from (warm start); its spec, config and actions must be the same.
    validation: rows of a later time window; the weights of the epoch with the lowest loss on them are kept.

    Raises ValueError without examples, without an acted row, or where the arguments do not fit each other.
    """
    config, training = config or RankerConfig(), training or TrainingConfig()
    num_acted = int(examples.acted_B.sum())
    if not 0 < num_acted < len(examples):
        raise ValueError(f"{num_acted} of {len(examples)} examples are acted; training needs both outcomes")
    if not 0 <= alpha <= 1:
        raise ValueError(f"alpha is {alpha}; it weighs teacher against labels and must lie in [0, 1]")
    order = content_order(examples.event_ids)
    examples = examples[order]
    with reproducible(seed=seed, num_threads=training.num_threads):
        model = _new(examples, spec, config) if initial is None else _warm(initial, examples, spec, config)
        model.meet(examples.categorical_BC, examples.sequences)
        model.hide(
            user=_hidden(training.hidden_users, examples.user.codes, examples, config),
            item=_hidden(training.hidden_items, examples.item_codes, examples, config),
            features=training.hidden_features,
        )
        if teacher_logits_BH is not None:
            expected = (len(examples), len(model.heads))
            if tuple(teacher_logits_BH.shape) != expected or not bool(teacher_logits_BH.isfinite().all()):
                raise ValueError(
                    f"teacher_logits_BH has shape {tuple(teacher_logits_BH.shape)}; finite logits of shape {expected}, "
                    f"heads {model.heads}, were expected"
                )
            teacher_logits_BH = teacher_logits_BH[torch.from_numpy(order)].float()
        return _train(model, examples, training, seed, teacher_logits_BH, alpha, validation, on_progress)


def distill(
    examples: Examples,
    *,
    teacher: Ranker,
    spec: FeatureSpec,
    seed: int,
    config: RankerConfig | None = None,
    training: TrainingConfig | None = None,
    alpha: float = 0.5,
    initial: Ranker | None = None,
    validation: Examples | None = None,
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
        teacher_logits_BH=score(teacher, examples, position="shown").logits_BH,
        alpha=alpha,
        initial=initial,
        validation=validation,
        on_progress=on_progress,
    )


def _new(examples: Examples, spec: FeatureSpec, config: RankerConfig) -> Ranker:
    """A fresh model whose output bias starts at the corrected log-odds of the data, its position logits at 0."""
    edges_NK = quantile_edges(examples.numeric_BN, examples.missing_BN, num_bins=config.numeric_bins)
    model = Ranker(
        spec=spec, config=config, actions=examples.actions, surfaces=examples.surface.names, edges_NK=edges_NK
    )
    acted_B, weights_B = examples.acted_B.numpy() > 0, examples.weights
    with torch.no_grad():
        bias_H = [_log_odds(float(acted_B.sum()), float(weights_B[~acted_B].sum()))]
        if len(model.heads) > 1:
            taken_A = examples.labels_BA.double().sum(0).tolist()
            bias_H += [_log_odds(taken, float(acted_B.sum()) - taken) for taken in taken_A]
        model.output.bias.copy_(torch.tensor(bias_H))
    return model


def _hidden(given: float | None, id_B: npt.NDArray[np.int64], examples: Examples, config: RankerConfig) -> float:
    return unknown_share(id_B, examples.served_at_B, min_count=config.min_count) if given is None else given


def unknown_share(id_B: npt.NDArray[np.int64], served_at_B: npt.NDArray[np.int64], *, min_count: int) -> float:
    """How often an id is unknown when a model meets it: of the last tenth of the rows by time, the share whose id the
    rows before hold fewer than `min_count` times.

    >>> unknown_share(np.array([1] * 18 + [1, 2]), np.arange(20), min_count=2)
    0.5
    """
    order = np.argsort(served_at_B, kind="stable")
    before, last = np.split(id_B[order], [len(order) * 9 // 10])
    count = np.bincount(before, minlength=int(id_B.max()) + 1)
    return float((count[last] < min_count).mean())


def _log_odds(positives: float, negatives: float) -> float:
    """With half a row on either side, so that an action never seen starts low instead of at −inf."""
    return float(np.log(positives + 0.5) - np.log(negatives + 0.5))


def _warm(initial: Ranker, examples: Examples, spec: FeatureSpec, config: RankerConfig) -> Ranker:
    """A copy of `initial` with room for the surfaces that are new."""
    for what, theirs, ours in (
        ("spec", initial.spec, spec),
        ("config", initial.config, config),
        ("actions", initial.actions, examples.actions),
    ):
        if theirs != ours:
            raise ValueError(f"initial was trained with another {what}: {theirs}, not {ours}; train from scratch")
    if initial.position is None:
        raise ValueError("initial holds serving weights, without the position logit; start from teacher weights")
    model = copy.deepcopy(initial).train()
    assert model.position is not None
    new = tuple(sorted(set(examples.surface.names) - set(model.surfaces)))
    if new:
        model.surfaces = (*model.surfaces, *new)
        position = PositionLogit(
            num_surfaces=len(model.surfaces), num_heads=len(model.heads), max_position=config.max_position
        )
        with torch.no_grad():
            position.table[: len(initial.surfaces)] = model.position.table
        model.position = position
    return model


def _optimizer(model: Ranker, training: TrainingConfig) -> torch.optim.Optimizer:
    tables = [model.embedding.deviation]
    position = [p for name, p in model.named_parameters() if name.startswith("position.")]
    own = {id(p) for p in (*tables, *position)}
    rest = [p for p in model.parameters() if id(p) not in own]
    groups = [
        {"params": rest, "lr": training.learning_rate, "weight_decay": training.decay},
        {"params": tables, "lr": training.embedding_learning_rate, "weight_decay": training.embedding_decay},
        {"params": position, "lr": training.position_learning_rate, "weight_decay": 0.0},
    ]
    return torch.optim.AdamW([group for group in groups if group["params"]], fused=True)


def _pace(step: int, num_steps: int) -> float:
    """Share of the learning rate at a step: a linear rise over the first tenth, then a cosine down to 0."""
    rise = max(1, num_steps // 10)
    if step < rise:
        return (step + 1) / rise
    return float(0.5 * (1 + np.cos(np.pi * (step - rise) / max(1, num_steps - rise))))


def _labels(examples: Examples, model: Ranker) -> Tensor:
    """Outcomes in the order of the heads (B, H)."""
    acted_B1 = examples.acted_B.unsqueeze(1)
    return acted_B1 if len(model.heads) == 1 else torch.cat([acted_B1, examples.labels_BA], dim=1)


def _train(
    model: Ranker,
    examples: Examples,
    training: TrainingConfig,
    seed: int,
    teacher_logits_BH: Tensor | None,
    alpha: float,
    validation: Examples | None,
    on_progress: Callable[[Progress], None] | None,
) -> Fitted:
    labels_BH = _labels(examples, model)
    surface_B = surface_codes(model.surfaces, examples.surface)
    keep_B = examples.negative_keep_probability_B.float()
    optimizer = _optimizer(model, training)
    rare, embeddings = model.embedding.rows_below(MEMORABLE), model.embedding.deviation.detach().clone()
    batch_size = training.rows_in_batch(len(examples))
    num_steps = training.epochs * -(-len(examples) // batch_size)
    schedule = torch.optim.lr_scheduler.LambdaLR(optimizer, lambda step: _pace(step, num_steps))
    every = max(1, num_steps // CURVE_POINTS)

    curve: list[dict[str, float]] = []
    epochs: list[dict[str, float]] = []
    best: tuple[float, dict[str, Tensor]] | None = None
    started, step, num_seen, recent, recent_rows = time.monotonic(), 0, 0, torch.zeros(()), 0
    for epoch in range(training.epochs):
        model.train()
        if epoch:
            _begin_anew(model.embedding, rare, embeddings, optimizer)
        for rows in shuffled_batches(len(examples), batch_size=batch_size, seed=seed, epoch=epoch):
            logits_BH = model(
                examples.categorical_BC[rows],
                examples.numeric_BN[rows],
                examples.missing_BN[rows],
                tuple(sequence_BL[rows] for sequence_BL in examples.sequences),
            ) + model.position_logits(surface_B[rows], examples.position_B[rows])
            if teacher_logits_BH is None:
                loss = label_loss(logits_BH, labels_BH=labels_BH[rows], negative_keep_probability_B=keep_B[rows])
            else:
                loss = distillation_loss(
                    logits_BH,
                    labels_BH=labels_BH[rows],
                    teacher_logits_BH=teacher_logits_BH[rows],
                    negative_keep_probability_B=keep_B[rows],
                    alpha=alpha,
                )
            optimizer.zero_grad(set_to_none=True)
            loss.backward()
            optimizer.step()
            schedule.step()
            step, num_seen, recent_rows = step + 1, num_seen + len(rows), recent_rows + len(rows)
            recent = recent + loss.detach() * len(rows)
            if step % every == 0 or step == num_steps:
                curve.append({"examples": float(num_seen), "loss": float(recent) / recent_rows})
                recent, recent_rows = torch.zeros(()), 0
                if on_progress is not None:
                    on_progress(_progress(epoch, num_seen, training.epochs * len(examples), started, curve[-1]["loss"]))
        if validation is not None:
            loss_now = _validation_loss(model, validation)
            epochs.append({"epoch": float(epoch + 1), "validation_loss": loss_now})
            if best is None or loss_now < best[0]:
                best = (loss_now, copy.deepcopy(model.state_dict()))
    if best is not None:
        model.load_state_dict(best[1])
    logits_BH = score(model, examples, position="shown").logits_BH
    corrections_H = level_corrections(logits_BH, labels_BH=labels_BH, negative_keep_probability_B=keep_B)
    with torch.no_grad():
        model.output.bias.add_(corrections_H)
    return Fitted(model=model.eval(), curve=curve, epochs=epochs, seconds=time.monotonic() - started)


def _begin_anew(embedding: HashedEmbedding, rare: Tensor, start: Tensor, optimizer: torch.optim.Optimizer) -> None:
    """Give the rare rows what they began with, and forget how they moved since."""
    with torch.no_grad():
        embedding.deviation[rare] = start[rare]
        for name in ("exp_avg", "exp_avg_sq"):
            optimizer.state[embedding.deviation][name][rare] = 0.0


def _progress(epoch: int, num_seen: int, num_total: int, started: float, loss: float) -> Progress:
    pace = num_seen / max(time.monotonic() - started, 1e-9)
    return Progress(
        epoch=epoch + 1,
        num_seen=num_seen,
        num_total=num_total,
        examples_per_second=pace,
        seconds_left=(num_total - num_seen) / pace,
        loss=loss,
    )


def _validation_loss(model: Ranker, validation: Examples) -> float:
    logits_BH = score(model, validation, position="shown").logits_BH
    keep_B = validation.negative_keep_probability_B.float()
    return float(label_loss(logits_BH, labels_BH=_labels(validation, model), negative_keep_probability_B=keep_B))
