from collections.abc import Callable

import numpy as np
import pyarrow as pa
import pytest
import torch

from ranker import Examples, FeatureSpec, LoggedLogits


def test_logits_are_found_by_id_in_any_order_and_an_example_without_is_named(
    spec: FeatureSpec, world: Callable
) -> None:
    examples = Examples.from_arrow(world(300, seed=0).table, spec=spec)
    logits_SH = torch.arange(900).view(300, 3).float()
    order = np.random.default_rng(0).permutation(300)
    logged = LoggedLogits(examples.event_ids.take(pa.array(order)), logits_SH[torch.from_numpy(order)])
    assert logged(examples[np.arange(40, 90)]).equal(logits_SH[40:90])
    fewer = LoggedLogits(examples.event_ids[:298], logits_SH[:298])
    with pytest.raises(ValueError, match="2 of 300 examples have no logits"):
        fewer(examples)
    with pytest.raises(ValueError, match="300 of 300"):
        LoggedLogits(examples.event_ids[:0], logits_SH[:0])(examples)
