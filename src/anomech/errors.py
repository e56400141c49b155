"""Everything that anomech raises on purpose: one root, one class per cause.

Each message is a sentence that says what was wrong, with the shapes or names at hand, and what to do.
"""


class AnomechError(Exception):
    """Root of all errors raised on purpose; the command line prints its message and exits with status 2."""


class DataError(AnomechError):
    """Examples that cannot be used: empty, one class only, NaN pixels, wrong shape, an unreadable file."""


class ModelError(AnomechError):
    """A model that cannot be loaded or audited: wrong output, a pickled checkpoint, a shape it rejects."""


class SettingsError(AnomechError):
    """A setting, or a combination of settings, that makes no sense."""


class ChainError(AnomechError):
    """A sampling chain that failed; it says which setting to change and never yields scores."""


class ArtefactError(AnomechError):
    """A saved auditor or run that is incomplete, damaged, or belongs to another model."""


class StorageError(AnomechError):
    """The disk is full or cannot be written."""
