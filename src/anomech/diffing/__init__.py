"""Model diffing: what did fine-tuning add to a base model?"""

from anomech.diffing.ablation import AblationEffect, ChangedAnswers, ablated, ablation_effect, answers_without
from anomech.diffing.activating import ActivatingText, ActiveFeature, active_features
from anomech.diffing.autoencoders import Crosscoder, DiffSAE
from anomech.diffing.baselines import Coordinates, MeanDifference, PrincipalComponents, RandomFeatures
from anomech.diffing.cache import ActivationCache, PairedActivations, cache_activations
from anomech.diffing.features import PairFeatures, features_by_text
from anomech.diffing.findings import Finding, find
from anomech.diffing.pair import ModelPair, require_same_tokens
from anomech.diffing.training import Training

__all__ = [
    "AblationEffect",
    "ActivatingText",
    "ActivationCache",
    "ActiveFeature",
    "ChangedAnswers",
    "Coordinates",
    "Crosscoder",
    "DiffSAE",
    "Finding",
    "MeanDifference",
    "ModelPair",
    "PairFeatures",
    "PairedActivations",
    "PrincipalComponents",
    "RandomFeatures",
    "Training",
    "ablated",
    "ablation_effect",
    "active_features",
    "answers_without",
    "cache_activations",
    "features_by_text",
    "find",
    "require_same_tokens",
]
