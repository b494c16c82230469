"""The training loop: batches, loss, optimiser and schedule, from a model as it starts to one as it ends.

Shapes: B examples, H heads.
"""

import copy
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from torch import Tensor, nn

from ranker import checkpoint as checkpoints
from ranker.artifact import pack_moments
from ranker.examples import Examples
from ranker.levels import level_corrections
from ranker.loss import check_alpha, distillation_loss, label_loss
from ranker.model import Ranker
from ranker.optimizer import Again, moments_of, optimizer_of, restore
from ranker.rows import Rows, TrainingRows, labels_of
from ranker.scoring import ROWS_AT_ONCE, score
from ranker.start import sequences_of
from ranker.training_config import TrainingConfig

CURVE_POINTS = 100
# Of so many rows, a tenth of a per cent acted on, the level is known to 1.6 %.
LEVEL_ROWS = 4_000_000


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
    moments: AdamW's state as `<parameter>.exp_avg`, `.exp_avg_sq` and `.step`, for a warm start from this model.
    """

    model: Ranker
    curve: list[dict[str, float]]
    epochs: list[dict[str, float]]
    moments: dict[str, Tensor]
    seconds: float

    def to_files(self) -> dict[str, bytes]:
        """The model's files (`Ranker.to_files`), and the moments beside them."""
        return {**self.model.to_files(), **pack_moments(self.moments)}


Alpha = float | Mapping[str, float]


def by_head(alpha: Alpha, heads: tuple[str, ...]) -> Tensor:
    """The teacher's share of each head's loss (H). Raises ValueError if a head has none, or one outside [0, 1].

    >>> by_head({"acted": 0.5, "click|acted": 0.25}, ("acted", "click|acted"))
    tensor([0.5000, 0.2500])
    """
    if isinstance(alpha, Mapping) and set(alpha) != set(heads):
        raise ValueError(f"alpha is given for {sorted(alpha)}; the heads are {list(heads)}")
    alpha_H = torch.tensor([float(alpha[head] if isinstance(alpha, Mapping) else alpha) for head in heads])
    check_alpha(alpha_H)
    return alpha_H


class Objective(nn.Module):
    """The loss of one batch, as one module: what torch's DistributedDataParallel wraps."""

    alpha_H: Tensor
    last_alpha_H: Tensor

    def __init__(self, model: Ranker, *, alpha: Alpha, last_alpha: Alpha | None = None, bf16: bool = False) -> None:
        super().__init__()
        self.model, self.bf16 = model, bf16
        self.register_buffer("alpha_H", by_head(alpha, model.heads))
        self.register_buffer("last_alpha_H", by_head(alpha if last_alpha is None else last_alpha, model.heads))

    def forward(self, rows: Rows, *, share: float = 1.0, done: float = 0.0) -> Tensor:
        """The mean loss of the rows times `share`, by which ranks with more rows in a step weigh more.

        done: the part of the training that lies behind, by which alpha has moved to the last one.
        """
        logits_BH = self.logits(rows)
        if not len(rows):
            return logits_BH.sum() * 0
        labels_BH, keep_B, weight_B = rows.labels_BH, rows.negative_keep_probability_B, rows.weight_B
        if rows.teacher_logits_BH.shape[1]:
            loss = distillation_loss(
                logits_BH,
                labels_BH=labels_BH,
                teacher_logits_BH=rows.teacher_logits_BH,
                negative_keep_probability_B=keep_B,
                alpha=torch.lerp(self.alpha_H, self.last_alpha_H, done),
                weight_B=weight_B,
            )
        else:
            loss = label_loss(logits_BH, labels_BH=labels_BH, negative_keep_probability_B=keep_B, weight_B=weight_B)
        return loss * share

    def logits(self, rows: Rows) -> Tensor:
        """Bare logits (B, H) at the position shown."""
        with torch.autocast(rows.labels_BH.device.type, torch.bfloat16, enabled=self.bf16):
            features_BH = self.model(
                rows.categorical_BC, rows.numeric_BN, rows.missing_BN, sequences_of(self.model, rows)
            )
        return features_BH.float() + self.model.position_logits(rows.surface_B, rows.position_B)


@dataclass(kw_only=True)
class Standing:
    """How far a training has come, beside weights and optimiser."""

    step: int
    curve: list[dict[str, float]]
    epochs: list[dict[str, float]]
    best: dict[str, Tensor] | None


def train(
    model: Ranker,
    rows: TrainingRows,
    *,
    training: TrainingConfig,
    seed: int,
    alpha: Alpha,
    last_alpha: Alpha | None,
    moments: Mapping[str, Tensor] | None,
    validation: Examples | None,
    checkpoint: Path | None,
    on_progress: Callable[[Progress], None] | None,
) -> Fitted:
    """Train a model that has met the rows; see `fit`."""
    device = torch.device(training.device)
    objective = Objective(model, alpha=alpha, last_alpha=last_alpha, bf16=training.bf16).to(device)
    together = nn.parallel.DistributedDataParallel(objective) if rows.ranks.size > 1 else objective
    optimizer = optimizer_of(model, training)
    if moments is not None:
        restore(optimizer, model, moments)
    again = Again.of(model.embedding, optimizer)
    batch_size = training.rows_in_batch(len(rows))
    steps_in_epoch = rows.num_steps(batch_size)
    num_steps = training.epochs * steps_in_epoch
    every = max(1, num_steps // CURVE_POINTS)

    of = ""
    if checkpoint is not None:
        # A pass over all rows, which nobody else needs.
        of = checkpoints.fingerprint(rows, training=training, seed=seed, alpha=(alpha, last_alpha), config=model.config)
    now = Standing(step=0, curve=[], epochs=[], best=None)
    if checkpoint is not None and (saved := rows.ranks.of_first(lambda: checkpoints.read(checkpoint, of=of))):
        model.load_state_dict(saved["model"])
        optimizer.load_state_dict(saved["optimizer"])
        now = Standing(**saved["standing"])
    started, began_at, saved_at = time.monotonic(), now.step, time.monotonic()
    recent, recent_rows = torch.zeros((), device=device), 0
    for epoch in range(now.step // steps_in_epoch, training.epochs):
        model.train()
        first = now.step - epoch * steps_in_epoch
        if epoch and not first:
            again.begin(model.embedding, optimizer)
        batches = rows.batches(batch_size=batch_size, seed=seed, epoch=epoch, first=first, device=training.device)
        for batch, num_together in batches:
            torch.manual_seed(_seed(seed, now.step, rows.ranks.rank))
            pace = _pace(now.step, num_steps)
            for group in optimizer.param_groups:
                group["lr"] = group["peak"] * pace
            share = rows.ranks.size * len(batch) / num_together
            loss = together(batch, share=share, done=now.step / num_steps)
            optimizer.zero_grad(set_to_none=True)
            loss.backward()
            optimizer.step()
            now.step, recent_rows = now.step + 1, recent_rows + num_together
            recent = recent + loss.detach() * num_together
            if now.step % every == 0 or now.step == num_steps:
                now.curve.append({"examples": now.step / num_steps * training.epochs * len(rows)})
                now.curve[-1]["loss"] = float(recent) / recent_rows
                recent, recent_rows = torch.zeros((), device=device), 0
                if on_progress is not None:
                    on_progress(_progress(now, epoch, num_steps, training.epochs * len(rows), started, began_at))
                # Not between two epochs: what is done there belongs to neither.
                due = time.monotonic() - saved_at >= checkpoints.SECONDS_BETWEEN and now.step % steps_in_epoch
                if checkpoint is not None and due and rows.ranks.rank == 0:
                    state = {"model": model.state_dict(), "optimizer": optimizer.state_dict(), "standing": vars(now)}
                    checkpoints.write(checkpoint, state, of=of)
                    saved_at = time.monotonic()
        if validation is not None:
            loss_now = _validation_loss(model, validation)
            if not now.epochs or loss_now < min(one["validation_loss"] for one in now.epochs):
                now.best = copy.deepcopy(model.state_dict())
            now.epochs.append({"epoch": float(epoch + 1), "validation_loss": loss_now})
    if now.best is not None:
        model.load_state_dict(now.best)
    _set_level(objective, rows, device=device)
    if checkpoint is not None and rows.ranks.rank == 0:
        checkpoint.unlink(missing_ok=True)
    return Fitted(
        model=model.cpu().eval(),
        curve=now.curve,
        epochs=now.epochs,
        moments=moments_of(optimizer, model),
        seconds=time.monotonic() - started,
    )


def _seed(seed: int, step: int, rank: int) -> int:
    """What is dropped and hidden in a step depends on the step alone, so that training can go on from any."""
    return int(np.random.SeedSequence((seed, step, rank)).generate_state(1)[0])


def _pace(step: int, num_steps: int) -> float:
    """Share of the learning rate at a step: a linear rise over the first tenth, then a cosine down to 0."""
    rise = max(1, num_steps // 10)
    if step < rise:
        return (step + 1) / rise
    return float(0.5 * (1 + np.cos(np.pi * (step - rise) / max(1, num_steps - rise))))


def _set_level(objective: Objective, rows: TrainingRows, *, device: torch.device) -> None:
    """Add to each head what makes it predict as many outcomes as there were."""
    sample = rows.sample(LEVEL_ROWS).to(device)
    objective.model.eval()
    with torch.inference_mode():
        parts = [
            objective.logits(sample.take(index_B))
            for index_B in torch.arange(len(sample), device=device).split(ROWS_AT_ONCE)
        ]
    corrections_H = level_corrections(
        torch.cat(parts) if parts else sample.labels_BH,
        labels_BH=sample.labels_BH,
        negative_keep_probability_B=sample.negative_keep_probability_B,
        weight_B=sample.weight_B,
        total=rows.ranks.total,
    )
    with torch.no_grad():
        objective.model.output.bias.add_(corrections_H)


def _progress(now: Standing, epoch: int, num_steps: int, num_total: int, started: float, began_at: int) -> Progress:
    num_seen = round(now.step / num_steps * num_total)
    pace = (now.step - began_at) / num_steps * num_total / max(time.monotonic() - started, 1e-9)
    return Progress(
        epoch=epoch + 1,
        num_seen=num_seen,
        num_total=num_total,
        examples_per_second=pace,
        seconds_left=(num_total - num_seen) / pace,
        loss=now.curve[-1]["loss"],
    )


def _validation_loss(model: Ranker, validation: Examples) -> float:
    logits_BH = score(model, validation, position="shown").logits_BH
    keep_B = validation.negative_keep_probability_B.float()
    return float(label_loss(logits_BH, labels_BH=labels_of(validation), negative_keep_probability_B=keep_B))
