"""A canary's next step from live figures: ramp, hold, promote or revert, with the reasons."""

from decisions.rollout.deciding import RolloutDecision, decide
from decisions.rollout.figures import ArmCounts, Measured, RampFigures, RampState, Spread, StepCounts
from decisions.rollout.rules import GUARDRAILS, Guardrail, RolloutRules

__all__ = [
    "GUARDRAILS",
    "ArmCounts",
    "Guardrail",
    "Measured",
    "RampFigures",
    "RampState",
    "RolloutDecision",
    "RolloutRules",
    "Spread",
    "StepCounts",
    "decide",
]
