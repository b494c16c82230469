from collections.abc import Callable
from dataclasses import replace

import numpy as np
import pyarrow as pa
import pytest
import torch
from scipy.stats import ks_2samp

from ranker import Examples, FeatureSpec, feature_shifts
from ranker.robustness import without

ACTIONS = ("click", "save")


@pytest.fixture
def examples(spec: FeatureSpec, world: Callable) -> Examples:
    return Examples.from_arrow(world(3000, seed=4).table, spec=spec, actions=ACTIONS)


def unweighted(examples: Examples) -> Examples:
    return replace(examples, negative_keep_probability_B=torch.ones(len(examples), dtype=torch.float64))


def test_numbers_are_as_far_apart_as_scipy_says_and_rows_beside_themselves_not_at_all(
    examples: Examples, spec: FeatureSpec
) -> None:
    rows = unweighted(examples)
    before, after = rows[np.arange(1000)], rows[np.arange(1000, 3000)]
    found = {one.feature: one for one in feature_shifts(before, after, spec=spec)}
    for at, feature in enumerate(spec.numeric):
        values = [one.numeric_BN[:, at][~one.missing_BN[:, at]].numpy() for one in (before, after)]
        assert found[feature.name].distance == pytest.approx(ks_2samp(*values).statistic)
    assert {spec.user, spec.item}.isdisjoint(found)
    assert all(one.distance == pytest.approx(0) for one in feature_shifts(before, before, spec=spec))


def test_categories_are_apart_by_half_the_gaps_between_their_shares(
    spec: FeatureSpec, world: Callable, examples: Examples
) -> None:
    table = world(3000, seed=4).table
    column = table.column_names.index("user_segment")
    half = np.where(np.arange(3000) < 1500, "a", "b")
    before, after = (
        unweighted(
            Examples.from_arrow(table.set_column(column, "user_segment", pa.array(values)), spec=spec, actions=ACTIONS)
        )
        for values in (half, ["a"] * 3000)
    )
    assert {one.feature: one.distance for one in feature_shifts(before, after, spec=spec)}["user_segment"] == 0.5


def test_a_feature_that_is_gone_says_so_and_stands_first(examples: Examples, spec: FeatureSpec) -> None:
    name = spec.numeric[0].name
    gone = feature_shifts(examples, without(examples, [name], spec=spec), spec=spec)[0]
    assert (gone.feature, gone.missing_after) == (name, 1.0)
    assert gone.missing_before < 1
    assert np.isnan(gone.distance)
