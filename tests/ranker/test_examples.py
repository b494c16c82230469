from collections.abc import Callable
from dataclasses import replace

import numpy as np
import pyarrow as pa
import pytest

from ranker import Examples, Feature, FeatureSpec
from ranker.hashing import buckets


def test_buckets_are_the_same_forever_and_on_every_machine() -> None:
    # Written down once: a change would silently detach every released model from its embeddings.
    values = pa.array(["Drama", "Comedy", None, "", "Drama"])
    assert buckets(values, feature="genre", cardinality=1000).tolist() == [345, 796, 0, 0, 345]
    assert buckets(pa.array([7]), feature="id", cardinality=1000) == buckets(
        pa.array(["7"]), feature="id", cardinality=1000
    )


def test_buckets_spread_evenly_and_leave_0_to_missing() -> None:
    found = buckets(pa.array([str(value) for value in range(20_000)]), feature="id", cardinality=10)
    counts = np.bincount(found, minlength=11)
    assert counts[0] == 0
    # 2,000 expected in each, standard deviation 42
    assert np.abs(counts[1:] - 2000).max() < 5 * 42


def test_columns_become_tensors_by_hand(spec: FeatureSpec, world: Callable) -> None:
    table = world(10, seed=0).table
    table = table.set_column(table.column_names.index("affinity"), "affinity", pa.array([1.5, None, *[0.0] * 8]))
    lists = pa.array([["a", "b", "c", "d"], [], None, ["a"], *[["a"]] * 6])
    table = table.set_column(table.column_names.index("categories"), "categories", lists)
    examples = Examples.from_arrow(table, spec=spec, actions=["click", "save"])

    assert examples.numeric_BN[:2, 0].tolist() == [1.5, 0.0]
    assert examples.missing_BN[:3, 0].tolist() == [False, True, False]
    a, b, c = buckets(pa.array(["a", "b", "c"]), feature="categories", cardinality=16).tolist()
    assert examples.sequences[0][:4].tolist() == [[a, b, c], [0, 0, 0], [0, 0, 0], [a, 0, 0]]
    assert examples.labels_BA[:, 1].tolist() == table["saved"].to_pylist()
    assert examples.position_B.tolist() == table["position"].to_pylist()
    assert [examples.user.names[code] for code in examples.user.codes] == table["user_id"].to_pylist()
    assert examples.negative_keep_probability_B.tolist() == [1.0] * 10
    assert examples.served_at_B[1] == 1_000_000


def test_chunked_sliced_and_dictionary_columns_read_like_plain_ones(spec: FeatureSpec, world: Callable) -> None:
    table = world(50, seed=1).table
    odd = pa.concat_tables([table.slice(0, 7), table.slice(7, 20), table.slice(27)])
    odd = odd.set_column(
        odd.column_names.index("user_segment"), "user_segment", odd["user_segment"].dictionary_encode()
    )
    of_words = pa.list_(pa.dictionary(pa.int32(), pa.string()))
    odd = odd.set_column(odd.column_names.index("categories"), "categories", odd["categories"].cast(of_words))
    plain, other = (Examples.from_arrow(t, spec=spec, actions=["click", "save"]) for t in (table, odd))
    assert plain.categorical_BC.equal(other.categorical_BC)
    assert plain.sequences[0].equal(other.sequences[0])
    assert (plain.segments["user_segment"].codes == other.segments["user_segment"].codes).all()


def test_rows_that_cannot_be_true_are_refused(spec: FeatureSpec, world: Callable) -> None:
    table = world(40, seed=0).table

    def changed(name: str, values: list[object]) -> pa.Table:
        return table.drop_columns([name] if name in table.column_names else []).append_column(name, pa.array(values))

    for broken, actions, message in (
        (changed("acted", [0] * 40), ["click", "save"], "carry an action but are not acted"),
        (changed("clicked", [2] * 40), ["click", "save"], "other than 0 and 1"),
        (changed("negative_keep_probability", [0.0] * 40), ["click", "save"], r"outside \(0, 1\]"),
        (changed("affinity", ["x"] * 40), ["click", "save"], "x"),
        (table.drop_columns(["affinity"]), ["click", "save"], "lacks the columns"),
        (table, ["click"], "the only action named"),
        (table, ["like"], "action is 'like'"),
        (table, [], "actions is empty"),
    ):
        with pytest.raises(ValueError, match=message):
            Examples.from_arrow(broken, spec=spec, actions=actions)


def test_without_a_column_for_it_a_row_with_any_label_is_acted(spec: FeatureSpec, world: Callable) -> None:
    table = world(500, seed=0).table
    examples = Examples.from_arrow(table.drop(["acted"]), spec=replace(spec, acted=None))
    any_label = np.maximum(table["clicked"].to_numpy(), table["saved"].to_numpy())
    np.testing.assert_array_equal(examples.acted_B.numpy(), any_label)


def test_parts_follow_each_other_in_the_table_s_order(spec: FeatureSpec, world: Callable) -> None:
    examples = Examples.from_arrow(world(500, seed=0).table, spec=spec)
    parts = examples.split(0.7, 0.8)
    assert [len(part) for part in parts] == [350, 50, 100]
    assert [id for part in parts for id in part.event_ids.to_pylist()] == examples.event_ids.to_pylist()
    with pytest.raises(ValueError, match="must rise within"):
        examples.split(0.8, 0.7)


def test_a_sequence_of_another_column_s_values_shares_its_buckets(spec: FeatureSpec, world: Callable) -> None:
    history = Feature(name="recent_segments", kind="sequence", of="user_segment", max_length=2)
    table = world(50, seed=0).table
    recent = pa.array([[segment] for segment in table["user_segment"].to_pylist()])
    wider = replace(spec, features=(*spec.features, history))
    examples = Examples.from_arrow(table.append_column("recent_segments", recent), spec=wider)
    assert examples.sequences[-1][:, 0].equal(examples.categorical_BC[:, 0])
    assert int(examples.sequences[-1][:, 1].max()) == 0
