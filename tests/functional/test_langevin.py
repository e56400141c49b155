import numpy as np
import torch

from anomech.functional.langevin import langevin_step_, rmsprop_preconditioner_


def test_steps_agree_with_an_independent_reference_under_one_noise_stream():
    settings = {"step_size": 2e-3, "nbeta": 30.0, "gamma": 5.0}
    generator = np.random.default_rng(0)
    anchor, curvature = generator.normal(size=6), generator.uniform(0.5, 2, size=6)
    noise = generator.normal(size=(40, 6))

    w, v = anchor.copy(), np.zeros(6)
    weights, squares = torch.tensor(anchor), torch.zeros(6, dtype=torch.float64)
    for xi in noise:
        g = curvature * (w - 1)
        v = 0.99 * v + 0.01 * g**2
        G = 1 / (np.sqrt(v) + 0.1)
        w = w - 1e-3 * G * (30 * g + 5 * (w - anchor)) + np.sqrt(2e-3 * G) * xi

        gradient = torch.tensor(curvature) * (weights - 1)
        preconditioner = rmsprop_preconditioner_(squares, gradient, alpha=0.99, epsilon=0.1)
        langevin_step_(weights, gradient, torch.tensor(anchor), torch.tensor(xi), preconditioner, **settings)
        np.testing.assert_allclose(weights.numpy(), w, rtol=1e-12)
