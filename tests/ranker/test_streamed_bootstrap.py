import numpy as np
import pyarrow as pa
import pytest

from ranker import paired_bootstrap
from ranker.streamed_bootstrap import StreamedComparison

GENERATOR = np.random.default_rng(0)
ROWS, NUM_USERS = 6_000, 400
USERS = GENERATOR.integers(0, NUM_USERS, ROWS)
INCLINATION = GENERATOR.normal(0, 1, NUM_USERS)[USERS]
TRUTH = 1 / (1 + np.exp(-(GENERATOR.normal(-2, 1, ROWS) + INCLINATION)))
LABELS = (GENERATOR.random(ROWS) < TRUTH).astype(np.float64)
CANDIDATE = 1 / (1 + np.exp(-(np.log(TRUTH / (1 - TRUTH)) + GENERATOR.normal(0, 0.5, ROWS))))
BASELINE = 1 / (1 + np.exp(-(np.log(TRUTH / (1 - TRUTH)) + GENERATOR.normal(0.2, 0.7, ROWS))))
WEIGHTS = np.where(LABELS > 0, 1.0, GENERATOR.choice([1.0, 5.0], ROWS))


def streamed(batch: int, *, repetitions: int = 400, seed: int = 0) -> StreamedComparison:
    found = StreamedComparison(repetitions=repetitions, seed=seed)
    names = pa.array([f"u{user}" for user in USERS])
    for start in range(0, ROWS, batch):
        rows = slice(start, start + batch)
        found.add(
            LABELS[rows],
            candidate=CANDIDATE[rows],
            baseline=BASELINE[rows],
            users=names[rows],
            weights=WEIGHTS[rows],
        )
    return found


def test_it_says_what_the_bootstrap_of_all_rows_at_once_says() -> None:
    ours = streamed(1_000).differences()
    theirs = paired_bootstrap(
        LABELS, candidate=CANDIDATE, baseline=BASELINE, users=USERS, weights=WEIGHTS, repetitions=400
    )
    assert ours.keys() == theirs.keys()
    for name, one in ours.items():
        assert one.estimate == pytest.approx(theirs[name].estimate, abs=5e-5)
        spread = theirs[name].samples_R.std()
        assert one.samples_R.std() == pytest.approx(spread, rel=0.2)
        assert one.samples_R.mean() == pytest.approx(theirs[name].samples_R.mean(), abs=0.3 * spread)


def test_batches_change_nothing_and_neither_does_their_order() -> None:
    whole, parts = streamed(ROWS, repetitions=20).differences(), streamed(700, repetitions=20).differences()
    for name, one in whole.items():
        np.testing.assert_allclose(one.samples_R, parts[name].samples_R, atol=1e-12)
    other = streamed(ROWS, repetitions=20, seed=1).differences()
    assert not np.allclose(other["auc"].samples_R, whole["auc"].samples_R)


def test_certainties_and_single_outcomes_are_counted() -> None:
    found = StreamedComparison(repetitions=5)
    certain = np.array([0.0, 1.0])
    found.add(np.array([0.0, 1.0]), candidate=certain, baseline=np.full(2, 0.5), users=pa.array([1, 1]))
    assert found.differences()["auc"].estimate == 0.5
    alone = StreamedComparison(repetitions=5)
    alone.add(np.zeros(2), candidate=certain, baseline=certain, users=pa.array([1, 2]))
    assert np.isnan(alone.differences()["auc"].estimate)


def test_nothing_to_compare_and_rows_that_do_not_match_are_refused() -> None:
    with pytest.raises(ValueError, match="no row was added"):
        StreamedComparison(repetitions=5).differences()
    with pytest.raises(ValueError, match="must be the same rows"):
        StreamedComparison().add(np.zeros(2), candidate=np.zeros(1), baseline=np.zeros(2), users=pa.array(["a", "b"]))
    with pytest.raises(ValueError, match="repetitions is 0"):
        StreamedComparison(repetitions=0)
