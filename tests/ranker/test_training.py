from collections.abc import Callable
from dataclasses import replace

import numpy as np
import pyarrow as pa
import pytest
import torch

from ranker import Examples, FeatureSpec, Progress, RankerConfig, TrainingConfig, distill, fit, score
from ranker.metrics import auc, pcoc, pcoc_by_group
from ranker.optimizer import optimizer_of

ACTIONS = ("click", "save")
SMALL = RankerConfig(
    embedding_size=4,
    numeric_size=4,
    numeric_bins=8,
    cross_rank=4,
    num_experts=2,
    expert_sizes=(16,),
    tower_size=8,
    dropout=0.0,
)
QUICK = TrainingConfig(epochs=1, batch_size=256)


def kept(table: pa.Table, keep: np.ndarray, *, seed: int) -> pa.Table:
    """All acted rows, and the others with their own keep probability, as a recipe would."""
    acted = table["acted"].to_numpy() == 1
    draw = np.random.default_rng(seed).random(table.num_rows)
    table = table.append_column("negative_keep_probability", pa.array(keep))
    return table.filter(pa.array(acted | (draw < keep)))


def weights_of(table: pa.Table, spec: FeatureSpec, *, seed: int = 1) -> dict[str, torch.Tensor]:
    examples = Examples.from_arrow(table, spec=spec, actions=ACTIONS)
    return dict(fit(examples, spec=spec, config=SMALL, seed=seed, training=QUICK).model.state_dict())


def test_the_same_rows_in_any_order_give_the_same_weights_bit_for_bit(spec: FeatureSpec, world: Callable) -> None:
    table = world(3000, seed=0).table
    shuffled = table.take(pa.array(np.random.default_rng(9).permutation(3000)))
    first, again, other_order, other_seed = (
        weights_of(table, spec),
        weights_of(table, spec),
        weights_of(shuffled, spec),
        weights_of(table, spec, seed=2),
    )
    assert all(first[name].equal(again[name]) for name in first)
    assert all(first[name].equal(other_order[name]) for name in first)
    assert not first["output.weight"].equal(other_seed["output.weight"])


def test_training_leaves_the_callers_random_numbers_and_threads_alone(spec: FeatureSpec, world: Callable) -> None:
    torch.manual_seed(4)
    expected = torch.rand(3)
    torch.manual_seed(4)
    threads = torch.get_num_threads()
    weights_of(world(300, seed=0).table, spec)
    assert torch.rand(3).equal(expected)
    assert torch.get_num_threads() == threads
    assert not torch.are_deterministic_algorithms_enabled()


def test_keep_rates_that_differ_by_segment_leave_every_segment_and_action_calibrated(
    spec: FeatureSpec, world: Callable
) -> None:
    everything, later = world(60_000, seed=1), world(30_000, seed=2)
    segment = np.array([int(name[-1]) for name in everything.table["user_segment"].to_pylist()])
    sampled = kept(everything.table, np.array([0.05, 0.5, 0.1, 0.3])[segment], seed=3)
    assert sampled.num_rows < 0.5 * 60_000

    examples = Examples.from_arrow(sampled, spec=spec, actions=ACTIONS)
    fitted = fit(examples, spec=spec, config=SMALL, seed=0, training=TrainingConfig(epochs=4, batch_size=256))
    evaluation = Examples.from_arrow(later.table, spec=spec, actions=ACTIONS)
    scores = score(fitted.model, evaluation, position="shown")
    groups = evaluation.segments["user_segment"].codes
    for action, truth in (("acted", later.acted), ("click", later.click), ("save", later.save)):
        # Against the true probabilities, so that only the model's own noise is left.
        by_segment = pcoc_by_group(truth, scores.probability(action), groups=groups, num_groups=4)
        assert np.abs(by_segment - 1).max() < 0.12, (action, by_segment)
        labels = evaluation.label(action)
        assert auc(labels, scores.probability(action)) > auc(labels, truth) - 0.01

    # The control: without the offset the same rows give several times too much.
    uncorrected = examples.negative_keep_probability_B.clone().fill_(1.0)
    control = Examples(**{**examples.__dict__, "negative_keep_probability_B": uncorrected})
    fitted = fit(control, spec=spec, config=SMALL, seed=0, training=QUICK)
    assert pcoc(later.acted, score(fitted.model, evaluation, position="shown").probability("acted")) > 1.5


def test_position_bias_is_learnt_apart_from_relevance(spec: FeatureSpec, world: Callable) -> None:
    # True log-odds fall by .8 per log position; good candidates stand higher, so the raw rates exaggerate it.
    before, later = (world(40_000, seed=seed, position_effect=-0.8) for seed in (4, 5))
    examples, evaluation = (Examples.from_arrow(one.table, spec=spec, actions=ACTIONS) for one in (before, later))
    model = fit(examples, spec=spec, config=SMALL, seed=0, training=TrainingConfig(epochs=4, batch_size=256)).model
    assert model.position is not None
    # Position 6 holds 1,500 rows with about 20 actions: too few to pin its logit down.
    learnt = model.position.table[:, 2:6, 0].detach().numpy().mean(axis=0)
    np.testing.assert_allclose(learnt, -0.8 * np.log(np.arange(2, 6)), atol=0.25)
    at_one = score(model, evaluation).probability("acted")
    assert at_one.mean() / later.acted_at_one.mean() == pytest.approx(1, abs=0.1)
    shown = score(model, evaluation, position="shown").probability("acted")
    by_position = pcoc_by_group(later.acted, shown, groups=evaluation.position_B.numpy(), num_groups=7)
    assert np.abs(by_position[1:6] - 1).max() < 0.15


def test_a_table_that_knows_no_position_scores_alike_at_any(spec: FeatureSpec, world: Callable) -> None:
    table = world(1000, seed=0).table
    table = table.set_column(table.column_names.index("position"), "position", pa.nulls(1000, pa.int32()))
    examples = Examples.from_arrow(table, spec=spec, actions=ACTIONS)
    model = fit(examples, spec=spec, config=SMALL, seed=0, training=QUICK).model
    assert score(model, examples, position="shown").logits_BH.equal(score(model, examples).logits_BH)
    with pytest.raises(ValueError, match="position is 0"):
        score(model, examples, position=0)


def test_a_student_of_a_teacher_under_another_recipe_is_calibrated(spec: FeatureSpec, world: Callable) -> None:
    everything, later = world(30_000, seed=6), world(20_000, seed=7)
    plain = Examples.from_arrow(everything.table, spec=spec, actions=ACTIONS)
    settings = TrainingConfig(epochs=3, batch_size=256)
    teacher = fit(plain, spec=spec, config=SMALL, seed=0, training=settings).model
    sampled = kept(everything.table, np.full(30_000, 0.2), seed=8)
    examples = Examples.from_arrow(sampled, spec=spec, actions=ACTIONS)
    evaluation = Examples.from_arrow(later.table, spec=spec, actions=ACTIONS)
    for alpha in (0.3, 0.7):
        student = fit(
            examples,
            spec=spec,
            config=SMALL,
            seed=1,
            training=settings,
            teacher_logits_BH=score(teacher, examples, position="shown").logits_BH,
            alpha=alpha,
        ).model
        for action, truth in (("acted", later.acted), ("save", later.save)):
            p = score(student, evaluation, position="shown").probability(action)
            # 1,200 saves: a standard error of .03 in what teacher and student learn from, and in common
            assert pcoc(truth, p) == pytest.approx(1, abs=0.1), (alpha, action)


def test_random_traffic_that_weighs_more_draws_the_level_to_its_own(spec: FeatureSpec, world: Callable) -> None:
    # The same candidates are acted on half as often where chance shows them; no feature tells the two apart.
    table, chance = world(20_000, seed=1).table, np.random.default_rng(2)
    random = chance.random(20_000) < 0.2
    stays = pa.array(np.where(random & (chance.random(20_000) < 0.5), 0, 1).astype(np.int32))
    for column in ("acted", "clicked", "saved"):
        place = table.column_names.index(column)
        table = table.set_column(place, column, pa.compute.multiply(table[column], stays))
    table = table.append_column("traffic", pa.array(np.where(random, "random", "policy")))
    examples = Examples.from_arrow(table, spec=replace(spec, traffic="traffic"), actions=ACTIONS)
    assert (examples.random_B.numpy() == random).all()
    levels = {}
    for weight in (1.0, 20.0):
        training = replace(QUICK, random_weight=weight)
        model = fit(examples, spec=replace(spec, traffic="traffic"), config=SMALL, seed=0, training=training).model
        p = score(model, examples, position="shown").probability("acted")
        levels[weight] = pcoc(examples.label("acted")[random], p[random])
    assert levels[1.0] > 1.5
    assert levels[20.0] < 1.2
    # Candidates that are to be ranked are of no traffic yet.
    unranked = Examples.from_arrow(table.drop_columns(["traffic"]), spec=replace(spec, traffic="traffic"))
    assert not unranked.random_B.any()
    with pytest.raises(ValueError, match="random_weight is 0"):
        TrainingConfig(random_weight=0)


def test_a_single_action_is_acted_itself(spec: FeatureSpec, world: Callable) -> None:
    table = world(500, seed=0).table
    table = table.set_column(table.column_names.index("clicked"), "clicked", table["acted"])
    examples = Examples.from_arrow(table, spec=spec, actions=["click"])
    model = fit(examples, spec=spec, config=SMALL, seed=0, training=QUICK).model
    scores = score(model, examples)
    assert scores.heads == ("acted",)
    np.testing.assert_array_equal(scores.probability("click"), scores.probability("acted"))


def test_probabilities_of_actions_factorise_through_acted(spec: FeatureSpec, world: Callable) -> None:
    examples = Examples.from_arrow(world(500, seed=0).table, spec=spec, actions=ACTIONS)
    scores = score(fit(examples, spec=spec, config=SMALL, seed=0, training=QUICK).model, examples)
    assert scores.heads == ("acted", "click|acted", "save|acted")
    heads_BH = scores.logits_BH.double().sigmoid().numpy()
    np.testing.assert_allclose(scores.probability("save"), heads_BH[:, 0] * heads_BH[:, 2], rtol=1e-12)


def test_rows_served_later_change_nothing(spec: FeatureSpec, world: Callable) -> None:
    # Scores of old rows depend on those rows alone: nothing of the batch they are scored in leaks into them.
    examples = Examples.from_arrow(world(2000, seed=0).table, spec=spec, actions=ACTIONS)
    model = fit(examples[np.arange(1000)], spec=spec, config=SMALL, seed=0, training=QUICK).model
    alone = score(model, examples[np.arange(1000, 1100)]).logits_BH
    together = score(model, examples).logits_BH[1000:1100]
    torch.testing.assert_close(alone, together, atol=1e-6, rtol=1e-6)


def test_warm_start_begins_where_the_last_model_ended(spec: FeatureSpec, world: Callable) -> None:
    table = world(3000, seed=0).table
    examples = Examples.from_arrow(table, spec=spec, actions=ACTIONS)
    first = fit(examples, spec=spec, config=SMALL, seed=0, training=QUICK).model
    still = TrainingConfig(
        epochs=1, learning_rate=1e-9, embedding_learning_rate=1e-9, position_learning_rate=1e-9, embedding_decay=0.0
    )
    new_surface = table.set_column(table.column_names.index("surface"), "surface", pa.array(["cart"] * 3000))
    more = Examples.from_arrow(new_surface, spec=spec, actions=ACTIONS)
    second = fit(more, spec=spec, config=SMALL, seed=0, training=still, initial=first).model
    assert second.surfaces == ("home", "search", "cart")
    assert first.surfaces == ("home", "search")
    before, after = (score(model, examples, position="shown").logits_BH for model in (first, second))
    # All but the level, which is that of the new rows.
    moved_BH = after - before
    torch.testing.assert_close(moved_BH, moved_BH[:1].expand_as(moved_BH), atol=1e-4, rtol=1e-4)
    with pytest.raises(ValueError, match="another config"):
        fit(examples, spec=spec, seed=0, initial=first)


def test_decay_draws_rare_values_to_the_unknown_and_frequent_ones_little(spec: FeatureSpec, world: Callable) -> None:
    examples = Examples.from_arrow(world(3000, seed=0).table, spec=spec, actions=ACTIONS)
    model = fit(examples, spec=spec, config=SMALL, seed=0, training=QUICK).model
    table, counts = model.embedding.deviation, model.embedding.counts()
    before, frequent = table.detach().clone(), int(counts.argmax())
    model.embedding.count[model.embedding.row_of == frequent] = 100_000
    optimizer = optimizer_of(model, TrainingConfig(embedding_decay=0.5))
    # A step that nothing calls for: all that moves is what decays. From a state that was read back, too.
    optimizer.load_state_dict(optimizer.state_dict())
    optimizer.param_groups[1]["lr"] = 0.2
    table.grad = torch.zeros_like(table)
    optimizer.step()
    left = torch.full((len(table), 1), 0.9)
    left[frequent] = 0.999
    assert before[frequent].abs().min() > 0
    torch.testing.assert_close(table.detach(), before * left)


def test_values_never_trained_on_count_as_unknown(spec: FeatureSpec, world: Callable) -> None:
    table = world(1000, seed=0).table
    examples = Examples.from_arrow(table, spec=spec, actions=ACTIONS)
    model = fit(examples, spec=spec, config=SMALL, seed=0, training=QUICK).model
    column = table.column_names.index("user_segment")

    def logits(value: str | None) -> torch.Tensor:
        of_one = table.set_column(column, "user_segment", pa.array([value] * 1000, pa.string()))
        return score(model, Examples.from_arrow(of_one, spec=spec, actions=ACTIONS)).logits_BH

    assert logits("segment 9").equal(logits("segment 8"))
    assert not logits("segment 9").equal(logits("segment 1"))
    assert not logits("segment 9").equal(logits(None))


def test_the_epoch_that_is_best_on_later_rows_is_kept_and_progress_is_told(spec: FeatureSpec, world: Callable) -> None:
    examples = Examples.from_arrow(world(3000, seed=0).table, spec=spec, actions=ACTIONS)
    told: list[Progress] = []
    fitted = fit(
        examples[np.arange(2000)],
        spec=spec,
        config=SMALL,
        seed=0,
        training=TrainingConfig(epochs=3, batch_size=128),
        validation=examples[np.arange(2000, 3000)],
        on_progress=told.append,
    )
    assert len(fitted.epochs) == 3
    losses = [point["loss"] for point in fitted.curve]
    assert np.mean(losses[-8:]) < np.mean(losses[:8])
    assert told[-1].num_seen == told[-1].num_total == 6000
    assert told[-1].seconds_left == 0


def test_what_cannot_train_is_refused(spec: FeatureSpec, world: Callable) -> None:
    examples = Examples.from_arrow(world(200, seed=0).table, spec=spec, actions=ACTIONS)
    acted = examples.acted_B.numpy() > 0
    with pytest.raises(ValueError, match="training needs both outcomes"):
        fit(examples[acted], spec=spec, config=SMALL, seed=0)
    with pytest.raises(ValueError, match="teacher_logits_BH has shape"):
        fit(examples, spec=spec, config=SMALL, seed=0, teacher_logits_BH=torch.zeros(200, 1))


def test_distilling_is_fitting_with_the_teacher_s_logits(spec: FeatureSpec, world: Callable) -> None:
    examples = Examples.from_arrow(world(1_000, seed=0, position_effect=-0.8).table, spec=spec)
    short = TrainingConfig(epochs=1)
    teacher = fit(examples, spec=spec, seed=0, training=short).model
    logits_BH = score(teacher, examples, position="shown").logits_BH
    one = distill(examples, teacher=teacher, spec=spec, seed=1, training=short, alpha=0.7).model
    other = fit(examples, spec=spec, seed=1, training=short, teacher_logits_BH=logits_BH, alpha=0.7).model
    for name, weights in one.state_dict().items():
        assert torch.equal(weights, other.state_dict()[name])
    heads = {"acted": 0.7, "click|acted": 0.7, "save|acted": 0.7}
    by_head = distill(examples, teacher=teacher, spec=spec, seed=1, training=short, alpha=heads).model
    assert by_head.output.weight.equal(one.output.weight)
    moving = distill(examples, teacher=teacher, spec=spec, seed=1, training=short, alpha=0.7, last_alpha=0.2).model
    assert not moving.output.weight.equal(one.output.weight)
    with pytest.raises(ValueError, match="the heads are"):
        distill(examples, teacher=teacher, spec=spec, seed=1, training=short, alpha={"acted": 0.7})
    fewer = replace(spec, features=spec.features[:2])
    with pytest.raises(ValueError, match=r"reads other features .*\['affinity', 'categories'\]"):
        distill(examples, teacher=teacher, spec=fewer, seed=1)
