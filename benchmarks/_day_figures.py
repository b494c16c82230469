"""A day's figures from its rows in memory: what the models of monitoring.* keep in SQL, told a second time in NumPy."""

from collections import Counter
from collections.abc import Mapping

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from decisions.days import LEVELS_L, DayFigures, FeatureFigures, Floats, RandomFigures, ValueFigures

# As many values of a feature as monitoring.value_statistics keeps of a day.
VALUES_KEPT = 200
ACTIONS = {"clicked": "click", "long_clicked": "long_click", "saved": "save", "hidden": "hide"}
ALIGNED = ("score", "item_click_rate")


def figures_of(examples: pa.Table, *, random_slice: pa.Table, kinds: Mapping[str, str]) -> DayFigures:
    """Of one day: `examples` and `random_slice` as the marts have them; `kinds` by feature, as in the spec."""
    acted = examples["acted"].to_numpy()
    requests, request = np.unique(examples["request_id"].to_numpy(zero_copy_only=False), return_inverse=True)
    position = examples["position"].to_numpy(zero_copy_only=False)
    item = examples["item_id"].combine_chunks().dictionary_encode().indices.to_numpy(zero_copy_only=False)
    users = Counter(examples["user_id"].to_pylist())
    return DayFigures(
        day=examples["day"][0].as_py(),
        examples=examples.num_rows,
        requests=len(requests),
        users=len(users),
        items=len(np.unique(item)),
        hours=len(pc.unique(examples["hour_of_day"])),
        first_places=len(np.unique(request[position == 1])),
        repeated_items=examples.num_rows - _pairs(request, item),
        repeated_places=examples.num_rows - _pairs(request, np.nan_to_num(position).astype(np.int64)),
        most_of_a_user=max(users.values()),
        of_new_users=pc.sum(pc.equal(examples["user_exposures"], 0)).as_py() or 0,
        of_new_items=pc.sum(pc.equal(examples["item_exposures"], 0)).as_py() or 0,
        mean_draw=pc.mean(examples["draw"]).as_py(),
        acted=int(acted.sum()),
        positives={action: pc.sum(examples[column]).as_py() for column, action in ACTIONS.items()},
        features={name: _feature(examples[name], kind, acted) for name, kind in kinds.items()},
        random=_random(random_slice) if random_slice.num_rows else None,
    )


def _pairs(one: np.ndarray, other: np.ndarray) -> int:
    return len(np.unique(one.astype(np.int64) * (int(other.max(initial=0)) + 1) + other))


def _feature(column: pa.ChunkedArray, kind: str, acted: np.ndarray) -> FeatureFigures:
    if kind == "categorical":
        return FeatureFigures(
            kind=kind,
            missing=column.null_count,
            distinct_values=pc.count_distinct(column).as_py(),
            missing_acted_correlation=_correlation(column.is_null().to_numpy(), acted),
            values=_values(column.cast(pa.string()), acted),
        )
    numbers = pc.list_value_length(column) if kind == "sequence" else column
    missing = numbers.is_null().to_numpy() if kind == "numeric" else numbers.to_numpy() == 0
    number = numbers.to_numpy(zero_copy_only=False).astype(np.float64)
    there = ~numbers.is_null().to_numpy() & np.isfinite(number)
    values: Mapping[str, ValueFigures] = {}
    if kind == "sequence":
        lists = column.combine_chunks()
        values = _values(pa.chunked_array([lists.flatten()]), acted[pc.list_parent_indices(lists).to_numpy()])
    return FeatureFigures(
        kind=kind,
        missing=int(missing.sum()),
        not_finite=int((~there).sum()) - numbers.null_count,
        quantiles_L=_quantiles(number[there]),
        acted_correlation=_correlation(number[there], acted[there]),
        missing_acted_correlation=_correlation(missing, acted),
        values=values,
    )


def _quantiles(numbers: Floats) -> Floats:
    """The smallest number that at least a share L of all lie at or below."""
    if not len(numbers):
        return np.empty(0)
    ranks = np.clip(np.ceil(LEVELS_L * len(numbers)).astype(np.int64) - 1, 0, len(numbers) - 1)
    return np.sort(numbers)[ranks]


def _correlation(one: np.ndarray, other: np.ndarray) -> float:
    if not len(one) or one.std() == 0 or other.std() == 0:
        return float("nan")
    return float(np.corrcoef(one, other)[0, 1])


def _values(column: pa.ChunkedArray, acted: np.ndarray) -> dict[str, ValueFigures]:
    rows = pa.table({"value": column, "acted": acted.astype(np.int64)}).filter(column.is_valid())
    found = rows.group_by("value").aggregate([("acted", "count"), ("acted", "sum")])
    found = found.sort_by([("acted_count", "descending"), ("value", "ascending")]).slice(0, VALUES_KEPT)
    counts = zip(
        found["value"].to_pylist(), found["acted_count"].to_pylist(), found["acted_sum"].to_pylist(), strict=True
    )
    return {value: ValueFigures(examples=examples, acted=acted) for value, examples, acted in counts}


def _random(rows: pa.Table) -> RandomFigures:
    requests, request = np.unique(rows["request_id"].to_numpy(zero_copy_only=False), return_inverse=True)
    candidates_R = np.bincount(request)
    impressed = rows["impressed"].to_numpy()
    placed_R = np.bincount(request, weights=impressed)
    # Those that were not placed share the places behind.
    place = rows["position"].to_numpy(zero_copy_only=False)
    place = np.where(impressed & np.isfinite(place), place, (placed_R + 1 + candidates_R)[request] / 2)
    propensity = rows["propensity"].to_numpy(zero_copy_only=False)
    known = propensity[np.isfinite(propensity)]
    slices = Counter(rows["user_slice"].to_pylist())
    return RandomFigures(
        requests=len(requests),
        candidates=rows.num_rows,
        examples=int(impressed.sum()),
        without_propensity=int(np.isnan(propensity).sum()),
        propensity_sum=float(np.bincount(request, weights=np.nan_to_num(propensity)).mean()),
        smallest_propensity=float(known.min()) if len(known) else float("nan"),
        largest_propensity=float(known.max()) if len(known) else float("nan"),
        alignment={name: _alignment(request, place, rows[name].to_numpy(zero_copy_only=False)) for name in ALIGNED},
        calibrate_share=slices["calibrate"] / rows.num_rows,
        evaluate_share=slices["evaluate"] / rows.num_rows,
    )


def _alignment(request: np.ndarray, place: Floats, number: Floats) -> float:
    """Σ covariation over requests ÷ its standard deviation if each request's places were permuted at random."""
    known = np.isfinite(number)
    request, place, number = request[known], place[known], number[known]
    count_R = np.bincount(request)
    place = place - (np.bincount(request, weights=place) / np.maximum(count_R, 1))[request]
    number = number - (np.bincount(request, weights=number) / np.maximum(count_R, 1))[request]
    spread_R = np.bincount(request, weights=place**2) * np.bincount(request, weights=number**2)
    variance = (spread_R / np.maximum(count_R - 1, 1)).sum()
    return float((place * number).sum() / np.sqrt(variance)) if variance > 0 else float("nan")
