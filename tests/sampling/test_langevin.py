import math

import pytest
import torch
from torch import nn

from anomech.errors import ChainError, SettingsError
from anomech.examples import Examples
from anomech.organisms.fashion import demo_split, shipped_model
from anomech.sampling import SGLD, RMSpropSGLD
from anomech.sampling.curvature import largest_curvature
from anomech.tasks import ClassificationTask


def hessian(examples):
    return examples.x.T @ examples.x / len(examples)


def weights(sampler, task, examples):
    return torch.stack([flat.weights.clone() for flat in sampler.draw(task, examples)])


def test_covariance_of_losses_agrees_with_the_analytic_posterior(regression):
    task, examples = regression
    nbeta, gamma, chains = 50.0, 20.0, 8
    sampler = SGLD(nbeta=nbeta, gamma=gamma, chains=chains, draws=600, burn_in=50, thin=4, batch_size=len(examples))
    precision = nbeta * hessian(examples) + gamma * torch.eye(3)
    step = sampler.safe_step_size(task, examples)
    # The stationary covariance of the discretised dynamics; it tends to the inverse precision as steps get smaller.
    posterior = torch.linalg.inv(precision - step / 4 * precision @ precision)
    residuals = examples.y - task.predict(examples)
    kernel = examples.x @ posterior @ examples.x.T
    analytic = residuals[:, None] * residuals * kernel + kernel**2 / 2

    losses = torch.stack([task.losses(f.model, examples, examples.y) for f in sampler.draw(task, examples)])
    by_chain = torch.stack([torch.cov(chain.T) for chain in losses.view(chains, 600, -1)])
    error = by_chain.std(0) / chains**0.5
    z = (by_chain.mean(0) - analytic) / error
    # With 8 chains a standardised error follows Student's t with 7 degrees of freedom: half are below 0.71.
    assert z.abs().median() < 1.2
    assert torch.corrcoef(torch.stack([by_chain.mean(0).flatten(), analytic.flatten()]))[0, 1] > 0.99
    assert (by_chain.mean(0).diag().sum() / analytic.diag().sum()).item() == pytest.approx(1, abs=0.05)


def test_small_steps_sample_the_posterior_itself(regression):
    task, examples = regression
    precision = 20 * hessian(examples) + 40 * torch.eye(3)
    # A contraction of 0.1 in the stiffest direction biases its variance by 5 %.
    step = 0.2 / torch.linalg.eigvalsh(precision).max().item()
    settings = {"chains": 4, "draws": 1500, "burn_in": 100, "thin": 8, "batch_size": 40}
    sampler = SGLD(nbeta=20.0, gamma=40.0, step_size=step, **settings)
    drawn = weights(sampler, task, examples) - task.model.weight.detach()
    scaled = torch.linalg.cholesky(precision).T @ torch.cov(drawn.T) @ torch.linalg.cholesky(precision)
    torch.testing.assert_close(scaled, torch.eye(3), atol=0.15, rtol=0)


def test_a_chain_moves_the_chosen_parameters_alone_and_bounds_its_step_by_their_curvature():
    torch.manual_seed(0)
    x = torch.randn(60, 4)
    x[:, :2] *= 10
    task = ClassificationTask(nn.Sequential(nn.Linear(4, 3), nn.Linear(3, 2)))
    examples = Examples(x=x, y=torch.arange(60) % 2)
    settings = {"chains": 1, "draws": 3, "burn_in": 0, "thin": 1, "batch_size": 20}
    whole, last = SGLD(**settings), SGLD(parameters=r"^1\.", **settings)
    for flat in last.draw(task, examples):
        assert torch.equal(flat.model[0].weight, task.model[0].weight)
        assert (flat.model[1].weight != task.model[1].weight).all()
    assert last.safe_step_size(task, examples) > whole.safe_step_size(task, examples)


def test_draws_agree_step_by_step_with_a_reference(regression):
    task, examples = regression
    sampler = RMSpropSGLD(chains=1, draws=30, burn_in=0, thin=1, batch_size=40, step_size=1e-3, gamma=9.0, seed=3)
    anchor = task.model.weight.detach().flatten().clone()
    generator, w, v = torch.Generator().manual_seed(3), anchor.clone(), torch.zeros(3)
    for drawn in weights(sampler, task, examples):
        g = examples.x.T @ (examples.x @ w - examples.y) / 40
        v = 0.99 * v + 0.01 * g * g
        G = 1 / (v**0.5 + 0.1)
        w = w - 0.5e-3 * G * (100 * g + 9 * (w - anchor)) + (1e-3 * G) ** 0.5 * torch.randn(3, generator=generator)
        torch.testing.assert_close(drawn, w, rtol=1e-4, atol=1e-5)


def test_power_iteration_finds_the_largest_eigenvalue(regression):
    task, examples = regression
    expected = torch.linalg.eigvalsh(hessian(examples)).max().item()
    found = largest_curvature(task, examples, batch_size=7, iterations=60)
    assert found == pytest.approx(expected, rel=1e-3)


def test_the_default_step_does_not_depend_on_the_order_of_the_classes():
    task, (trusted, _) = ClassificationTask(shipped_model(), device="cpu"), demo_split(trusted=400)
    ordered, reverse = trusted[trusted.y.argsort()], trusted[trusted.y.argsort(descending=True)]
    steps = [SGLD(batch_norm="frozen").safe_step_size(task, examples) for examples in (ordered, reverse)]
    assert steps[0] == pytest.approx(steps[1], rel=0.05)


@pytest.mark.parametrize("kind", [SGLD, RMSpropSGLD])
def test_the_default_step_stays_bounded_however_stiff_the_loss(kind, regression):
    task, examples = regression
    sampler = kind(chains=1, draws=200, burn_in=0, thin=1, nbeta=1e6, gamma=1.0, batch_size=40)
    drawn = weights(sampler, task, examples)
    assert (drawn - task.model.weight.detach()).abs().max() < 1


def test_a_step_beyond_the_bound_ends_in_an_error_that_names_the_setting(regression):
    task, examples = regression
    with pytest.raises(ChainError, match=r"chain 1 diverged at step \d+ of .*step_size"):
        weights(SGLD(step_size=1.0, draws=500), task, examples)


def test_same_seed_same_draws_and_the_model_is_left_alone(regression):
    task, examples = regression
    before = task.model.weight.clone()
    sampler = RMSpropSGLD(draws=5, seed=1, batch_size=10)
    assert torch.equal(weights(sampler, task, examples), weights(sampler, task, examples))
    other = weights(RMSpropSGLD(draws=5, seed=2, batch_size=10), task, examples)
    assert not torch.equal(weights(sampler, task, examples), other)
    assert torch.equal(task.model.weight, before)


def test_chains_differ(regression):
    task, examples = regression
    first, second = weights(SGLD(chains=2, draws=5), task, examples).split(5)
    assert not torch.equal(first, second)


@pytest.mark.parametrize("mode", ["train", "frozen"])
def test_batch_norm_statistics_move_only_in_train_mode(mode):
    task = ClassificationTask(shipped_model(), device="cpu")
    trusted, _ = demo_split(trusted=100)
    before = task.model.features[1].running_mean.clone()
    sampler = RMSpropSGLD(chains=1, draws=2, burn_in=2, batch_norm=mode)
    for flat in sampler.draw(task, trusted):
        assert not flat.model.features[1].training
        moved = not torch.equal(flat.model.features[1].running_mean, before)
        assert moved == (mode == "train")
    assert torch.equal(task.model.features[1].running_mean, before)


def test_the_paper_preset():
    paper = RMSpropSGLD.paper()
    assert (paper.gamma, paper.nbeta, paper.step_size) == (10_000, 100, 1e-6)
    assert (paper.chains, paper.burn_in + paper.draws * paper.thin, paper.burn_in) == (1, 2000, 250)
    assert (paper.alpha, paper.epsilon, paper.batch_size, paper.batch_norm) == (0.99, 0.1, 256, "train")


@pytest.mark.parametrize(
    "wrong",
    [
        {"gamma": 0.0},
        {"nbeta": -1.0},
        {"step_size": 0.0},
        {"thin": 0},
        {"burn_in": -1},
        {"batch_size": 0},
        {"draws": 1},
        {"chains": 0},
        {"batch_norm": "eval"},
        {"gamma": float("nan")},
        {"epsilon": 0.0},
        {"alpha": 1.0},
    ],
)
def test_settings_without_meaning_are_refused(wrong):
    with pytest.raises(SettingsError):
        RMSpropSGLD(**wrong)


def test_examples_without_labels_are_refused(regression):
    task, examples = regression
    with pytest.raises(SettingsError, match="labels"):
        next(SGLD().draw(task, examples.__class__(x=examples.x)))
    with pytest.raises(SettingsError, match="labelled examples"):
        next(SGLD().draw(task, None))


def test_steps_of_a_chain():
    sampler = SGLD(chains=3, draws=10, burn_in=5, thin=2, batch_size=4)
    assert sampler.steps == 25
    assert sampler.gradient_passes == math.prod((3, 25, 4))
