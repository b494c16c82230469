from collections.abc import Callable

import numpy as np
import pytest

from ranker import Examples, FeatureSpec, segment_changes, segment_diagram
from ranker.metrics import log_loss

ACTIONS = ("click", "save")


@pytest.fixture
def examples(spec: FeatureSpec, world: Callable) -> Examples:
    return Examples.from_arrow(world(4000, seed=3).table, spec=spec, actions=ACTIONS)


def test_the_segment_that_was_spoilt_is_found_and_the_parts_add_up(examples: Examples) -> None:
    chance = np.random.default_rng(0)
    labels = examples.label("click")
    baseline = np.clip(0.2 + 0.5 * labels + chance.normal(0, 0.05, len(labels)), 0.01, 0.99)
    [(segment, codes), *_] = examples.segments.items()
    spoilt = codes.codes == 1
    candidate = np.where(spoilt, np.sqrt(baseline), baseline)
    changes = segment_changes("click", examples, candidate=candidate, baseline=baseline, seed=1)
    worst = changes[0]
    assert (worst.name, worst.verdict) == (f"{segment}={codes.names[1]}", "worse")
    assert 0 < worst.low < worst.change < worst.high
    assert worst.candidate_pcoc > worst.baseline_pcoc
    assert (worst.rows, worst.positives) == (int(spoilt.sum()), int(labels[spoilt].sum()))
    others = [one for one in changes if one.segment == segment and one is not worst]
    assert all(one.change == 0 and one.verdict == "not shown" for one in others)
    whole = log_loss(labels, candidate, weights=examples.weights) - log_loss(labels, baseline, weights=examples.weights)
    for column in examples.segments:
        assert sum(one.change for one in changes if one.segment == column) == pytest.approx(whole)
    assert segment_diagram(changes, title="spoilt").startswith(b"\x89PNG")


def test_models_that_differ_by_chance_alone_are_told_apart_in_no_segment(examples: Examples) -> None:
    chance, labels, shown = np.random.default_rng(5), examples.label("click"), 0
    for _ in range(20):
        p = np.full(len(labels), labels.mean())
        one, other = (np.clip(p * np.exp(chance.normal(0, 0.1, len(p))), 0.01, 0.99) for _ in range(2))
        changes = segment_changes("click", examples, candidate=one, baseline=other, repetitions=400)
        shown += any(change.verdict != "not shown" for change in changes)
    # Of 20, one in twenty is expected, and more than four are drawn once in 400.
    assert shown <= 4


def test_probabilities_of_other_rows_are_refused(examples: Examples) -> None:
    p = np.full(len(examples), 0.5)
    with pytest.raises(ValueError, match="must be the same rows"):
        segment_changes("click", examples, candidate=p[1:], baseline=p)
