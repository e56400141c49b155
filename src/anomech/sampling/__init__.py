"""Samplers of the weights around a trained model."""

from anomech.sampling.base import Sampler
from anomech.sampling.langevin import SGLD, LangevinSampler, RMSpropSGLD
from anomech.sampling.noise import IsotropicNoise

__all__ = ["SGLD", "IsotropicNoise", "LangevinSampler", "RMSpropSGLD", "Sampler"]
