"""Training on sampled rows of a simulated world, and its levels by segment against the true chances.

Of the requests four in five train and one judges: the same users and days stand on both sides, so that what is measured
is the sampling, not the drift. Shapes: B rows to train on, or judged.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np
import torch
from numpy.typing import NDArray

from benchmarks._simulated import SPEC, simulated_examples
from lakehouse.dataset import ACTIONS
from ranker import Examples, Scores
from ranker.metrics import Floats
from simulator.chance import draw
from simulator.world import World

MIN_POSITIVES = 50


@dataclass(frozen=True, kw_only=True)
class Split:
    """All rows to train on, each with its draw, and those judged with the true chance of each action."""

    train: Examples
    draw_B: Floats
    judged: Examples
    truth: dict[str, Floats]

    @classmethod
    def of(cls, world: World) -> "Split":
        table = simulated_examples(world)
        examples = Examples.from_arrow(table, spec=SPEC, actions=ACTIONS)
        judges_B = draw(examples.request_codes, salt="judge", seed=world.seed) < 0.2
        train = examples[~judges_B]
        return cls(
            train=train,
            draw_B=draw(np.arange(len(train)), salt="sampling", seed=world.seed),
            judged=examples[judges_B],
            truth={action: table[f"{action}_truth"].to_numpy()[judges_B] for action in ACTIONS},
        )

    def keep_B(self, column: str, keeps: Mapping[str, float]) -> Floats:
        """What a recipe by this segment gives a row without an action."""
        codes = self.train.segments[column]
        return np.array([keeps[name] for name in codes.names])[codes.codes]

    def kept(self, keep_B: Floats) -> NDArray[np.int64]:
        """Places of the rows that are kept: all with an action, and the others by their draw."""
        return np.flatnonzero((self.train.acted_B.numpy() > 0) | (self.draw_B < keep_B))

    def sampled(self, keep_B: Floats) -> Examples:
        """The rows that are kept, each with what its stratum gives a row without an action."""
        kept = self.kept(keep_B)
        return replace(self.train[kept], negative_keep_probability_B=torch.from_numpy(keep_B[kept]))


def positives_by_segment(labels: Floats, examples: Examples) -> dict[str, float]:
    return {
        f"{name}={value}": float(positives)
        for name, codes in examples.segments.items()
        for value, positives in zip(
            codes.names, np.bincount(codes.codes, weights=labels, minlength=len(codes.names)), strict=True
        )
    }


def by_segment(probabilities: Floats, truth: Floats, judged: Examples) -> dict[str, float]:
    """Predicted over true actions of every value with enough of these."""
    predicted, true = (positives_by_segment(one, judged) for one in (probabilities, truth))
    return {name: predicted[name] / positives for name, positives in true.items() if positives >= MIN_POSITIVES}


def levels(scores: Scores, split: Split) -> dict[str, float]:
    """Predicted over true actions by action and segment, "click, country=de"."""
    return {
        f"{action}, {segment}": pcoc
        for action in ACTIONS
        for segment, pcoc in by_segment(scores.probability(action), split.truth[action], split.judged).items()
    }


def actions_learnt_from(split: Split) -> dict[str, float]:
    """How many rows with the action a segment has to learn from, named as in `levels`; all recipes keep these."""
    return {
        f"{action}, {segment}": positives
        for action in ACTIONS
        for segment, positives in positives_by_segment(split.train.label(action), split.train).items()
    }


def worst(
    levels: Sequence[Mapping[str, float]], learnt_from: Sequence[Mapping[str, float]], *, tolerance: float
) -> tuple[str, float, float]:
    """What lies furthest beyond what is allowed, by segment and action: its name, |mean PCOC − 1|, what is allowed.

    An entry of `levels` and `learnt_from` for each world. SE is 1 / √n for the n actions of all worlds that a segment's
    level could be learnt from; it is judged by its true chances, which have no error.
    """
    names = {what for one in levels for what in one}
    distances = {what: abs(float(np.mean([one[what] for one in levels if what in one])) - 1) for what in names}
    allowed = {what: tolerance + 3 / sum(one[what] for one in learnt_from) ** 0.5 for what in names}
    of = max(names, key=lambda what: distances[what] - allowed[what])
    return of, distances[of], allowed[of]
