"""Participation ratios from Gram matrices: unbiased estimators of tr(C)^2 and tr(C^2), numbers in and numbers out."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
from jaxtyping import Float, Int, Integer
from scipy import sparse

# Memory of a block; integers up to this limit are exact in single precision.
CHUNK_BYTES = 1 << 25
EXACT = 1 << 24
# Up to this number of classes a product of full matrices is faster than one of sparse ones.
FEW_CLASSES = 40
# What is smaller than this share of its terms is 0 but for rounding.
ROUNDING = 1e-12


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Responses:
    """Spikes of all units to each input; rows are sorted by class.

    Parameters
    ----------
    counts
        Number of spikes, shape (input, unit).
    duration
        Number of bins or duration of each input, shape (input,).
    size
        Number of inputs of each class, none of them 0, shape (label,).
    """

    counts: Integer[np.ndarray, "input unit"]
    duration: Float[np.ndarray, " input"]
    size: Int[np.ndarray, " label"]

    @property
    def equal(self) -> bool:
        """Whether all inputs have one duration: counts are then used as they are."""
        return bool(np.allclose(self.duration, self.duration[:1], rtol=1e-9, atol=0))

    @property
    def dtype(self) -> type:
        """Single precision where every sum of products of counts is exact in it."""
        largest = int(self.counts.max(initial=0))
        return np.float32 if self.equal and largest**2 * max(self.counts.shape) < EXACT else np.float64

    @property
    def label(self) -> Int[np.ndarray, " input"]:
        """Class of each input."""
        return np.repeat(np.arange(self.size.size), self.size)

    def rates(
        self, dtype: type, inputs: slice, units: slice = slice(None)
    ) -> Float[np.ndarray, "some_input some_unit"]:
        """Return some rates: counts, divided by durations where these differ."""
        part = self.counts[inputs, units].astype(dtype)
        return part if self.equal else part / self.duration[inputs, None]


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Moments:
    """What the estimators need; ``e`` is an input's deviation from the mean of its class.

    Parameters
    ----------
    size
        Number of inputs n of each class, shape (label,).
    gram
        Products of class means, less their mean over classes, shape (label, label).
    trace, fourth, norm
        Sums over the inputs of each class of \\|e\\|^2, of \\|e\\|^4, and over their pairs of (e . e')^2, shape (label,).
    pooled, weighted
        Sum of (e . e')^2 over all pairs of inputs, plain, and with weights 1 / (n (n - 1)) of both classes.
    own, every, third
        Sums over inputs of (e . m)^2 / (n (n - 1)) with the mean m of the own class, of each class, and of 2 \\|e\\|^2 (e . m) / (n (n - 1) (n - 2)).
    """

    size: Int[np.ndarray, " label"]
    gram: Float[np.ndarray, "label label"]
    trace: Float[np.ndarray, " label"]
    fourth: Float[np.ndarray, " label"]
    norm: Float[np.ndarray, " label"]
    pooled: float
    weighted: float
    own: float
    every: float
    third: float


def moments(responses: Responses) -> Moments:
    """Collect the sums over inputs and pairs of inputs, in blocks of inputs, or of units where there are fewer of them."""
    n, label, dtype = responses.size, responses.label, responses.dtype
    means = np.concatenate([part[0] for _, part in _class_means(responses, label[None])], axis=1)
    product = np.concatenate(
        [responses.rates(dtype, rows).astype(np.float64) @ means.T for rows in _blocks(responses, axis=0)]
    )
    gram = means @ means.T
    raw = _lengths(responses)
    length = raw - 2 * product[np.arange(label.size), label] + np.diag(gram)[label]
    length = np.where(length > ROUNDING * raw, length, 0.0)
    across = product - gram[label]
    across -= across.mean(axis=1, keepdims=True)
    own = across[np.arange(label.size), label]
    weight = 1 / np.maximum(n * (n - 1), 1)
    norms = _over_units(responses, means) if len(label) > responses.counts.shape[1] else None
    norm, pooled, weighted = _over_inputs(responses, product, gram) if norms is None else norms
    return Moments(
        size=n,
        gram=_centred(gram),
        trace=np.bincount(label, length),
        fourth=np.bincount(label, length**2),
        norm=norm,
        pooled=pooled,
        weighted=weighted,
        own=float(weight[label] @ own**2),
        every=float(weight[label] @ (across**2).sum(axis=1)),
        third=float((weight / np.maximum(n - 2, 1))[label] @ (2 * length * own)),
    )


def signal_traces(of: Moments) -> tuple[float, float]:
    r"""Estimate :math:`tr(C)^2` and :math:`tr(C^2)` without bias, for the covariance C of true class means (times the number of classes); each class has 4 inputs or more.

    Both are sums over four classes of products of four true means. A product of means of inputs that are all different has no bias; the sums over all choices of different inputs are written in power sums of deviations.

    Examples
    --------
    >>> counts = np.repeat([[1, 0, 0], [0, 1, 0], [0, 0, 1]], 4, axis=0)
    >>> found = moments(Responses(counts=counts, duration=np.ones(12), size=np.array([4, 4, 4])))
    >>> np.round(signal_traces(found), 9)
    array([4., 2.])
    """
    n, k = of.size.astype(np.float64), of.size.size
    h, t0, f0 = 1 - 1 / k, np.trace(of.gram), (of.gram**2).sum()
    tau = of.trace / (n * (n - 1))
    pairs = tau.sum() ** 2 - (tau**2).sum()
    squares = of.weighted - (of.norm / (n * (n - 1)) ** 2).sum()
    four = ((of.trace**2 + 2 * of.norm - 6 * of.fourth) / (n * (n - 1) * (n - 2) * (n - 3))).sum()
    shared = 4 * h * of.third + h**2 * four
    trace = t0**2 - 2 * h * tau.sum() * t0 - 4 * of.own + h**2 * pairs + 2 * squares / k**2
    square = (
        f0 - 2 * h * of.every - 2 * (tau @ np.diag(of.gram)) - 2 * of.own + h**2 * squares + (pairs + squares) / k**2
    )
    return float(trace + shared), float(square + shared)


def noise_traces(of: Moments) -> tuple[float, float]:
    r"""Estimate :math:`tr(S)^2` and :math:`tr(S^2)` without bias, for the mean S of the covariances within classes with weights n - 1; each class has 4 inputs or more.

    Examples
    --------
    >>> counts = np.random.default_rng(0).integers(0, 2, (4000, 3))
    >>> found = moments(Responses(counts=counts, duration=np.ones(4000), size=np.array([4000])))
    >>> np.round(noise_traces(found), 2)
    array([0.56, 0.19])
    """
    n, free = of.size.astype(np.float64), of.size.sum() - of.size.size
    quadruples = n * (n - 1) * (n - 2) * (n - 3)
    both = n * (n - 1) * of.fourth
    trace = ((n**2 - 3 * n + 1) * of.trace**2 - both + 2 * of.norm) / quadruples
    square = ((n - 1) * (n - 2) * of.norm + of.trace**2 - both) / quadruples
    traces = of.trace.sum() ** 2 - (of.trace**2).sum() + (n - 1) ** 2 @ trace
    squares = of.pooled - of.norm.sum() + (n - 1) ** 2 @ square
    return float(traces / free**2), float(squares / free**2)


def arrangements(
    responses: Responses, label: Int[np.ndarray, "arrangement input"]
) -> tuple[Float[np.ndarray, " arrangement"], Float[np.ndarray, " arrangement"]]:
    """Measure the signal of each arrangement of the classes: its variance without bias (times the number of classes), and the plug-in participation ratio; NaN where all means are equal.

    Examples
    --------
    >>> counts = np.repeat([[1, 0, 0], [0, 1, 0], [0, 0, 1]], 4, axis=0)
    >>> given = Responses(counts=counts, duration=np.ones(12), size=np.array([4, 4, 4]))
    >>> [values.round(9).tolist() for values in arrangements(given, given.label[None])]
    [[2.0], [2.0]]
    """
    n, k, length = responses.size, responses.size.size, _lengths(responses)
    width = max(1, CHUNK_BYTES // (8 * max(label.shape[1], 1)))
    batch = max(1, CHUNK_BYTES // (8 * k * max(k + min(width, responses.counts.shape[1]), label.shape[1])))
    variance, ratio = np.empty(len(label)), np.empty(len(label))
    for first in range(0, len(label), batch):
        some = slice(first, min(first + batch, len(label)))
        gram = np.zeros((some.stop - first, k, k))
        for _, means in _class_means(responses, label[some]):
            gram += means @ means.transpose(0, 2, 1)
        raw = np.einsum("rkk->rk", gram)
        total = np.stack([np.bincount(each, length, minlength=k) for each in label[some]])
        noise = ((total - n * raw) / np.where(n > 1, n * (n - 1), np.nan)).sum(axis=1)
        centred = _centred(gram)
        trace, square = np.einsum("rkk->r", centred), (centred**2).sum(axis=(1, 2))
        variance[some] = trace - (1 - 1 / k) * noise
        some_signal = trace > ROUNDING * raw.sum(axis=1)
        ratio[some] = np.where(some_signal, trace**2 / np.where(some_signal, square, 1), np.nan)
    return variance, ratio


def _centred(gram: Float[np.ndarray, "*more label label"]) -> Float[np.ndarray, "*more label label"]:
    rows = gram - gram.mean(axis=-1, keepdims=True)
    return rows - rows.mean(axis=-2, keepdims=True)


def _blocks(responses: Responses, axis: int) -> Iterator[slice]:
    """Divide inputs, or units, into blocks of limited memory."""
    n, across = responses.counts.shape[axis], responses.counts.shape[1 - axis]
    step = min(1024, max(16, CHUNK_BYTES // (4 * max(across, 1))))
    return (slice(first, min(first + step, n)) for first in range(0, n, step))


def _class_means(
    responses: Responses, label: Int[np.ndarray, "arrangement input"]
) -> Iterator[tuple[slice, Float[np.ndarray, "arrangement label some_unit"]]]:
    """Average the inputs of each class in each arrangement, a few units at a time."""
    n_arrangements, n_inputs = label.shape
    k, dtype = responses.size.size, responses.dtype
    rows = (label + k * np.arange(n_arrangements)[:, None]).ravel()
    columns = np.tile(np.arange(n_inputs), n_arrangements)
    marks = sparse.csr_array((np.ones(rows.size, dtype), (rows, columns)), shape=(n_arrangements * k, n_inputs))
    if k <= FEW_CLASSES:
        marks = marks.toarray()
    for units in _blocks(responses, axis=1):
        sums = marks @ responses.rates(dtype, slice(None), units)
        yield units, sums.reshape(n_arrangements, k, -1).astype(np.float64) / responses.size[:, None]


def _lengths(responses: Responses) -> Float[np.ndarray, " input"]:
    """Return the squared length of the rates of each input."""
    parts = [responses.rates(responses.dtype, rows) for rows in _blocks(responses, axis=0)]
    return np.concatenate([np.einsum("iu,iu->i", part, part).astype(np.float64) for part in parts])


def _over_inputs(
    responses: Responses, product: Float[np.ndarray, "input label"], gram: Float[np.ndarray, "label label"]
) -> tuple[Float[np.ndarray, " label"], float, float]:
    """Sum squares of the centred Gram matrix of inputs, block by block: within each class, over all, and weighted."""
    label, n, dtype = responses.label, responses.size, responses.dtype
    weight = (1 / np.maximum(n * (n - 1), 1))[label]
    norm, pooled, weighted = np.zeros(n.size), 0.0, 0.0
    blocks = list(_blocks(responses, axis=0))
    for number, rows in enumerate(blocks):
        first = responses.rates(dtype, rows)
        for columns in blocks[number:]:
            second = first if rows == columns else responses.rates(dtype, columns)
            square = (first @ second.T).astype(np.float64)
            square += gram[label[rows]][:, label[columns]]
            square -= product[rows][:, label[columns]]
            square -= product[columns][:, label[rows]].T
            square *= square
            times = 1 if rows == columns else 2
            same = np.where(label[rows][:, None] == label[columns], square, 0).sum(axis=1)
            norm += times * np.bincount(label[rows], same, minlength=n.size)
            pooled += times * float(square.sum())
            weighted += times * float(weight[rows] @ square @ weight[columns])
    return norm, pooled, weighted


def _over_units(
    responses: Responses, means: Float[np.ndarray, "label unit"]
) -> tuple[Float[np.ndarray, " label"], float, float]:
    """Sum the same squares from covariances of units, block by block."""
    n, dtype, stop = responses.size, responses.dtype, np.cumsum(responses.size)
    weight = 1 / np.maximum(n * (n - 1), 1)
    norm, pooled, weighted = np.zeros(n.size), 0.0, 0.0
    blocks = list(_blocks(responses, axis=1))
    for number, rows in enumerate(blocks):
        for columns in blocks[number:]:
            times = 1 if rows == columns else 2
            total = np.zeros((2, rows.stop - rows.start, columns.stop - columns.start))
            for k, inputs in enumerate(slice(b - m, b) for b, m in zip(stop, n)):
                first, second = (responses.rates(dtype, inputs, units) for units in (rows, columns))
                own = (first.T @ second).astype(np.float64) - n[k] * np.outer(means[k, rows], means[k, columns])
                norm[k] += times * float((own**2).sum())
                total[0] += own
                total[1] += weight[k] * own
            pooled += times * float((total[0] ** 2).sum())
            weighted += times * float((total[1] ** 2).sum())
    return norm, pooled, weighted
