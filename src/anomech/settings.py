"""Settings as plain data, so that an artefact says how it was made and can be made again."""

from __future__ import annotations

from dataclasses import fields, is_dataclass
from inspect import isabstract
from typing import Any

from anomech import detectors, features, sampling
from anomech.calibration import Calibrator
from anomech.errors import ArtefactError, SettingsError

KINDS: dict[str, Any] = {
    kind.__name__: kind
    for kind in (
        Calibrator,
        *(getattr(package, name) for package in (detectors, features, sampling) for name in package.__all__),
    )
    if issubclass(kind, Calibrator | detectors.Detector | features.FeatureExtractor | sampling.Sampler)
    and not isabstract(kind)
}


def to_plain(settings: Any) -> Any:
    """A settings object as nested dictionaries, each with its kind.

    Raises:
        SettingsError: A kind of the user's own, which could not be read again.
    """
    if isinstance(settings, tuple):
        return [to_plain(part) for part in settings]
    if not is_dataclass(settings):
        return settings
    if type(settings).__name__ not in KINDS:
        raise SettingsError(f"{type(settings).__name__} is not a kind that anomech can write down and read again.")
    values = {f.name: to_plain(getattr(settings, f.name)) for f in fields(settings) if f.init}
    return {"kind": type(settings).__name__, **values}


def from_plain(plain: Any) -> Any:
    """The settings object that `to_plain` described.

    Raises:
        ArtefactError: An unknown kind or field, as another version of anomech may have written.
    """
    if isinstance(plain, list):
        return tuple(from_plain(part) for part in plain)
    if not isinstance(plain, dict):
        return plain
    values = {name: from_plain(value) for name, value in plain.items() if name != "kind"}
    try:
        return KINDS[plain["kind"]](**values)
    except (KeyError, TypeError) as error:
        raise ArtefactError(
            f"settings of kind {plain.get('kind')!r} are not known to this version ({error})."
        ) from error
