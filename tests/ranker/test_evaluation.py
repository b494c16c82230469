import json
from collections.abc import Callable

import numpy as np
import pytest
from sklearn.metrics import roc_auc_score

from ranker import Examples, FeatureSpec, evaluate, loss_curve, reliability_diagram

ACTIONS = ("click", "save")


def test_the_report_of_true_probabilities_is_calibrated_and_plain_json(spec: FeatureSpec, world: Callable) -> None:
    planted = world(20_000, seed=0, position_effect=-0.8)
    examples = Examples.from_arrow(planted.table, spec=spec, actions=ACTIONS)
    truth = {"click": planted.click, "save": planted.save}
    report = json.loads(json.dumps(evaluate(truth, examples, before=truth, repetitions=50), allow_nan=False))

    assert report["rows"] == 20_000
    assert report["users"] == 2_000
    click = report["actions"]["click"]
    assert click["auc"] == pytest.approx(roc_auc_score(examples.label("click"), planted.click))
    assert click["intervals"]["auc"][0] < click["auc"] < click["intervals"]["auc"][1]
    assert click["intervals"]["pcoc"][0] < 1 < click["intervals"]["pcoc"][1]
    assert click["ece"]["error"] < click["ece"]["noise_floor_95"] * 1.5
    assert click["intervals"]["ece"][0] < click["intervals"]["ece"][1]
    assert click["field_error"]["user_segment"]["error"] < click["field_error"]["user_segment"]["noise_floor_95"] * 1.5
    assert 0 < click["hit_at_3"] < 1
    assert 0 < click["ndcg_at_10"] < 1
    assert click["churn"] == click["top_3_change"] == 0
    assert sum(bin_["rows"] for bin_ in click["reliability"]) == 20_000
    assert set(click["positions"]) == {"1", "2", "3", "4", "5", "6"}
    for group in (*click["segments"]["user_segment"].values(), *click["positions"].values()):
        assert abs(group["pcoc"] - 1) < 4 * group["pcoc_standard_error"]


def test_groups_are_judged_on_their_own_rows(spec: FeatureSpec, world: Callable) -> None:
    planted = world(3_000, seed=1)
    examples = Examples.from_arrow(planted.table, spec=spec, actions=ACTIONS)
    report = evaluate({"click": planted.click}, examples, repetitions=5)["actions"]["click"]
    mine = np.array(planted.table["user_segment"].to_pylist()) == "segment 2"
    group = report["segments"]["user_segment"]["segment 2"]
    labels = examples.label("click")[mine]
    assert group["rows"] == mine.sum()
    assert group["positives"] == labels.sum()
    assert group["auc"] == pytest.approx(roc_auc_score(labels, planted.click[mine]))
    assert group["pcoc"] == pytest.approx(planted.click[mine].sum() / labels.sum())


def test_no_rows_and_no_positives_give_none_instead_of_an_error(spec: FeatureSpec, world: Callable) -> None:
    examples = Examples.from_arrow(world(300, seed=0).table, spec=spec, actions=ACTIONS)
    unclicked = examples[examples.label("click") == 0]
    report = evaluate({"click": np.full(len(unclicked), 0.1)}, unclicked, repetitions=5)["actions"]["click"]
    assert report["auc"] is None
    assert report["pcoc"] is None
    assert report["intervals"]["auc"] == [None, None]
    assert report["log_loss"] > 0
    empty = evaluate({"click": np.zeros(0)}, examples[np.zeros(0, dtype=np.int64)])
    assert empty["rows"] == empty["actions"]["click"]["positives"] == 0
    assert empty["actions"]["click"]["log_loss"] is None


def test_pictures_are_png_and_the_same_each_time() -> None:
    bins = [{"predicted": 0.1, "observed": 0.12, "rows": 10.0}, {"predicted": 0.01, "observed": 0.0, "rows": 10.0}]
    curve = [{"examples": 10.0, "loss": 0.7}, {"examples": 20.0, "loss": 0.6}]
    for draw in (lambda: reliability_diagram(bins, title="click"), lambda: loss_curve(curve, title="loss")):
        picture = draw()
        assert picture.startswith(b"\x89PNG")
        assert picture == draw()
    assert reliability_diagram([], title="nothing yet").startswith(b"\x89PNG")
