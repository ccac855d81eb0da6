"""Recordings in files; the suffix of the name selects the format."""

from __future__ import annotations

import importlib
import os
from os import PathLike
from pathlib import Path
from types import ModuleType
from typing import Any

from ann2neo.atomic import check_target
from ann2neo.errors import FormatError
from ann2neo.files import check_readable
from ann2neo.recording import Recording, as_recording

# Loaded when first used, because a file format needs a large library.
_HOME = {
    ".zarr": "ann2neo.store",
    ".nwb": "ann2neo.formats.nwb",
    ".nix": "ann2neo.formats.nix",
    ".mat": "ann2neo.formats.mat",
}
SUFFIXES = tuple(_HOME)


def save(recording: Recording, path: str | PathLike[str], *, overwrite: bool = False, images: Any = None) -> None:
    """Write a recording to a file.

    The file appears under its name only when it is complete; if writing fails, it does not appear.

    An NWB file can hold images of the inputs, to view them alongside the spikes; `load` ignores them. pynwb reads them back::

        nwbfile = pynwb.NWBHDF5IO("rec.nwb", "r").read()
        images = nwbfile.stimulus_template["images"]
        first = images[nwbfile.trials["image"][0]].data[:]

    Parameters
    ----------
    recording
        A recording; a selection or an arrangement is stored as it is shown.
    path
        Name of the file: ``.zarr`` (packed bits, for large recordings), ``.nwb`` (to share), ``.nix`` (neo objects with their annotations, for
        hundreds of units) or ``.mat`` (the same as MATLAB structs, for thousands).
    overwrite
        Whether an existing file may be replaced.
    images
        The inputs as images, for ``.nwb`` only: image ``i`` belongs to the input with ``stimulus_id`` ``i``, shape (input, height, width) or (input, height, width,
        channel) with 1, 3 or 4 channels, uint8 or floating point from 0 to 1. Only images of presented inputs are stored, at most 1,000. None to store no images.

    Raises
    ------
    FormatError
        If the suffix is unknown, the file cannot be written, or its format cannot hold images.
    RecordingError
        If ``recording`` is not a recording.
    InputsError
        If ``images`` are not images, some are missing, or there are more than 1,000.
    OutputExists
        If the file exists and may not be replaced.
    AnnotationError
        If the provenance or the trials hold something that the file cannot keep.

    See Also
    --------
    ann2neo.load, ann2neo.export, ann2neo.share

    Examples
    --------
    >>> from pathlib import Path
    >>> import tempfile, numpy as np, ann2neo
    >>> recording = ann2neo.from_array(np.eye(3, dtype=bool))
    >>> path = Path(tempfile.mkdtemp()) / "rec.zarr"
    >>> save(recording, path)
    >>> ann2neo.load(path).identical(recording)
    True
    """
    as_recording(recording)
    home = _home(path_of(path))
    check_takes_images(path, images)
    given = {} if images is None else {"images": images}
    home.save(recording, Path(path), overwrite=overwrite, **given)


def load(path: str | PathLike[str]) -> Recording:
    """Read a recording from a file that ann2neo wrote.

    Parameters
    ----------
    path
        Name of the file. A ``.zarr`` store is read lazily: only the parts that are used, when they are used.

    Raises
    ------
    FormatError
        If the file is missing, truncated, not written by ann2neo or written by a newer ann2neo, or if its suffix is unknown.

    See Also
    --------
    ann2neo.save, ann2neo.read_block, ann2neo.check
    """
    home = _home(path_of(path))
    check_readable(Path(path), folder=path_of(path).suffix == ".zarr")
    return home.load(Path(path))


def check_output(path: str | PathLike[str], *, overwrite: bool = False) -> None:
    """Check before long work begins that `save` can write this output.

    Raises
    ------
    FormatError
        If the suffix is unknown or the folder does not exist.
    OutputExists
        If the file exists and may not be replaced.
    """
    _home(path_of(path))
    marker = None
    if path_of(path).suffix == ".zarr":
        from ann2neo.store.layout import MARKER as marker
    check_target(Path(path), overwrite, marker=marker)


def check_takes_images(path: str | PathLike[str], images: Any) -> None:
    """Check that the format of a file can hold images, if there are any.

    Raises
    ------
    FormatError
        If there are images and the file is not NWB.
    """
    if images is not None and path_of(path).suffix != ".nwb":
        raise FormatError(f"{path} cannot hold images.", "Nothing was written.", "Save as .nwb, or leave out images=.")


def path_of(given: Any) -> Path:
    """Return the name of a file as a Path.

    Raises
    ------
    FormatError
        If ``given`` is not a name of a file.

    Examples
    --------
    >>> path_of("rec.nwb").suffix
    '.nwb'
    """
    if not isinstance(given, str | PathLike):
        raise FormatError(
            f"an object of type {type(given).__name__} is not a name of a file.",
            "Nothing was read or written.",
            'Pass a name such as "rec.nwb"; the recording comes first: save(recording, "rec.nwb").',
        )
    if "\0" in os.fspath(given) or len(os.fsencode(Path(given).name)) > 255:
        raise FormatError(
            f"a name of {len(Path(given).name)} letters, or with a null character, is not a valid file name.",
            "Nothing was read or written.",
            "Use another name.",
        )
    return Path(given)


def _home(path: Path) -> ModuleType:
    if path.suffix not in _HOME:
        raise FormatError(
            f"{path.name!r} has the suffix {path.suffix!r}.",
            "The suffix selects the format of a recording.",
            f"Use one of {', '.join(_HOME)}. Open other files with neo and pass the result to `ann2neo.analyze`.",
        )
    return importlib.import_module(_HOME[path.suffix])
