"""Golden rows: a few rows and what the model said of them, by which whoever loads it sees that it says the same."""

from collections.abc import Mapping
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from ranker.calibrator import Calibrator
from ranker.candidates import Candidates, Lists
from ranker.examples import Codes
from ranker.model import Ranker
from ranker.scoring import score
from ranker.spec import FeatureSpec

# Log-odds of the same weights differ by less between machines and numbers of threads.
TOLERANCE = 1e-4
NUM_ROWS = 32


def golden_rows(table: pa.Table, *, model: Ranker, calibrator: Calibrator) -> dict[str, Any]:
    """Up to NUM_ROWS rows of a table, spread over it, as JSON data: the features by name, and the calibrated
    p(action) of each action at position 1.

    Whoever the rows are of is called otherwise: a release is kept for years, and people may ask to be forgotten.
    """
    some = np.unique(np.linspace(0, table.num_rows - 1, min(table.num_rows, NUM_ROWS)).astype(np.int64))
    columns = {name: _plain(table[name].take(pa.array(some))) for name in model.spec.inputs()}
    if model.spec.user in columns:
        columns[model.spec.user] = [f"golden-{number}" for number in range(len(some))]
    rows = candidates_of(columns, spec=model.spec)
    found = calibrator.apply(score(model, rows))
    return {"features": columns, "probabilities": {action: values.tolist() for action, values in found.items()}}


def golden_error(golden: Mapping[str, Any], *, model: Ranker, calibrator: Calibrator) -> float:
    """The largest difference in log-odds between what was said then and what is said now.

    Raises ValueError if the golden rows are not of this model.
    """
    found = calibrator.apply(score(model, candidates_of(golden["features"], spec=model.spec)))
    said = {action: np.array(values) for action, values in golden["probabilities"].items()}
    if found.keys() != said.keys():
        raise ValueError(f"golden rows are of {sorted(said)}; the model predicts {sorted(found)}")
    return max(float(np.abs(_log_odds(found[one]) - _log_odds(said[one])).max(initial=0.0)) for one in found)


def candidates_of(columns: Mapping[str, list[Any]], *, spec: FeatureSpec) -> Candidates:
    """Rows from plain lists by name: numbers, text and lists of text, with None where a value is missing."""
    numbers, lists = {feature.name for feature in spec.numeric}, {feature.name for feature in spec.sequences}
    num_rows = len(next(iter(columns.values())))
    return Candidates.from_columns(
        num_rows,
        spec=spec,
        numbers={name: np.array(columns[name], dtype=np.float64) for name in columns if name in numbers},
        words={
            name: Codes(np.arange(num_rows), tuple("" if value is None else str(value) for value in values))
            for name, values in columns.items()
            if name not in numbers | lists
        },
        lists={
            name: Lists(np.arange(num_rows), [tuple(value or ()) for value in columns[name]])
            for name in columns
            if name in lists
        },
    )


def _plain(column: pa.ChunkedArray) -> list[Any]:
    """JSON has no NaN; null says the same."""
    values = pc.if_else(pc.is_finite(column), column, None) if pa.types.is_floating(column.type) else column
    plain: list[Any] = values.to_pylist()
    return plain


def _log_odds(probabilities: np.ndarray) -> np.ndarray:
    return np.log(probabilities) - np.log1p(-probabilities)
