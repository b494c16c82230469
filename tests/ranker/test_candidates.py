"""Candidates against Examples of the same values, and golden rows against a model that changed."""

from collections.abc import Callable
from dataclasses import replace

import numpy as np
import pyarrow as pa
import pytest
import torch
from torch.testing import assert_close

from ranker import Candidates, Codes, Examples, FeatureSpec, Lists, calibrate, fit, golden_error, golden_rows, score
from ranker.artifact import SERVING
from ranker.golden import candidates_of
from ranker.model import Ranker
from ranker.spec import Feature


def columns_of(table: pa.Table, spec: FeatureSpec) -> dict[str, list]:
    names = {feature.name for feature in spec.features} | set(spec.segments) | {"surface"}
    return {name: table[name].to_pylist() for name in names}


def test_candidates_are_read_as_examples_of_the_same_values_are(spec: FeatureSpec, world: Callable) -> None:
    table = world(500, seed=1).table
    affinity = table["affinity"].to_numpy().copy()
    affinity[:3] = np.nan, np.inf, -np.inf
    table = table.set_column(table.schema.get_field_index("affinity"), "affinity", pa.array(affinity))
    examples = Examples.from_arrow(table, spec=spec)
    candidates = candidates_of(columns_of(table, spec), spec=spec)
    assert candidates.categorical_BC.equal(examples.categorical_BC)
    assert candidates.numeric_BN.equal(examples.numeric_BN)
    assert candidates.missing_BN.equal(examples.missing_BN)
    assert all(one.equal(other) for one, other in zip(candidates.sequences, examples.sequences, strict=True))
    model = fit(examples, spec=spec, seed=0).model
    assert_close(score(model, candidates, position=3).logits_BH, score(model, examples, position=3).logits_BH)


def test_what_all_candidates_share_is_given_once(spec: FeatureSpec) -> None:
    shared = Candidates.from_columns(
        3,
        spec=spec,
        numbers={"affinity": np.array([0.5])},
        words={name: Codes(np.zeros(3, dtype=np.int64), ("a",)) for name in ("user_segment", "surface")},
        lists={"categories": Lists(np.zeros(3, dtype=np.int64), [("x", "y")])},
    )
    each = candidates_of(
        {"affinity": [0.5] * 3, "user_segment": ["a"] * 3, "surface": ["a"] * 3, "categories": [["x", "y"]] * 3},
        spec=spec,
    )
    assert shared.numeric_BN.equal(each.numeric_BN)
    assert shared.categorical_BC.equal(each.categorical_BC)
    assert shared.sequences[0].equal(each.sequences[0])


def test_a_feature_that_is_not_given_is_named(spec: FeatureSpec) -> None:
    with pytest.raises(ValueError, match=r"numbers lack \['affinity'\]"):
        Candidates.from_columns(1, spec=spec, numbers={}, words={}, lists={})


def test_candidates_have_stood_nowhere(spec: FeatureSpec, world: Callable) -> None:
    table = world(100, seed=1).table
    model = fit(Examples.from_arrow(table, spec=spec), spec=spec, seed=0).model
    with pytest.raises(ValueError, match="position is 'shown'"):
        score(model, candidates_of(columns_of(table, spec), spec=spec), position="shown")


def test_golden_rows_tell_a_model_from_one_whose_weights_changed(spec: FeatureSpec, world: Callable) -> None:
    table = world(2_000, seed=1).table
    examples = Examples.from_arrow(table, spec=spec)
    fitted = fit(examples, spec=spec, seed=0).model
    calibrator = calibrate(score(fitted, examples, position="shown"), examples)
    model = Ranker.from_files(fitted.to_files(), weights=SERVING)
    golden = golden_rows(table, model=model, calibrator=calibrator)
    assert golden_error(golden, model=model, calibrator=calibrator) < 1e-6
    with torch.no_grad():
        model.output.bias.add_(0.01)
    assert golden_error(golden, model=model, calibrator=calibrator) > 0.005


def test_golden_rows_do_not_tell_whose_they_are(spec: FeatureSpec, world: Callable) -> None:
    table = world(2_000, seed=1).table
    by_user = replace(spec, features=(*spec.features, Feature(name=spec.user, kind="categorical", cardinality=64)))
    examples = Examples.from_arrow(table, spec=by_user)
    fitted = fit(examples, spec=by_user, seed=0).model
    calibrator = calibrate(score(fitted, examples, position="shown"), examples)
    golden = golden_rows(table, model=fitted, calibrator=calibrator)
    assert not set(golden["features"][spec.user]) & set(table[spec.user].to_pylist())
    assert golden_error(golden, model=fitted, calibrator=calibrator) < 1e-6
