"""Images of the inputs in an NWB file, on request.

They are templates of stimuli (``/stimulus/templates/images``), one object each, named in the column ``image`` of the trials. NWB could also store them as an IndexSeries among
the presented stimuli, but neo's reader fails on that.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
from jaxtyping import Int, Shaped, UInt8
from pynwb.base import Images
from pynwb.image import GrayscaleImage, RGBAImage, RGBImage

from ann2neo.errors import InputsError, RecordingError
from ann2neo.recording import Recording

MOST_IMAGES = 1000
# Largest size of the images in a page.
MOST_BYTES = 16 << 20
CONTAINER = "images"
COLUMN = "image"
KINDS = {1: GrayscaleImage, 3: RGBImage, 4: RGBAImage}


def image_names(recording: Recording) -> list[str]:
    """Return the name of each trial's image, made from its input.

    Examples
    --------
    >>> import ann2neo
    >>> image_names(ann2neo.from_array(np.eye(2, dtype=bool)))
    ['stimulus_0', 'stimulus_1']
    """
    return [f"stimulus_{number}" for number in recording.trials["stimulus_id"].tolist()]


def stimulus_images(images: Any, recording: Recording) -> Images:
    """Make the container of the images of all presented inputs; see `ann2neo.formats.save`.

    Raises
    ------
    InputsError
        If ``images`` are not images, some are missing, or there are more than 1,000.
    RecordingError
        If the trials already have a column "image".
    """
    if COLUMN in recording.trials.columns:
        raise RecordingError(
            f"the trials already have a column {COLUMN!r}.", "It would name the images.", "Rename this column."
        )
    ids, presented = _presented(images, recording, _check_number)
    kind = KINDS[presented.shape[3]]
    return Images(
        name=CONTAINER,
        description="the inputs, rows first; the column image of the trials names the one that was presented",
        images=[
            kind(
                name=f"stimulus_{number}",
                data=image[:, :, 0] if kind is GrayscaleImage else image,
                description=f"the input with stimulus_id {number}",
            )
            for number, image in zip(ids.tolist(), presented)
        ],
    )


def presented_images(
    images: Any, recording: Recording
) -> tuple[Int[np.ndarray, " image"], UInt8[np.ndarray, "image height width channel"]]:
    """Return the image of every presented input as bytes, with the ``stimulus_id`` of each.

    Raises
    ------
    InputsError
        If ``images`` are not images, some are missing, or they take more than 16 MiB as bytes.

    Examples
    --------
    >>> import ann2neo
    >>> ids, found = presented_images(np.ones((3, 1, 2)), ann2neo.from_array(np.eye(2, dtype=bool)))
    >>> ids.tolist(), found.shape, found.max()
    ([0, 1], (2, 1, 2, 1), np.uint8(255))
    """
    ids, presented = _presented(images, recording, _check_size)
    return ids, presented if presented.dtype == np.uint8 else np.round(255 * presented).astype(np.uint8)


def _presented(
    images: Any, recording: Recording, check: Callable[[int, np.ndarray], None]
) -> tuple[Int[np.ndarray, " image"], Shaped[np.ndarray, "image height width channel"]]:
    ids = np.unique(recording.trials["stimulus_id"].to_numpy(np.int64))
    whole = _with_channels(np.asarray(images))
    _check_known(ids, whole)
    check(ids.size, whole[0])
    presented = whole[ids]
    _check_values(presented)
    return ids, presented


def _with_channels(images: Shaped[np.ndarray, ...]) -> Shaped[np.ndarray, "input height width channel"]:
    if images.ndim == 3:
        images = images[..., None]
    if images.ndim != 4 or images.shape[3] not in KINDS:
        raise InputsError(
            f"images of shape {images.shape} are not (input, height, width) nor (input, height, width, 1, 3 or 4 channels).",
            "Nothing was written.",
            "Put the channels last: `images.transpose(0, 2, 3, 1)`, for a tensor `images.permute(0, 2, 3, 1)`.",
        )
    return images


def _check_known(ids: Int[np.ndarray, " presented"], images: Shaped[np.ndarray, "input height width channel"]) -> None:
    if ids.min() < 0 or ids.max() >= len(images):
        raise InputsError(
            f"{len(images)} images do not have those of the inputs {ids.min()} to {ids.max()} (stimulus_id of the trials).",
            "Nothing was written.",
            "Pass the images of the whole data set: image i belongs to the input with stimulus_id i.",
        )


def _check_number(n_images: int, one: Shaped[np.ndarray, "height width channel"]) -> None:
    """Check the number of images of a file."""
    if n_images > MOST_IMAGES:
        raise InputsError(
            f"{n_images} images take {n_images * one.nbytes:,} bytes; at most {MOST_IMAGES:,} images are stored.",
            "Each is a separate object, and readers would take minutes to open the file.",
            "Leave out images=: the trials name each input by its stimulus_id.",
        )


def _check_size(n_images: int, one: Shaped[np.ndarray, "height width channel"]) -> None:
    """Check the size of images in a page, which has a byte for each value."""
    if n_images * one.size > MOST_BYTES:
        raise InputsError(
            f"{n_images:,} images take {n_images * one.size:,} bytes; a page holds at most {MOST_BYTES:,}.",
            "Browsers would take long to open it.",
            "Pass smaller images, such as every other row and column: `images[:, ::2, ::2]`, or leave out images=.",
        )


def _check_values(images: Shaped[np.ndarray, "input height width channel"]) -> None:
    if images.dtype == np.uint8:
        return
    if images.dtype not in (np.float32, np.float64):
        what = f"of type {images.dtype}"
    elif not (images.min() >= 0 and images.max() <= 1):
        what = f"with values from {images.min()} to {images.max()}"
    else:
        return
    raise InputsError(
        f"images {what} have no common scale.",
        "It is unclear which value is black and which is white.",
        "Use uint8 from 0 to 255, or float32 or float64 from 0 to 1.",
    )
