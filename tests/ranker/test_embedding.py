import pytest
import torch

from ranker.embedding import HashedEmbedding

USERS, GENRES = slice(0, 1), slice(1, 2)


@pytest.fixture
def embedding() -> HashedEmbedding:
    torch.manual_seed(0)
    return HashedEmbedding([8, 4], size=3, min_count=2)


def vectors(embedding: HashedEmbedding, buckets: list[int], vocabularies: slice = USERS) -> torch.Tensor:
    buckets_BL = torch.tensor([buckets])
    return embedding(embedding.rows(buckets_BL, vocabularies=vocabularies), vocabularies=vocabularies)[0]


def meet(embedding: HashedEmbedding, buckets_BL: torch.Tensor, vocabularies: slice) -> None:
    embedding.meet(embedding.values_met(buckets_BL, vocabularies=vocabularies))


def learn(embedding: HashedEmbedding) -> None:
    """Give every row but that of the unknown a vector of its own."""
    with torch.no_grad():
        embedding.deviation[1:] = torch.randn(len(embedding.deviation) - 1, 3)


def test_a_value_has_a_row_once_it_was_met_often_enough_and_until_then_is_the_unknown_one(
    embedding: HashedEmbedding,
) -> None:
    meet(embedding, torch.tensor([[1], [1], [2]]), USERS)
    learn(embedding)
    known, once, never = vectors(embedding, [1, 2, 3])
    assert not known.equal(once)
    assert once.equal(never)
    assert once.equal(embedding.unknown[0])
    # A second meeting later on counts together with the first.
    meet(embedding, torch.tensor([[2]]), USERS)
    assert len(embedding.deviation) == 1 + 2 + 2


def test_a_row_that_is_added_changes_no_vector_until_it_has_learnt(embedding: HashedEmbedding) -> None:
    meet(embedding, torch.tensor([[1], [1]]), USERS)
    learn(embedding)
    before = vectors(embedding, [0, 1, 2, 3])
    meet(embedding, torch.tensor([[2], [2], [3], [3]]), USERS)
    assert vectors(embedding, [0, 1, 2, 3]).equal(before)


def test_vocabularies_do_not_share_rows(embedding: HashedEmbedding) -> None:
    meet(embedding, torch.tensor([[1], [1]]), USERS)
    meet(embedding, torch.tensor([[1, 2], [1, 2]]), GENRES)
    learn(embedding)
    assert not vectors(embedding, [1]).equal(vectors(embedding, [1], GENRES))
    both = torch.tensor([[1, 1]])
    rows = embedding.rows(both, vocabularies=slice(2))
    together = embedding(rows, vocabularies=slice(2))[0]
    assert together[0].equal(vectors(embedding, [1])[0])
    assert together[1].equal(vectors(embedding, [1], GENRES)[0])


def test_the_mean_counts_unknown_values_but_not_the_padding(embedding: HashedEmbedding) -> None:
    meet(embedding, torch.tensor([[1], [1]]), GENRES)
    learn(embedding)
    known, unknown, missing = vectors(embedding, [1, 3, 0], GENRES)
    means = embedding.mean(torch.tensor([[1, 3, 0], [1, 0, 0], [0, 0, 0]]), vocabularies=GENRES)
    torch.testing.assert_close(means, torch.stack([(known + unknown) / 2, known, missing]))


def test_rare_rows_are_those_met_fewer_times(embedding: HashedEmbedding) -> None:
    meet(embedding, torch.tensor([[1]] * 5 + [[2]] * 3), USERS)
    row_of_1, row_of_2 = embedding.rows(torch.tensor([[1], [2]]), vocabularies=USERS).flatten().tolist()
    assert row_of_2 in embedding.rows_below(5).tolist()
    assert row_of_1 not in embedding.rows_below(5).tolist()
