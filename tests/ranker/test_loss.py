import pytest
import torch
from torch.testing import assert_close

from ranker import distillation_loss, label_loss
from ranker.levels import level_corrections


def test_sampling_offset_makes_the_bare_logit_the_true_log_odds() -> None:
    # 10 % of examples are positive; one negative in five is kept, so 10 : 18 in the sample.
    labels_BH = torch.cat([torch.ones(10, 1), torch.zeros(18, 1)])
    logit = torch.zeros(1, requires_grad=True)
    optimizer = torch.optim.LBFGS([logit], line_search_fn="strong_wolfe")

    def closure() -> torch.Tensor:
        optimizer.zero_grad()
        loss = label_loss(logit.expand(28, 1), labels_BH=labels_BH, negative_keep_probability_B=torch.full((28,), 0.2))
        loss.backward()
        return loss

    optimizer.step(closure)
    assert_close(logit.sigmoid(), torch.tensor([0.1]), atol=1e-4, rtol=0)


def test_loss_is_the_negative_log_likelihood_of_the_factorised_outcome() -> None:
    # p(acted) = .5, p(click | acted) = .25: acted and clicked .125, acted without click .375, not acted .5.
    logits_BH = torch.tensor([[0.0, -torch.log(torch.tensor(3.0))]]).expand(3, 2)
    labels_BH = torch.tensor([[1.0, 1.0], [1.0, 0.0], [0.0, 0.0]])
    loss = label_loss(logits_BH, labels_BH=labels_BH, negative_keep_probability_B=torch.ones(3))
    assert_close(loss, -torch.tensor([0.125, 0.375, 0.5]).log().mean())


def test_a_student_that_equals_its_teacher_has_no_divergence_under_any_recipe() -> None:
    logits_BH = torch.randn(50, 3, generator=torch.Generator().manual_seed(0))
    labels_BH = (logits_BH > 0.3).float() * (logits_BH[:, :1] > 0.3)
    for keep in (1.0, 0.3, 0.02):
        loss = distillation_loss(
            logits_BH,
            labels_BH=labels_BH,
            teacher_logits_BH=logits_BH,
            negative_keep_probability_B=torch.full((50,), keep),
            alpha=1.0,
        )
        assert_close(loss, torch.tensor(0.0), atol=1e-6, rtol=0)


def test_a_teacher_of_another_recipe_is_matched_in_bare_logits() -> None:
    # Teacher and student saw different keep rates; both speak in true log-odds, so the optimum is the teacher's own
    # bare logit, −2, and not one shifted by −log k.
    logit = torch.zeros(1, requires_grad=True)
    optimizer = torch.optim.LBFGS([logit], line_search_fn="strong_wolfe")
    keep_B = torch.linspace(0.05, 1, 40)

    def closure() -> torch.Tensor:
        optimizer.zero_grad()
        loss = distillation_loss(
            logit.expand(40, 1),
            labels_BH=torch.zeros(40, 1),
            teacher_logits_BH=torch.full((40, 1), -2.0),
            negative_keep_probability_B=keep_B,
            alpha=1.0,
        )
        loss.backward()
        return loss

    optimizer.step(closure)
    assert_close(logit.detach(), torch.tensor([-2.0]), atol=1e-3, rtol=0)


def test_divergence_equals_torch_on_two_outcomes() -> None:
    student, teacher = torch.tensor([[0.4], [-1.0]]), torch.tensor([[1.0], [0.2]])
    both = [torch.cat([logit.sigmoid(), 1 - logit.sigmoid()], dim=1) for logit in (student, teacher)]
    expected = torch.nn.functional.kl_div(both[0].log(), both[1], reduction="batchmean")
    loss = distillation_loss(
        student,
        labels_BH=torch.zeros(2, 1),
        teacher_logits_BH=teacher,
        negative_keep_probability_B=torch.ones(2),
        alpha=1.0,
    )
    assert_close(loss, expected)


def test_each_head_has_its_own_share_of_the_teacher() -> None:
    generator = torch.Generator().manual_seed(0)
    logits_BH, teacher_BH = (torch.randn(60, 2, generator=generator) for _ in range(2))
    acted_B1 = (torch.rand(60, 1, generator=generator) < 0.5).float()
    labels_BH = torch.cat([acted_B1, acted_B1 * (torch.rand(60, 1, generator=generator) < 0.5)], dim=1)

    def loss(alpha: float | torch.Tensor) -> torch.Tensor:
        return distillation_loss(
            logits_BH,
            labels_BH=labels_BH,
            teacher_logits_BH=teacher_BH,
            negative_keep_probability_B=torch.full((60,), 0.4),
            alpha=alpha,
        )

    assert_close(loss(torch.tensor([0.3, 0.3])), loss(0.3))
    assert_close(loss(torch.tensor([1.0, 0.0])) + loss(torch.tensor([0.0, 1.0])), loss(0.0) + loss(1.0))
    assert not torch.isclose(loss(torch.tensor([1.0, 0.0])), loss(torch.tensor([0.0, 1.0])))


def test_a_row_that_weighs_two_counts_as_if_it_stood_there_twice() -> None:
    generator = torch.Generator().manual_seed(0)
    logits_BH, teacher_BH = (torch.randn(40, 1, generator=generator) for _ in range(2))
    labels_BH = (torch.rand(40, 1, generator=generator) < 0.5).float()
    weight_B = torch.tensor([1.0, 2.0]).repeat(20)
    twice = torch.arange(40).repeat_interleave(weight_B.int())

    def losses(rows: torch.Tensor, weight_B: torch.Tensor | None) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
        labels_RH, keep_R = labels_BH[rows], torch.full((len(rows),), 0.4)
        return (
            label_loss(logits_BH[rows], labels_BH=labels_RH, negative_keep_probability_B=keep_R, weight_B=weight_B),
            distillation_loss(
                logits_BH[rows],
                labels_BH=labels_RH,
                teacher_logits_BH=teacher_BH[rows],
                negative_keep_probability_B=keep_R,
                alpha=0.3,
                weight_B=weight_B,
            ),
            level_corrections(
                logits_BH[rows], labels_BH=labels_RH, negative_keep_probability_B=keep_R, weight_B=weight_B
            )[0],
        )

    weighed, repeated = losses(torch.arange(40), weight_B), losses(twice, None)
    for one, other in zip(weighed[:2], repeated[:2], strict=True):
        assert_close(one * 40, other * 60)
    assert_close(weighed[2], repeated[2])


def test_alpha_outside_0_to_1_is_refused() -> None:
    zeros = torch.zeros(1, 1)
    with pytest.raises(ValueError, match=r"alpha is 1\.5"):
        distillation_loss(
            zeros, labels_BH=zeros, teacher_logits_BH=zeros, negative_keep_probability_B=torch.ones(1), alpha=1.5
        )
