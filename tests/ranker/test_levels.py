import numpy as np
import torch

from ranker.levels import level_corrections
from ranker.loss import sampling_offset


def test_with_the_correction_each_head_predicts_what_happened_on_its_rows() -> None:
    generator = np.random.default_rng(0)
    logits = torch.from_numpy(generator.normal(size=(5_000, 3)))
    keep = torch.from_numpy(generator.choice([0.1, 0.5], 5_000))
    acted = torch.from_numpy((generator.random(5_000) < 0.3).astype(float))
    given = acted.unsqueeze(1) * torch.from_numpy((generator.random((5_000, 2)) < [0.7, 0.02]).astype(float))
    labels = torch.cat([acted.unsqueeze(1), given], dim=1)
    corrections = level_corrections(logits, labels_BH=labels, negative_keep_probability_B=keep)
    p = (logits + sampling_offset(logits, keep) + corrections).sigmoid()
    torch.testing.assert_close(p[:, 0].sum(), acted.sum())
    torch.testing.assert_close(p[acted > 0, 1:].sum(0), given.sum(0))


def test_a_head_that_has_one_outcome_only_is_left_alone_and_a_distant_level_is_found() -> None:
    labels = torch.tensor([[1.0, 0.0], [0.0, 0.0], [0.0, 0.0]])
    logits = torch.full((3, 2), 12.0)
    found = level_corrections(logits, labels_BH=labels, negative_keep_probability_B=torch.ones(3))
    assert found[1] == 0
    torch.testing.assert_close((logits[:, 0] + found[0].float()).sigmoid().sum(), torch.tensor(1.0))
