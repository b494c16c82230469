"""Did the teacher help its student? Judged by the student's twin that learnt the same rows from the labels alone.

The two differ in nothing but the teacher, so a teacher that has gone wrong, or stale, shows in the difference, however
young it is and whatever it is called. Two trainings of the same rows differ by chance too, and a teacher is there for
steadiness as much as for gain: it is dropped where harm is proven, and kept otherwise.
"""

from dataclasses import dataclass
from typing import Any, Literal

from decisions.entropy import binary_entropy
from decisions.interval import Interval

Outcome = Literal["kept", "harmful"]
# The least that counts as harm: of the AUC, and of the log loss as a share of the base rate's entropy. As in the gate.
HARM = 0.001
# Levels move from week to week, and calibration takes that up: before it, ten times as much is allowed.
BARE_HARM = 0.01


@dataclass(frozen=True, kw_only=True)
class TeacherFigures:
    """Student − control of the AUC, control − student of log losses in nats, paired by user; above 0 it helped.

    log_loss_gain: of calibrated probabilities, those that are served. bare_log_loss_gain: of the logits as they were
    learnt, from which the next student learns; calibration hides that a teacher's noise flattened them. rate: of the
    action among the rows.
    """

    rate: float
    auc_gain: Interval
    log_loss_gain: Interval
    bare_log_loss_gain: Interval


@dataclass(frozen=True, kw_only=True)
class TeacherVerdict:
    outcome: Outcome
    figures: TeacherFigures
    reason: str

    @property
    def is_harmful(self) -> bool:
        return self.outcome == "harmful"

    def to_json(self) -> dict[str, Any]:
        figures = self.figures
        return {
            "outcome": self.outcome,
            "reason": self.reason,
            "rate": figures.rate,
            "auc_gain": figures.auc_gain.to_json(),
            "log_loss_gain": figures.log_loss_gain.to_json(),
            "bare_log_loss_gain": figures.bare_log_loss_gain.to_json(),
        }


def judge_teacher(figures: TeacherFigures) -> TeacherVerdict:
    """Harmful where any of the three is proven, at 99 %, to be worse than without the teacher by more than its harm.

    >>> def verdict(auc: float, error: float) -> str:
    ...     level = Interval.normal(0.0, standard_error=0.0001)
    ...     auc_gain = Interval.normal(auc, standard_error=error)
    ...     figures = TeacherFigures(rate=0.1, auc_gain=auc_gain, log_loss_gain=level, bare_log_loss_gain=level)
    ...     return judge_teacher(figures).outcome
    >>> verdict(+0.002, 0.002), verdict(-0.002, 0.002), verdict(-0.02, 0.002)
    ('kept', 'kept', 'harmful')
    """
    entropy = binary_entropy(figures.rate)
    gains = {
        "AUC": (figures.auc_gain, HARM),
        "log loss": (figures.log_loss_gain, HARM * entropy),
        "log loss before calibration": (figures.bare_log_loss_gain, BARE_HARM * entropy),
    }
    best = {name: (gain.upper_99, harm) for name, (gain, harm) in gains.items()}
    worse = [f"{name} at best {gain:+.4g} (99 %)" for name, (gain, harm) in best.items() if gain < -harm]
    if worse:
        reason = f"the student did worse than its control without a teacher: {', '.join(worse)}"
        return TeacherVerdict(outcome="harmful", figures=figures, reason=reason)
    found = ", ".join(f"{name} {gain.figure:+.4g}" for name, (gain, _) in gains.items())
    return TeacherVerdict(outcome="kept", figures=figures, reason=f"no harm is shown; what it brought: {found}")
