import torch

from ranker.encoding import NumericEmbedding, piecewise_linear, quantile_edges


def test_quantiles_leave_missing_values_out_and_merge_repeats() -> None:
    numeric_BN = torch.tensor([[0.0, 5.0], [1.0, 5.0], [2.0, 5.0], [999.0, 5.0]])
    missing_BN = torch.tensor([[False, False], [False, False], [False, False], [True, False]])
    edges_NK = quantile_edges(numeric_BN, missing_BN, num_bins=2)
    inf = float("inf")
    assert edges_NK.tolist() == [[0.0, 1.0, 2.0], [5.0, inf, inf]]


def test_values_outside_the_bins_stay_at_the_ends_and_missing_is_zero() -> None:
    edges_NK = torch.tensor([[0.0, 2.0, 6.0]])
    values = torch.tensor([[-10.0], [1.0], [5.0], [100.0], [1.0]])
    missing = torch.tensor([[False], [False], [False], [False], [True]])
    encoded = piecewise_linear(values, missing, edges_NK)
    assert encoded[:, 0].tolist() == [[0, 0], [0.5, 0], [1, 0.75], [1, 1], [0, 0]]


def test_a_feature_without_any_known_value_does_no_harm() -> None:
    edges_NK = quantile_edges(torch.zeros(3, 1), torch.ones(3, 1).bool(), num_bins=4)
    embedding = NumericEmbedding(edges_NK, size=2)
    assert embedding(torch.zeros(3, 1), torch.ones(3, 1).bool()).isfinite().all()
