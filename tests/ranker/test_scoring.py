from collections.abc import Callable

import numpy as np
import pytest
import torch

from ranker import Examples, FeatureSpec, Ranker, RankerConfig, TrainingConfig, fit, flops

ACTIONS = ("click", "save")


def test_operations_are_those_of_one_candidate_whatever_their_number(spec: FeatureSpec, world: Callable) -> None:
    examples = Examples.from_arrow(world(500, seed=0).table, spec=spec, actions=ACTIONS)

    def model(**sizes: int | tuple[int, ...]) -> Ranker:
        config = RankerConfig(**sizes)  # type: ignore[arg-type]
        return fit(examples, spec=spec, seed=0, config=config, training=TrainingConfig(epochs=1)).model

    narrow, wide = model(expert_sizes=(32, 16)), model(expert_sizes=(64, 16))
    assert flops(narrow, examples) == flops(narrow, examples[np.arange(1)]) == flops(narrow, examples[np.arange(7)])
    # Of four experts, the first layer is (width → 32 more) and the second (32 more → 16): an operation for each
    # multiplication and one for each addition.
    width = narrow.experts.first.in_features
    assert flops(wide, examples) - flops(narrow, examples) == 4 * 32 * (width + 16) * 2
    with pytest.raises(ValueError, match="no example"):
        flops(narrow, examples[np.arange(0)])


def test_counting_operations_leaves_the_model_as_it_was(spec: FeatureSpec, world: Callable) -> None:
    examples = Examples.from_arrow(world(500, seed=0).table, spec=spec, actions=ACTIONS)
    model = fit(examples, spec=spec, seed=0, training=TrainingConfig(epochs=1)).model
    before = {name: value.clone() for name, value in model.state_dict().items()}
    flops(model, examples)
    assert all(torch.equal(value, before[name]) for name, value in model.state_dict().items())
