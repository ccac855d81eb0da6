"""Errors and warnings: every error that ann2neo raises on purpose is an `Ann2NeoError`.

A message has three parts, each on its own line: the fact (with names, shapes, values), the consequence, and the cure.
"""

from __future__ import annotations

import difflib
from collections.abc import Iterable


class Ann2NeoError(Exception):
    """An error that the caller can correct; the message says how.

    See Also
    --------
    ann2neo.Ann2NeoWarning

    Examples
    --------
    >>> from ann2neo.errors import WindowError
    >>> print(WindowError("3 bins are fewer than one window of 5.", "No window is complete.", "Use windows=3 or less."))
    3 bins are fewer than one window of 5.
    No window is complete.
    Use windows=3 or less.
    """

    def __init__(self, fact: str, consequence: str = "", cure: str = "") -> None:
        super().__init__("\n".join(part for part in (fact, consequence, cure) if part))


class InputsError(Ann2NeoError):
    """The inputs are empty, have an unknown form, or change between batches."""


class ModelError(Ann2NeoError):
    """The model cannot be recorded as it is, for instance because hooks never fire on a scripted model."""


class LayerNotFound(Ann2NeoError):
    """No layer matches the given name or pattern."""


class LayerNeverRan(Ann2NeoError):
    """A requested layer was not called in the first batch."""


class ActivationError(Ann2NeoError):
    """An activation is NaN or infinite, or changes its shape between batches."""


class DeviceError(Ann2NeoError):
    """A device or the host ran out of memory while a model ran, or a device was lost."""


class ThresholdError(Ann2NeoError):
    """A threshold rule cannot be applied to a layer."""


class PseudoTimeError(Ann2NeoError):
    """A bin size at which spike times are not exact, or spike times that do not fit the bins."""


class WindowError(Ann2NeoError):
    """Windows or an order that the recording does not support."""


class RecordingError(Ann2NeoError):
    """The parts of a recording contradict each other."""


class SpikeTrainError(Ann2NeoError):
    """Spike trains that cannot be analyzed: unsorted, outside t_start and t_stop, or without a unit of time."""


class AnnotationError(Ann2NeoError):
    """An annotation that a file format would lose or damage."""


class FormatError(Ann2NeoError):
    """A file that is missing, truncated, written by other software or with a newer schema, or has an unknown suffix."""


class ForeignFile(FormatError):
    """An intact file, or a Block, that ann2neo did not write: `analyze` can read it, `load` cannot."""


class OutputExists(Ann2NeoError):
    """The output exists already, and overwriting was not allowed."""


class StoreError(FormatError):
    """A store on disk is half written, damaged, or belongs to another recording."""


class AnalysisError(Ann2NeoError):
    """A table cannot be computed from the given data or options."""


class ShareError(Ann2NeoError):
    """A bundle was refused because the file fails its check."""


class MissingPackage(Ann2NeoError, ImportError):
    """An optional package is not installed; the message has the command that installs it."""


class Ann2NeoWarning(UserWarning):
    """A warning: results are computed, but may need attention.

    See Also
    --------
    ann2neo.Ann2NeoError
    """


def kind_of(value: object) -> str:
    """Name the type of a value with its article, as it is spoken.

    Examples
    --------
    >>> import collections
    >>> [kind_of(value) for value in (1, [], "", collections.OrderedDict())]
    ['an int', 'a list', 'a str', 'an OrderedDict']
    """
    name = type(value).__name__.lstrip("_")
    # Of abbreviations the letters are spoken: an LSTM, an MLP, an ndarray, but a UInt8.
    is_spelled = name[:2].isupper() or name == "ndarray"
    is_vowel = name[:1] in "AEFHILMNORSXn" if is_spelled else name[:1].lower() in "aeiou"
    is_you = name.lower().startswith(("uni", "use", "ut", "eu", "one")) or (is_spelled and name.startswith("U"))
    return f"{'an' if is_vowel and not is_you else 'a'} {type(value).__name__}"


def suggestion(name: str, known: Iterable[str]) -> str:
    """Return a sentence that suggests the nearest of the known names, or an empty text.

    Examples
    --------
    >>> suggestion("feature.0", ["features.0", "classifier"])
    " Did you mean 'features.0'?"
    >>> suggestion("x", ["features.0"])
    ''
    """
    near = difflib.get_close_matches(str(name), list(known), n=1)
    return f" Did you mean {near[0]!r}?" if near else ""
