"""A calibration for every action, by the method that the evidence for it allows; part of a release."""

from dataclasses import asdict, dataclass
from typing import Any, Literal

from ranker.calibration import Calibration, Method, fit_calibration
from ranker.examples import Examples
from ranker.isotonic import IsotonicCalibration, fit_isotonic
from ranker.metrics import Floats
from ranker.scoring import Scores

AnyMethod = Method | Literal["isotonic"]
# From so many positives on a second slope, and offsets by segment, are told apart from chance ([calibration]).
BETA_FROM = 200
POOLED_FROM = 1000


@dataclass(frozen=True, kw_only=True)
class Calibrator:
    """A calibration per action."""

    actions: dict[str, Calibration | IsotonicCalibration]

    def apply(self, scores: Scores) -> dict[str, Floats]:
        """Calibrated p(action) of every action. Raises ValueError for an action without a calibration."""
        unknown = sorted(set(scores.actions) - set(self.actions))
        if unknown:
            raise ValueError(f"there is no calibration for {unknown}, only for {sorted(self.actions)}")
        return {
            action: self.actions[action].apply(scores.log_odds(action), groups=scores.groups)
            for action in scores.actions
        }

    def to_json(self) -> dict[str, Any]:
        return {name: asdict(one) for name, one in self.actions.items()}

    @classmethod
    def from_json(cls, content: dict[str, Any]) -> "Calibrator":
        """Raises ValueError where keys are missing or unknown."""
        try:
            return cls(actions={name: _one_from_json(one) for name, one in content.items()})
        except (KeyError, TypeError) as error:
            raise ValueError(f"this is not a calibrator: {error}") from error


def calibrate(scores: Scores, examples: Examples, *, method: AnyMethod | None = None) -> Calibrator:
    """Fit each action on held-out examples, scored at the position shown, weighted by what each row stands for.

    method: by default that of `method_for`. `pooled` has offsets by the scores' groups: the spec's segments, and the
    position.
    """
    return Calibrator(
        actions={action: _fit(action, scores, examples, method=method) for action in scores.actions},
    )


def method_for(positives: int, *, has_groups: bool) -> Method:
    """What so many positives can tell; without groups there is nothing to have offsets for.

    >>> [method_for(positives, has_groups=True) for positives in (50, 500, 5000)]
    ['platt', 'beta', 'pooled']
    """
    if positives < BETA_FROM:
        return "platt"
    return "pooled" if positives >= POOLED_FROM and has_groups else "beta"


def _fit(
    action: str, scores: Scores, examples: Examples, *, method: AnyMethod | None
) -> Calibration | IsotonicCalibration:
    log_odds, labels, weights = scores.log_odds(action), examples.label(action), examples.weights
    if method == "isotonic":
        return fit_isotonic(log_odds, labels, weights=weights)
    chosen = method or method_for(int(labels.sum()), has_groups=bool(scores.groups))
    groups = scores.groups if chosen == "pooled" else None
    return fit_calibration(log_odds, labels, method=chosen, weights=weights, groups=groups)


def _one_from_json(content: dict[str, Any]) -> Calibration | IsotonicCalibration:
    if "probabilities" not in content:
        return Calibration(**content)
    steps = {name: tuple(content[name]) for name in ("log_odds", "probabilities")}
    return IsotonicCalibration(**{**content, **steps})
