"""Sparse dictionaries of a pair of models: of their difference, or of both at once."""

from __future__ import annotations

import json
from abc import abstractmethod
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import ClassVar, Self

import torch
from safetensors import SafetensorError
from safetensors.torch import load_file, save_file
from torch import Tensor

from anomech.diffing.cache import PairedActivations
from anomech.diffing.features import PairFeatures, Pairs
from anomech.diffing.training import Autoencoder, Progress, Training, train
from anomech.errors import ArtefactError
from anomech.functional.dictionaries import part_norms
from anomech.io.autoencoders import CONFIG, WEIGHTS
from anomech.io.results import result_directory
from anomech.progress import Track, silent
from anomech.versions import versions

ARCHITECTURES = {"relu": "standard", "topk": "topk", "batchtopk": "jumprelu"}
"""What SAELens calls an autoencoder that was trained with such an activation."""


@dataclass
class PairAutoencoder(PairFeatures):
    """A sparse autoencoder of what a pair of models computed.

    Attributes:
        training: How it is learnt.
    """

    parts: ClassVar[int]
    """Models that a feature is decoded for."""

    training: Training = field(default_factory=Training)

    def __post_init__(self) -> None:
        self.progress: list[Progress] = []
        self._model: Autoencoder

    @abstractmethod
    def rows(self, pairs: PairedActivations) -> Tensor:
        """What is rebuilt, `[n, parts * d]`."""

    def fit(self, pairs: Pairs, *, track: Track = silent) -> Self:
        """Learn the dictionary, on a GPU where there is one; `progress` says how it came along on held-out texts.

        Raises:
            DataError: Fewer than two texts, or models that compute the same.
        """
        device = torch.device("cuda" if torch.cuda.is_available() else "cpu")
        self._model, self.progress = train(
            pairs, self.rows, self.training, parts=self.parts, device=device, track=track
        )
        return self

    def features(self, pairs: PairedActivations) -> Tensor:
        """Codes `[n, m]`, at least 0."""
        return self._model.encode(self.rows(pairs))

    @property
    def decoder(self) -> Tensor:
        """What each of m features adds to the activations of each model, `[m, parts, d]`."""
        return self._model.W_dec.view(len(self._model.W_dec), self.parts, -1)

    @property
    def tuned_directions(self) -> Tensor:
        """What each feature adds to the activations of the fine-tuned model, or to what fine-tuning changed."""
        return self.decoder[:, -1]

    def save(self, folder: Path) -> None:
        """Write `config.json`, and weights with a `cfg.json` as SAELens reads them; all or nothing.

        Raises:
            StorageError: The disk is full, or the folder holds something that anomech did not write.
        """
        weights = {name: values.contiguous() for name, values in self._model.state_dict().items()}
        if self.training.activation != "batchtopk":
            del weights["threshold"]
        made = {
            "kind": type(self).__name__,
            "training": asdict(self.training),
            "progress": [asdict(report) for report in self.progress],
            "versions": versions(),
        }
        with result_directory(folder) as partial:
            save_file(weights, partial / WEIGHTS)
            for name, content in (("config.json", made), (CONFIG, self._saelens_config())):
                (partial / name).write_text(json.dumps(content, indent=2) + "\n")

    @classmethod
    def load(cls, folder: Path) -> Self:
        """What `save` wrote.

        Raises:
            ArtefactError: The folder lacks a file, or holds one that is damaged or of another kind.
        """
        try:
            made = json.loads((folder / "config.json").read_text())
            weights = load_file(folder / WEIGHTS)
            loaded = cls(Training(**made["training"]))
            loaded.progress = [Progress(**report) for report in made["progress"]]
            model = Autoencoder(len(weights["b_dec"]), loaded.training, torch.Generator())
            model.load_state_dict({"threshold": torch.zeros_like(weights["b_enc"]), **weights})
        except (OSError, ValueError, KeyError, TypeError, RuntimeError, SafetensorError) as error:
            raise ArtefactError(f"{folder} holds no {cls.__name__} ({error}); fit and save it again.") from error
        if made["kind"] != cls.__name__:
            raise ArtefactError(f"{folder} holds a {made['kind']}, not a {cls.__name__}; load it as such.")
        loaded._model = model.requires_grad_(False)
        return loaded

    def _saelens_config(self) -> dict[str, object]:
        d_in, d_sae = self._model.W_enc.shape
        architecture = ARCHITECTURES[self.training.activation]
        return {
            "architecture": architecture,
            "d_in": d_in,
            "d_sae": d_sae,
            **({"k": self.training.k} if architecture == "topk" else {}),
            "dtype": "float32",
            "device": "cpu",
            "apply_b_dec_to_input": True,
            "normalize_activations": "none",
            "reshape_activations": "none",
            "metadata": {"anomech_kind": type(self).__name__},
        }


class DiffSAE(PairAutoencoder):
    """A sparse autoencoder of what fine-tuning changed, `tuned - base`.

    Source: Kumar 2026 (arXiv 2605.07324), and as Minder et al. 2025 (arXiv 2504.02922) train such; unlike the former
    with features of unit norm, dead ones drawn anew, and measured on texts that it was not trained on.
    """

    parts = 1

    def rows(self, pairs: PairedActivations) -> Tensor:
        """The difference, `[n, d]`."""
        return pairs.difference


class Crosscoder(PairAutoencoder):
    """One code for both models, and a decoder for each.

    The norm of a feature over both models is 1, so that its code is as large as what it adds; how the norm is shared
    between the models says whose feature it is.

    Source: Lindsey et al. 2024 (Sparse crosscoders), with batch top-k Minder et al. 2025 (arXiv 2504.02922).
    """

    parts = 2

    def rows(self, pairs: PairedActivations) -> Tensor:
        """Both models side by side, base first, `[n, 2 d]`."""
        return pairs.joined

    def tuned_share(self) -> Tensor:
        """Norm of each feature in the fine-tuned model, relative to that in both, `[m]`: 1 if fine-tuning added it."""
        norms = part_norms(self._model.W_dec, self.parts)
        return norms[:, 1] / norms.sum(dim=1)
