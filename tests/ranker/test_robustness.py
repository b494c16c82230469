from collections.abc import Callable

import pyarrow as pa
import pytest

from ranker import Examples, FeatureSpec, TrainingConfig, fit, robustness, score
from ranker.robustness import without


def test_a_feature_that_fails_to_arrive_costs_what_it_knew_and_no_more(spec: FeatureSpec, world: Callable) -> None:
    train, later = (Examples.from_arrow(world(20_000, seed=seed).table, spec=spec) for seed in (0, 1))
    model, careless = (
        fit(train, spec=spec, seed=0, training=TrainingConfig(hidden_features=share)).model for share in (0.05, 0.0)
    )
    found, unprepared = ({loss.group: loss for loss in robustness(one, later)} for one in (model, careless))
    # Affinity decides most, the categories nothing.
    assert found["affinity"].auc_lost > 0.03
    assert abs(found["categories"].auc_lost) < 0.01
    # Without it the model says what it would say of an average candidate; one that never met its lack is far off.
    assert abs(found["affinity"].pcoc - 1) < 0.15
    assert abs(unprepared["affinity"].pcoc - 1) > 0.3


def test_hidden_features_are_as_if_null_in_the_table(spec: FeatureSpec, world: Callable) -> None:
    table = world(500, seed=0).table
    examples = Examples.from_arrow(table, spec=spec)
    model = fit(examples, spec=spec, seed=0, training=TrainingConfig(epochs=1)).model
    names = ("user_segment", "affinity", "categories")
    for name in names:
        place = table.column_names.index(name)
        table = table.set_column(place, name, pa.nulls(len(table), table[name].type))
    hidden = score(model, without(examples, names, spec=spec)).logits_BH
    assert hidden.equal(score(model, Examples.from_arrow(table, spec=spec)).logits_BH)
    with pytest.raises(ValueError, match=r"\['prize'\] are no features"):
        without(examples, ["prize"], spec=spec)
