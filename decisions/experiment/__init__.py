"""What an experiment says so far: sample ratio first, then lifts with intervals that hold at every look."""

from decisions.experiment.analysing import Comparison, ExperimentResult, analyse
from decisions.experiment.figures import Compared, ExperimentPlan, Look, Moments
from decisions.experiment.lift import Lift, lift
from decisions.experiment.looks import boundaries
from decisions.experiment.sample_ratio import SampleRatio, check_sample_ratio

__all__ = [
    "Compared",
    "Comparison",
    "ExperimentPlan",
    "ExperimentResult",
    "Lift",
    "Look",
    "Moments",
    "SampleRatio",
    "analyse",
    "boundaries",
    "check_sample_ratio",
    "lift",
]
