from collections.abc import Callable
from dataclasses import replace

import pytest

from ranker import Examples, Feature, FeatureSpec, Ranker, TrainingConfig, fit, score

ACTIONS = ("click", "save")


@pytest.fixture
def trained(spec: FeatureSpec, world: Callable) -> tuple[Ranker, Examples]:
    examples = Examples.from_arrow(world(1000, seed=0, position_effect=-1.0).table, spec=spec, actions=ACTIONS)
    fitted = fit(examples, spec=spec, seed=0, training=TrainingConfig(epochs=1, batch_size=256))
    return fitted.model, examples


def test_files_give_back_the_same_scores_to_the_last_bit(trained: tuple[Ranker, Examples], spec: FeatureSpec) -> None:
    model, examples = trained
    files = model.to_files()
    assert files == model.to_files()
    again = Ranker.from_files(files, spec=spec)
    for position in ("shown", 1, 3):
        ours, theirs = (score(one, examples, position=position).logits_BH for one in (model, again))
        assert ours.equal(theirs)
    assert again.to_files() == files


def test_serving_weights_score_as_the_teacher_does_at_position_1(trained: tuple[Ranker, Examples]) -> None:
    model, examples = trained
    files = model.to_files()
    del files["teacher.safetensors"]
    serving = Ranker.from_files(files, weights="serving.safetensors")
    assert score(serving, examples).logits_BH.equal(score(model, examples).logits_BH)
    shown = score(model, examples, position="shown").logits_BH
    assert not score(serving, examples, position="shown").logits_BH.equal(shown)
    with pytest.raises(ValueError, match="holds serving weights"):
        serving.to_files()
    with pytest.raises(ValueError, match=r"\['teacher.safetensors'\] are missing"):
        Ranker.from_files(files)


def test_another_spec_is_refused_by_name(trained: tuple[Ranker, Examples], spec: FeatureSpec) -> None:
    changed = replace(spec, features=(*spec.features, Feature(name="price", kind="numeric")))
    with pytest.raises(ValueError, match=r"differs .* features \(features \['price'\]\)"):
        Ranker.from_files(trained[0].to_files(), spec=changed)


def test_broken_files_are_refused(trained: tuple[Ranker, Examples]) -> None:
    files = trained[0].to_files()
    with pytest.raises(ValueError, match="cannot be read"):
        Ranker.from_files({**files, "teacher.safetensors": files["teacher.safetensors"][:100]})
    broken = files["config.json"].replace(b'"embedding_size": 16', b'"embedding_size": 4')
    with pytest.raises(ValueError, match="does not fit"):
        Ranker.from_files({**files, "config.json": broken})
