import pytest
import torch

from ranker.layers import Experts, TargetAttention, dropped


def test_a_history_says_nothing_where_it_is_empty_and_padding_never_does() -> None:
    torch.manual_seed(0)
    attention = TargetAttention(4, max_length=3)
    candidate, recent = torch.randn(2, 4), torch.randn(2, 3, 4)
    there = torch.tensor([[True, True, False], [False, False, False]])
    found = attention(candidate, recent, there)
    assert found[1].equal(torch.zeros(4))
    recent[0, 2] += 100
    assert attention(candidate, recent, there)[0].equal(found[0])


def test_recent_items_like_the_candidate_weigh_most() -> None:
    attention = TargetAttention(4, max_length=2)
    with torch.no_grad():
        attention.relation.weight.copy_(10 * torch.eye(4))
    like, unlike = torch.eye(4)[0], torch.eye(4)[1]
    found = attention(like.unsqueeze(0), torch.stack([like, unlike]).unsqueeze(0), torch.ones(1, 2, dtype=torch.bool))
    assert found[0, 0] > 0.99
    assert found[0, 1] < 0.01


def test_each_head_mixes_the_experts_by_its_own_gate() -> None:
    torch.manual_seed(0)
    experts = Experts(5, num_heads=2, num_experts=3, sizes=(6, 4), dropout=0.0).eval()
    x = torch.randn(7, 5)
    said = torch.stack(
        [
            experts.norm(torch.nn.functional.silu(first @ weight + bias))
            for first, weight, bias in zip(
                torch.nn.functional.silu(experts.first(x)).split(6, dim=1),
                experts.weights[0],
                experts.biases[0],
                strict=True,
            )
        ]
    )
    assert experts.gate is not None
    gates = experts.gate(x).reshape(7, 2, 3).softmax(2)
    expected = torch.einsum("bhe,ebx->bhx", gates, said)
    torch.testing.assert_close(experts(x), expected)


def test_what_is_not_dropped_grows_so_that_the_mean_stays() -> None:
    torch.manual_seed(0)
    left = dropped(torch.ones(1003, 101), share=0.1)
    assert left.unique().tolist() == [0, pytest.approx(256 / 230)]
    assert (left == 0).float().mean().item() == pytest.approx(26 / 256, abs=0.004)
    assert left.mean().item() == pytest.approx(1, abs=0.005)
