"""Scores of examples: bare logits per head, and the probability of each action that they make together."""

from collections.abc import Mapping
from contextlib import nullcontext
from dataclasses import dataclass, field
from typing import Literal

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor
from torch.nn.functional import logsigmoid
from torch.utils.flop_counter import FlopCounterMode

from ranker.candidates import Candidates
from ranker.examples import Codes, Examples
from ranker.model import Ranker
from ranker.reproducible import reproducible

# What few rows need stays in the cache: 65,536 at once took 2.5 times as long.
ROWS_AT_ONCE = 4_096


@dataclass(frozen=True, kw_only=True)
class Scores:
    """Bare logits (B, H) in the order of `heads`, in the row order of the examples that were scored.

    Bare: no sampling offset, not calibrated. `heads` is ("acted",) for one action, otherwise ("acted",
    "click|acted", …). These are the logits that a student distils from. groups: what a calibration may go by, the
    examples' segments and the `position` that they were scored at, where that is known.
    """

    actions: tuple[str, ...]
    heads: tuple[str, ...]
    logits_BH: Tensor
    groups: Mapping[str, Codes] = field(default_factory=dict)

    def log_odds(self, action: str) -> npt.NDArray[np.float64]:
        """Log-odds of p(action) = p(acted) · p(action | acted), float64; 'acted' is any action at all."""
        acted_B = self.logits_BH[:, 0].double()
        if action == "acted" or self.actions == (action,):
            return acted_B.numpy()
        if action not in self.actions:
            raise ValueError(f"action is {action!r}; these scores know 'acted' and {self.actions}")
        given_B = self.logits_BH[:, self.heads.index(f"{action}|acted")].double()
        log_p_B = logsigmoid(acted_B) + logsigmoid(given_B)
        return (log_p_B - torch.log(-torch.expm1(log_p_B))).numpy()

    def probability(self, action: str) -> npt.NDArray[np.float64]:
        """p(action), float64."""
        return 1 / (1 + np.exp(-self.log_odds(action)))

    def probabilities(self) -> dict[str, npt.NDArray[np.float64]]:
        """p(action) of every action."""
        return {action: self.probability(action) for action in self.actions}


def score(model: Ranker, examples: Examples | Candidates, *, position: int | Literal["shown"] = 1) -> Scores:
    """Score examples at the position they were shown at, or all at one position (1: as serving does).

    Distil and judge at "shown"; rank at 1. Raises ValueError for a position below 1, and for "shown" of candidates,
    which have stood nowhere yet.
    """
    if position == "shown" and isinstance(examples, Examples):
        position_B = examples.position_B
    elif isinstance(position, int) and position >= 1:
        position_B = torch.full((len(examples),), position)
    else:
        raise ValueError(f"position is {position!r}; it must be 'shown' or an integer from 1")
    # Rows to be ranked have not stood anywhere yet, and are all scored at the one position.
    has_positions = position != "shown" or (isinstance(examples, Examples) and examples.has_positions)
    surface_B = surface_codes(model.surfaces, examples.surface)
    was_training = model.training
    model.eval()
    parts = []
    # Whoever waits for an answer does not ask for the same bits; setting it up takes as long as scoring 30 rows.
    same_bits = reproducible(seed=0, num_threads=1) if isinstance(examples, Examples) else nullcontext()
    with same_bits, torch.inference_mode():
        for start in range(0, len(examples), ROWS_AT_ONCE):
            rows = slice(start, start + ROWS_AT_ONCE)
            features_BH = model(
                examples.categorical_BC[rows],
                examples.numeric_BN[rows],
                examples.missing_BN[rows],
                tuple(sequence_BL[rows] for sequence_BL in examples.sequences),
            )
            parts.append(features_BH + model.position_logits(surface_B[rows], position_B[rows]))
    model.train(was_training)
    logits_BH = torch.cat(parts) if parts else torch.zeros(0, len(model.heads))
    return Scores(
        actions=model.actions,
        heads=model.heads,
        logits_BH=logits_BH,
        groups={**examples.segments, **({"position": position_codes(position_B)} if has_positions else {})},
    )


def flops(model: Ranker, examples: Examples) -> int:
    """Multiplications and additions that scoring one of the examples takes, as torch counts them.

    Raises ValueError without an example.
    """
    if not len(examples):
        raise ValueError("there is no example to score")
    some = examples[np.arange(min(len(examples), 100))]
    with FlopCounterMode(display=False) as counter:
        score(model, some)
    return round(counter.get_total_flops() / len(some))


def position_codes(position_B: Tensor) -> Codes:
    """Positions by their number as a name; 0 is an unknown one."""
    num_places = int(position_B.max()) + 1 if len(position_B) else 0
    return Codes(position_B.numpy(), tuple(map(str, range(num_places))))


def surface_codes(surfaces: tuple[str, ...], column: Codes) -> Tensor:
    """Each row's index into the model's surfaces; −1 for one that it does not know."""
    known = {name: code for code, name in enumerate(surfaces)}
    codes = np.array([known.get(name, -1) for name in column.names], dtype=np.int64)
    return torch.from_numpy(codes[column.codes]) if len(column.codes) else torch.zeros(0, dtype=torch.int64)
