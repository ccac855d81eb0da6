"""Is a unit tuned to the label? A permutation test that deals inputs, each with all its bins and passes, to labels."""

from __future__ import annotations

from functools import lru_cache

import numpy as np
from jaxtyping import Bool, Float, Float32, Int, Num

from ann2neo.chance.axes import by_annotation
from ann2neo.chance.count_laws import Tails, count_tails, tails_near_zero
from ann2neo.chance.inputs import check_inputs, deviations, has_repeats
from ann2neo.chance.margins import ratio
from ann2neo.chance.p_values import both_sides, gamma_tails, sampled_tails, where_defined

# Inputs of the rarest label, per unit of kurtosis, below which the law is sampled: 5 spikes where counts are 0 or 1.
_ENOUGH = 5.0
_DRAWS = (1024, 8192)
_DRAWN_NUMBERS = 1 << 25
_AT_ONCE = (1024, 256)


@by_annotation
def input_dispersion_tests(
    spikes: Int[np.ndarray, "unit input"],
    size: Num[np.ndarray, " input"],
    label: Int[np.ndarray, " input"],
    *,
    lattice: bool = True,
) -> tuple[Float[np.ndarray, " unit"], Float[np.ndarray, " unit"]]:
    r"""Test whether spikes vary over labels as by chance, and whether they vary more; chance deals inputs to labels.

    With :math:`E_c` the sum of the deviations (see `ann2neo.chance.inputs`) of the :math:`M_c` inputs of label c, the
    statistic is :math:`D = (M - 1) \sum_c E_c^2 / M_c \big/ \sum_i e_i^2`, of mean W - 1 over all ways to deal the
    inputs. Where all inputs have equal size and one of two counts, the law is that of `dispersion_test`. Else it is gamma
    with D's exact permutation variance, with the smallest values enumerated where counts are whole numbers; or sampled
    (1,024 to 8,192 permutations, fixed seed, an exponential tail) where the rarest label has few inputs for the kurtosis
    of the deviations. NaN where all inputs have one rate, below two labels, and where no label has two inputs.

    Parameters
    ----------
    spikes
        Spikes of each unit in each input, all its passes together, shape (unit, input).
    size
        Bins or duration of each input, all its passes together, shape (input,).
    label
        Class of each input, -1 for none, shape (input,).
    lattice
        Whether an input holds at most as many spikes as its size.

    Returns
    -------
    tuple
        Two-sided p values, and one-sided ones of an excess (mid-p), each of shape (unit,), as `dispersion_test` and
        `overdispersion_test`.

    Raises
    ------
    AnalysisError
        If an input has more spikes than bins.

    See Also
    --------
    ann2neo.chance.dispersion_tests, ann2neo.chance.overdispersion_test

    References
    ----------
    Pitman 1938, doi:10.1093/biomet/29.3-4.322; Box & Andersen 1955, doi:10.1111/j.2517-6161.1955.tb00176.x

    Examples
    --------
    >>> spikes = np.array([[4, 4, 3, 4, 0, 1, 0, 0], [4, 0, 4, 0, 4, 0, 4, 0]])  # two labels, four steps per input
    >>> both, more = input_dispersion_tests(spikes, np.full(8, 4), np.repeat([0, 1], 4))
    >>> more.round(2)
    array([0.01, 0.74])
    """
    check_inputs(spikes, size, lattice=lattice)
    known = (label >= 0) & (size > 0)
    if not has_repeats(label[known]):
        nothing = np.full(len(spikes), np.nan)
        return nothing, nothing
    spikes, size = spikes[:, known], size[known]
    code = np.unique(label[known], return_inverse=True)[1]
    deviation = deviations(spikes, size)
    squares = (deviation**2).sum(axis=1)
    defined = squares > 1e-9 * np.maximum(spikes.sum(axis=1), 1e-300)
    lower, upper = _tails(spikes[defined], size, code, deviation[defined])
    return where_defined(defined, both_sides(lower, upper)), where_defined(defined, upper)


def _tails(
    spikes: Int[np.ndarray, "case input"],
    size: Num[np.ndarray, " input"],
    code: Int[np.ndarray, " input"],
    deviation: Float[np.ndarray, "case input"],
) -> Tails:
    """Choose for each case the law that holds."""
    inputs = np.bincount(code)
    equal = bool((size == size[0]).all())
    lower, upper = _continuous(deviation, code, inputs)
    least, most = spikes.min(axis=1), spikes.max(axis=1)
    two = ((spikes == least[:, None]) | (spikes == most[:, None])).all(axis=1) & equal
    kurtosis = size.size * ratio((deviation**4).sum(axis=1), (deviation**2).sum(axis=1) ** 2) + 3
    few = ~two & (inputs.min() < _ENOUGH * kurtosis)
    if two.any():
        lower[two], upper[two] = _of_two_counts(spikes[two] == most[two][:, None], code, inputs)
    if few.any():
        lower[few], upper[few] = _sampled(spikes[few], size, code, inputs)
    if equal and (~two & ~few).any():
        rest = ~two & ~few
        lower[rest], upper[rest] = _near_zero(spikes[rest], code, inputs, lower[rest], upper[rest])
    return lower, upper


def _sums(values: Num[np.ndarray, "case input"], code: Int[np.ndarray, " input"]) -> Float[np.ndarray, "case label"]:
    return values @ np.eye(code.max() + 1)[code]


def _continuous(
    deviation: Float[np.ndarray, "case input"], code: Int[np.ndarray, " input"], inputs: Int[np.ndarray, " label"]
) -> Tails:
    """Tails of the gamma law of D's exact mean and variance over all permutations."""
    n = deviation.shape[1]
    second, fourth = (deviation**2).sum(axis=1), (deviation**4).sum(axis=1)
    value = (n - 1) * (_sums(deviation, code) ** 2 / inputs).sum(axis=1) / second
    variance = (n - 1) ** 2 * _mean_square(second, fourth, inputs) / second**2 - (inputs.size - 1.0) ** 2
    return gamma_tails(value, mean=inputs.size - 1.0, variance=np.maximum(variance, 1e-12))


def _mean_square(
    second: Float[np.ndarray, " case"], fourth: Float[np.ndarray, " case"], inputs: Int[np.ndarray, " label"]
) -> Float[np.ndarray, " case"]:
    """Mean over permutations of the square of ``sum E_c^2 / M_c``, from the power sums of deviations that add up to 0.

    Sums over different inputs follow from power sums: of ``e_i^2 e_j^2`` it is ``p2^2 - p4``, of ``e_i^3 e_j`` ``-p4``, of
    ``e_i^2 e_j e_k`` ``2 p4 - p2^2``, of ``e_i e_j e_k e_l`` ``3 p2^2 - 6 p4``.
    """
    n = float(inputs.sum())
    chances = np.cumprod([n, n - 1, max(n - 2, 1), max(n - 3, 1)])
    m = inputs[:, None] - np.arange(4.0)
    falling = np.cumprod(m, axis=1) / chances
    one, two, three, four = (falling / inputs[:, None] ** 2).sum(axis=0)
    pairs, triples = second**2 - fourth, 2 * fourth - second**2
    own = one * fourth + two * (3 * pairs - 4 * fourth) + three * 6 * triples + four * (3 * second**2 - 6 * fourth)
    w, less = inputs.size, inputs - 1.0
    apart = w * (w - 1) / chances[1] * pairs + 2 * (w - 1) * less.sum() / chances[2] * triples
    crossed = (less.sum() ** 2 - (less**2).sum()) / chances[3] * (3 * second**2 - 6 * fourth)
    return own + apart + crossed


def _of_two_counts(
    many: Bool[np.ndarray, "case input"], code: Int[np.ndarray, " input"], inputs: Int[np.ndarray, " label"]
) -> Tails:
    """The law where each input has one of two counts: that of spikes on bins, an input being a bin."""
    rarer = np.where((2 * many.sum(axis=1) > many.shape[1])[:, None], ~many, many)
    return count_tails(np.rint(_sums(rarer.astype(np.float64), code)).astype(np.int64), inputs, lattice=True)


def _near_zero(
    spikes: Int[np.ndarray, "case input"],
    code: Int[np.ndarray, " input"],
    inputs: Int[np.ndarray, " label"],
    lower: Float[np.ndarray, " case"],
    upper: Float[np.ndarray, " case"],
) -> Tails:
    """Enumerate the sums nearest to equal rates, which are whole numbers, with the normal density for a chance."""
    steps = spikes - spikes.min(axis=1, keepdims=True)
    steps = steps // np.gcd.reduce(steps, axis=1)[:, None]
    counts = np.rint(_sums(steps.astype(np.float64), code)).astype(np.int64)
    variance = steps.var(axis=1) * steps.shape[1] / (steps.shape[1] - 1)
    return tails_near_zero(counts, inputs, variance, lower, upper)


def _sampled(
    spikes: Int[np.ndarray, "case input"],
    size: Num[np.ndarray, " input"],
    code: Int[np.ndarray, " input"],
    inputs: Int[np.ndarray, " label"],
) -> Tails:
    """Tails from permutations that all cases share, so that a case does not see which others are beside it."""
    tails = np.empty((2, len(spikes)))
    rates = spikes.sum(axis=1) / size.sum()
    own = np.eye(inputs.size)[code]
    for first in range(0, len(spikes), _AT_ONCE[0]):
        here = slice(first, first + _AT_ONCE[0])
        null = np.concatenate(
            [_values(spikes[here], dealt, size, inputs, rates[here]) for dealt in _deals(tuple(code.tolist()))], axis=1
        )
        value = _values(spikes[here], own[None].astype(np.float32), size, inputs, rates[here])
        for row, (drawn, one) in enumerate(zip(np.sort(null, axis=1), value)):
            tails[:, first + row] = np.concatenate(sampled_tails(drawn, one))
    return tails[0], tails[1]


def _values(
    spikes: Int[np.ndarray, "case input"],
    dealt: Float32[np.ndarray, "draw input label"],
    size: Num[np.ndarray, " input"],
    inputs: Int[np.ndarray, " label"],
    rates: Float[np.ndarray, " case"],
) -> Float[np.ndarray, "case draw"]:
    """``sum E_c^2 / M_c`` of each case for each way to deal inputs to labels.

    Sums of counts are exact in single precision, so that no rounding depends on the cases beside one.
    """
    draws, n, labels = dealt.shape
    flat = dealt.transpose(1, 0, 2).reshape(n, draws * labels)
    sums = (spikes.astype(np.float32) @ flat).astype(np.float64).reshape(len(spikes), draws, labels)
    sizes = np.einsum("dil,i->dl", dealt.astype(np.float64), size.astype(np.float64))
    return ((sums - rates[:, None, None] * sizes) ** 2 / inputs).sum(axis=2)


def _deals(code: tuple[int, ...]) -> list[Float32[np.ndarray, "draw input label"]]:
    """Ways to deal inputs to labels, in portions of bounded size."""
    labels = _permuted_labels(code)
    kinds = np.eye(max(code) + 1, dtype=np.float32)
    return [kinds[labels[first : first + _AT_ONCE[1]]] for first in range(0, len(labels), _AT_ONCE[1])]


@lru_cache(maxsize=4)
def _permuted_labels(code: tuple[int, ...]) -> Int[np.ndarray, "draw input"]:
    own = np.array(code)
    draws = int(np.clip(_DRAWN_NUMBERS // (own.size * (own.max() + 1)), *_DRAWS))
    rng = np.random.default_rng((own.size, int(own.max()), draws))
    return rng.permuted(np.tile(own, (draws, 1)), axis=1)
