"""monitoring.* as the data checks read it, against the same figures counted in memory."""

from dataclasses import asdict
from typing import Any

import numpy as np
import pyarrow.compute as pc
import pytest

from benchmarks._day_figures import figures_of
from decisions.days import DayFigures
from lakehouse.features import feature_spec
from lakehouse.home import Home
from lakehouse.versions import pin, read
from orchestration.validation import STATISTICS, day_figures
from ranker import FeatureSpec

pytestmark = pytest.mark.lake


@pytest.fixture(scope="module")
def spec(manifest: dict[str, Any]) -> FeatureSpec:
    return FeatureSpec.from_json(feature_spec(manifest))


def test_sql_counts_what_memory_counts(built: Home, spec: FeatureSpec) -> None:
    tables = {relation: read(pin(relation, home=built)) for relation in STATISTICS}
    examples, random_slice = (read(pin(f"marts.{name}", home=built)) for name in ("examples_v1", "random_slice"))
    kinds = {feature.name: feature.kind for feature in spec.features}
    of = {feature.name for feature in spec.features if feature.of}

    found = day_figures(tables, spec=spec)

    assert len(found) == len(pc.unique(examples["day"])) >= 5
    for day, figures in found.items():
        expected = figures_of(
            examples.filter(pc.equal(examples["day"], day)),
            random_slice=random_slice.filter(pc.equal(random_slice["day"], day)),
            kinds=kinds,
        )
        compare(figures, expected, without_values=of)


def compare(found: DayFigures, expected: DayFigures, *, without_values: set[str]) -> None:
    one, other = asdict(found), asdict(expected)
    features, expected_features = one.pop("features"), other.pop("features")
    random, expected_random = one.pop("random"), other.pop("random")
    # Spark counts different items, and different values, to within a few per cent.
    assert one.pop("mean_draw") == pytest.approx(other.pop("mean_draw"), abs=1e-8)
    assert one.pop("items") == pytest.approx(other.pop("items"), rel=0.15)
    assert one == other
    alignment, expected_alignment = random.pop("alignment"), expected_random.pop("alignment")
    assert random == pytest.approx(expected_random, abs=1e-8)
    assert alignment == pytest.approx(expected_alignment, abs=1e-8, nan_ok=True)
    assert features.keys() == expected_features.keys()
    for name, figures in features.items():
        wanted = expected_features[name]
        values = figures.pop("values")
        assert values == ({} if name in without_values else wanted["values"]), name
        wanted.pop("values")
        np.testing.assert_allclose(figures.pop("quantiles_L"), wanted.pop("quantiles_L"), rtol=1e-12, err_msg=name)
        distinct, wanted_distinct = figures.pop("distinct_values"), wanted.pop("distinct_values")
        assert figures["kind"] != "categorical" or distinct == pytest.approx(wanted_distinct, rel=0.15), name
        correlations = {key: figures.pop(key) for key in ("acted_correlation", "missing_acted_correlation")}
        assert correlations == pytest.approx({key: wanted.pop(key) for key in correlations}, nan_ok=True), name
        assert figures == wanted, name
