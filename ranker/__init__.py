"""The torch library: examples from Arrow, a multi-task ranker, its training, calibration and evaluation.

Knows torch and pyarrow, and nothing of where the rows come from or where the model goes.
"""

from ranker.artifact import unpack_moments
from ranker.bootstrap import Difference, bootstrap, paired_bootstrap
from ranker.calibration import Calibration, fit_calibration
from ranker.calibrator import Calibrator, calibrate
from ranker.candidates import Candidates, Lists
from ranker.evaluation import evaluate
from ranker.examples import Codes, Examples
from ranker.golden import golden_error, golden_rows
from ranker.isotonic import IsotonicCalibration, fit_isotonic
from ranker.logged import LoggedLogits
from ranker.loop import Fitted, Progress
from ranker.loss import distillation_loss, label_loss
from ranker.model import Ranker, RankerConfig, head_names
from ranker.plots import interval_diagram, loss_curve, reliability_diagram, segment_diagram
from ranker.ranking_value import RankingValue, Slates, ranking_values, relative_gain
from ranker.robustness import Loss, robustness
from ranker.rows import Teacher
from ranker.scoring import Scores, flops, score
from ranker.segments import SegmentChange, segment_changes
from ranker.shifts import Shift, feature_shifts
from ranker.spec import Feature, FeatureSpec, Label
from ranker.streamed_bootstrap import StreamedComparison
from ranker.training import distill, fit
from ranker.training_config import TrainingConfig

__all__ = [
    "Calibration",
    "Calibrator",
    "Candidates",
    "Codes",
    "Difference",
    "Examples",
    "Feature",
    "FeatureSpec",
    "Fitted",
    "IsotonicCalibration",
    "Label",
    "Lists",
    "LoggedLogits",
    "Loss",
    "Progress",
    "Ranker",
    "RankerConfig",
    "RankingValue",
    "Scores",
    "SegmentChange",
    "Shift",
    "Slates",
    "StreamedComparison",
    "Teacher",
    "TrainingConfig",
    "bootstrap",
    "calibrate",
    "distill",
    "distillation_loss",
    "evaluate",
    "feature_shifts",
    "fit",
    "fit_calibration",
    "fit_isotonic",
    "flops",
    "golden_error",
    "golden_rows",
    "head_names",
    "interval_diagram",
    "label_loss",
    "loss_curve",
    "paired_bootstrap",
    "ranking_values",
    "relative_gain",
    "reliability_diagram",
    "robustness",
    "score",
    "segment_changes",
    "segment_diagram",
    "unpack_moments",
]
