"""Units drawn together: each keeps its model, and pairs have the correlations that were asked for."""

from dataclasses import replace

import numpy as np
import pytest
from model_sources import recording_of
from scipy import integrate, optimize, stats

import ann2neo
from ann2neo import models
from ann2neo.errors import AnalysisError, Ann2NeoWarning
from ann2neo.models import copula
from ann2neo.models.latent import both_below, latent_correlations, nearest_correlations, symmetric_root
from ann2neo.population import correlations


def fit(recording, *args, **options):
    return models.fit(recording, *args, progress=False, **options)


def together(recording, fitted, model="label", seed=0, **options):
    return models.simulate(fitted, like=recording, model=model, seed=seed, together="copula", **options)


def factors(n, strength, seed=0):
    """A correlation matrix of two shared causes."""
    loads = np.random.default_rng(seed).normal(size=(n, 2)) * strength
    found = loads @ loads.T + np.eye(n)
    root = np.sqrt(np.diag(found))
    return found / root / root[:, None]


def drawn(p, matrix, n_bins, seed=0):
    """Spikes of normal variables below thresholds, shape (unit, bin)."""
    latent = np.linalg.cholesky(matrix) @ np.random.default_rng(seed).normal(size=(len(matrix), n_bins))
    return latent < stats.norm.ppf(p)


def deviations(dense, codes):
    """Deviations from the mean of the condition, a slow loop over units."""
    return np.array([row - np.array([row[codes == c].mean() for c in range(codes.max() + 1)])[codes] for row in dense])


def standardized_errors(dense, codes, target):
    """Correlation minus target over its standard error, from the influence of every bin within its condition."""
    rest = deviations(dense.astype(float), codes)
    rest /= np.sqrt((rest**2).mean(axis=1, keepdims=True))
    found = []
    for i, j in zip(*np.triu_indices(len(dense), 1)):
        r = (rest[i] * rest[j]).mean()
        influence = rest[i] * rest[j] - r / 2 * (rest[i] ** 2 + rest[j] ** 2)
        influence -= np.array([influence[codes == c].mean() for c in range(codes.max() + 1)])[codes]
        found.append((r - target[i, j]) / (influence.std() / np.sqrt(codes.size)))
    return np.array(found)


def test_the_probability_of_both_is_scipys():
    """Bivariate normal integrals of any thresholds, also of 0, equal ones, and correlations near -1 and 1."""
    rng = np.random.default_rng(0)
    h, k, r = rng.normal(size=40) * 1.5, rng.normal(size=40) * 1.5, rng.uniform(-0.99, 0.99, 40)
    h[:4], k[2:6], k[6:10], r[6], r[10] = 0, 0, h[6:10], 0.9999999, -0.9999999
    found = both_below(h[:, None], k[:, None], r[:, None])[:, 0]
    for a, b, c, value in zip(h, k, r, found):
        assert value == pytest.approx(
            stats.multivariate_normal.cdf([a, b], cov=[[1, c], [c, 1]], abseps=1e-10), abs=1e-9
        )


def test_the_latent_correlation_is_the_root_of_the_weighted_sum():
    """Over three conditions of unequal weight, one of them with a constant unit, the integral of the density leads back to the target."""
    p = np.array([[0.1, 0.5, 0.0], [0.3, 0.2, 0.6], [0.9, 0.4, 0.5]])
    weight = np.array([0.2, 0.3, 0.5])
    target = np.array([[1, 0.2, -0.3], [0.2, 1, 0.1], [-0.3, 0.1, 1]])
    found = latent_correlations(p, weight, target)
    deviation = np.sqrt((weight * p * (1 - p)).sum(axis=1))
    for i, j in ((0, 1), (0, 2), (1, 2)):
        covariance = 0.0
        for c in range(3):
            if 0 < p[i, c] < 1 and 0 < p[j, c] < 1:
                h, k = stats.norm.ppf([p[i, c], p[j, c]])
                covariance += (
                    weight[c]
                    * integrate.quad(
                        lambda r, h=h, k=k: stats.multivariate_normal.pdf([h, k], cov=[[1, r], [r, 1]]),
                        0,
                        found.matrix[i, j],
                    )[0]
                )
        assert covariance / deviation[i] / deviation[j] == pytest.approx(target[i, j], abs=1e-7)
    assert np.abs(found.expected - target).max() < 1e-8
    assert found.n_clipped == 0


CASES = {
    "one rate": (1, 4000, "rate", (0.15, 0.85)),
    "conditions": (5, 3000, "label", (0.05, 0.6)),
    "passes of steps": (3, 3600, "label", (0.1, 0.8)),
    "few conditions known": (2, 4000, "label", (0.1, 0.6)),
}


@pytest.mark.parametrize("case", CASES)
def test_each_unit_keeps_its_model_and_pairs_their_correlation(case, slow):
    """Shares are binomial around p in every condition, standardized errors of correlations have variance 1, and 1.96 standard errors cover 95 %."""
    n_conditions, n_bins, model, rates = CASES[case]
    rng, n, n_seeds = np.random.default_rng(1), 12, 40 if slow else 5
    p, target = rng.uniform(*rates, (n, n_conditions)), 0.4 * factors(n, 0.8) + 0.6 * np.eye(n)
    labels, lengths, passes = np.arange(n_bins) % n_conditions, None, 1
    if case == "passes of steps":
        lengths, passes = rng.integers(1, 12, 300), 2
        labels = np.arange(300) % n_conditions
        n_bins = 2 * int(lengths.sum())
    rate_p = p[:, 0]
    if case == "few conditions known":
        labels, rate_p = np.where(np.arange(n_bins) < 2000, labels, -1), np.tile([0.002, 0.5], n // 2)
    like = recording_of(np.zeros((n, n_bins), bool), labels, lengths, passes)
    codes = np.tile(np.repeat(labels, 1 if lengths is None else lengths), passes)
    fitted = fit(like).assign(rate_p=rate_p, **{f"label_p[{c}]": p[:, c] for c in range(n_conditions)})
    z, shares = [], []
    for seed in range(n_seeds):
        made = together(like, fitted, model, seed, correlations=target)
        dense = made.layers[0].raster.dense()[:, codes >= 0]
        assert made.provenance["simulated_correlations_moved_max"] < 1e-8
        known = codes[codes >= 0]
        z.append(standardized_errors(dense, known, target))
        size = np.bincount(known)
        rate = np.stack([dense[:, known == c].mean(axis=1) for c in range(n_conditions)], axis=1)
        shares.append((rate - p) / np.sqrt(p * (1 - p) / size))
    z, shares = np.array(z), np.array(shares)
    assert np.abs(shares).max() < 4.5
    assert np.abs(z).max() < 4.8
    # Pairs that share units vary together: the bounds are wider than binomial ones.
    assert abs(z.mean()) < (0.06 if slow else 0.25)
    assert abs((z**2).mean() - 1) < (0.1 if slow else 0.35)
    assert abs((np.abs(z) < 1.96).mean() - 0.95) < (0.015 if slow else 0.045)


def test_the_noise_correlation_of_a_recording_comes_back():
    """As population.correlations measures it; label shares stay, and units drawn alone have none of it."""
    rng, labels = np.random.default_rng(2), np.arange(4000) % 5
    recording = recording_of(drawn(rng.uniform(0.05, 0.7, (20, 5))[:, labels], factors(20, 0.8), 4000), labels)
    fitted = fit(recording)
    made, alone = together(recording, fitted), models.simulate(fitted, like=recording, model="label", seed=0)
    pairs = np.triu_indices(20, 1)
    own, again, none = (correlations(each, n_permutations=0).noise[pairs] for each in (recording, made, alone))
    assert made.provenance["simulated_correlations"] == "recording"
    assert np.sqrt(((own - again) ** 2).mean()) < 1.25 / np.sqrt(4000)
    assert np.sqrt((own**2).mean()) > 8 / np.sqrt(4000)
    assert np.sqrt((none**2).mean()) < 1.25 / np.sqrt(4000)
    shares = [ann2neo.analyze(each, windows="label", progress=False)["label_share"] for each in (recording, made)]
    assert np.abs(shares[1] - shares[0]).max() < 0.05
    assert abs(shares[1].mean() / shares[0].mean() - 1) < 0.1
    about_one_mean = together(recording, fit(recording), "rate")
    raw = [correlations(each, n_permutations=0).raw[pairs] for each in (recording, about_one_mean)]
    assert np.sqrt(((raw[0] - raw[1]) ** 2).mean()) < 1.25 / np.sqrt(4000)


def test_chance_is_taken_over_and_added_once_more():
    """Of independent units the mean square of correlations is 1 / (L - C), and twice that in the simulation."""
    rng, labels = np.random.default_rng(3), np.arange(600) % 3
    recording = recording_of(rng.random((40, 600)) < 0.4, labels)
    made = together(recording, fit(recording))
    pairs = np.triu_indices(40, 1)
    once, twice = ((correlations(each, n_permutations=0).noise[pairs] ** 2).mean() for each in (recording, made))
    assert once * 597 == pytest.approx(1, abs=0.2)
    assert twice * 597 == pytest.approx(2, abs=0.4)


def test_units_without_correlation_have_the_bits_of_units_drawn_alone(monkeypatch):
    """Also beside units that have one; chunks change no bit, and a longer simulation begins with the shorter one."""
    labels = np.arange(300) % 2
    recording = recording_of(np.random.default_rng(0).random((4, 300)) < 0.3, labels)
    fitted, pair = fit(recording), np.eye(4)
    pair[0, 2] = pair[2, 0] = 0.3
    alone = models.simulate(fitted, like=recording, model="label", seed=4)
    made = together(recording, fitted, seed=4, correlations=pair)
    assert (
        together(recording, fitted, seed=4, correlations=np.eye(4)).layers[0].raster.identical(alone.layers[0].raster)
    )
    rows = made.raster("hidden") == alone.raster("hidden")
    assert rows.all(axis=1).tolist()[1::2] == [True, True]
    assert 0.85 < rows[[0, 2]].mean() < 1
    monkeypatch.setattr(copula, "_NUMBERS_AT_ONCE", 40)
    assert together(recording, fitted, seed=4, correlations=pair).identical(made)
    short, long = (
        models.simulate(fitted, n_bins=n, model="rate", seed=0, together="copula", correlations=pair) for n in (50, 90)
    )
    np.testing.assert_array_equal(long.raster("hidden")[:, :50], short.raster("hidden"))
    assert together(recording, fitted, correlations=recording).identical(together(recording, fitted))


def test_the_root_of_a_matrix_depends_on_no_choice_of_eigenvectors():
    """It is symmetric, and its square is the matrix, also a singular one."""
    matrix = nearest_correlations(2 * factors(6, 1.0) - np.eye(6))
    root = symmetric_root(matrix)
    np.testing.assert_allclose(root, root.T, atol=1e-12)
    np.testing.assert_allclose(root @ root, matrix, atol=1e-7)
    # The nearest one of a general matrix, found as products of rows of unit length.
    wanted = np.eye(6)
    wanted[np.triu_indices(6, 1)] = np.random.default_rng(1).uniform(-1, 1, 15)
    wanted = np.triu(wanted, 1) + wanted.T

    def distance(rows):
        rows = rows.reshape(6, 6) / np.sqrt((rows.reshape(6, 6) ** 2).sum(axis=1, keepdims=True))
        return ((rows @ rows.T - wanted) ** 2).sum()

    best = optimize.minimize(distance, np.random.default_rng(2).normal(size=36), method="BFGS").fun
    assert ((nearest_correlations(wanted) - wanted) ** 2).sum() == pytest.approx(best, rel=1e-4)
    # Entries of a matrix of opposites are -1 / (n - 1) in the nearest one, by symmetry.
    opposites = nearest_correlations(np.where(np.eye(5) > 0, 1.0, -0.9))
    np.testing.assert_allclose(opposites, np.where(np.eye(5) > 0, 1.0, -0.25), atol=1e-3)
    assert np.linalg.eigvalsh(opposites)[0] > -1e-9


def test_degenerate_units():
    """Silent, saturated and constant units stay so; twins stay twins; rare units that never met are independent and not opposites."""
    rng, labels = np.random.default_rng(5), np.arange(400) % 2
    dense = rng.random((7, 400)) < 0.3
    dense[0], dense[1], dense[2] = False, True, labels == 1
    dense[4] = dense[3]
    dense[5], dense[6] = np.arange(400) == 7, np.arange(400) == 12
    recording = recording_of(dense, labels)
    made = together(recording, fit(recording), seed=1).raster("hidden")
    np.testing.assert_array_equal(made[:3], dense[:3])
    assert (made[3] == made[4]).mean() > 0.99
    longer = recording_of(np.zeros((7, 8000), bool), np.arange(8000) % 2).select(units=[5, 6])
    options = {"like": longer, "model": "rate", "seed": 0}
    alone = models.simulate(fit(recording), **options).raster("hidden")
    rare = models.simulate(fit(recording), **options, together="copula", correlations=recording).raster("hidden")
    assert alone.sum() > 20
    np.testing.assert_array_equal(rare, alone)
    latent = latent_correlations(np.full((2, 1), 1 / 400), np.ones(1), np.full((2, 2), -1 / 399), 0.5 / 400)
    assert latent.matrix[0, 1] == 0
    assert latent_correlations(np.full((2, 1), 1 / 400), np.ones(1), np.full((2, 2), -1 / 399)).matrix[0, 1] == -1


def test_what_cannot_be_reached_is_said():
    """Rates of 0.1 and 0.5 allow a correlation of 1/3; three units cannot be opposites of each other."""
    recording = recording_of(np.zeros((3, 400), bool), np.zeros(400, int))
    fitted = fit(recording).assign(rate_p=[0.1, 0.5, 0.5])
    with pytest.warns(Ann2NeoWarning, match="1 of 3 pairs"):
        made = together(
            recording, fitted, "rate", correlations=np.array([[1, 0.8, np.nan], [0.8, 1, 0], [np.nan, 0, 1]])
        )
    assert made.provenance["simulated_pairs_out_of_range"] == 1
    assert made.provenance["simulated_correlations_moved_max"] == pytest.approx(0.8 - 1 / 3, abs=1e-6)
    spikes = made.raster("hidden")
    assert not (spikes[0] & ~spikes[1]).any()
    with pytest.warns(Ann2NeoWarning, match="move by"):
        made = together(recording, fitted.assign(rate_p=0.5), "rate", correlations=np.where(np.eye(3) > 0, 1, -1.0))
    assert made.provenance["simulated_pairs_out_of_range"] == 0
    # The nearest latent correlations are -1/2, and those of fair coins then -1/3.
    assert made.provenance["simulated_correlations_moved_rms"] == pytest.approx(2 / 3, abs=1e-3)


def test_layers_are_independent_of_each_other():
    """A dictionary has a matrix for each layer; equal rows of two layers share nothing."""
    rng = np.random.default_rng(6)
    shared = rng.random((2000, 1)) < 0.5
    one, other = (recording_of(((rng.random((2000, 3)) < 0.4) ^ shared).T, np.arange(2000) % 2) for _ in range(2))
    layers = tuple(replace(each.layers[0], name=name) for each, name in ((one, "a"), (other, "b")))
    recording = replace(one, layers=layers)
    fitted, matrix = fit(recording), np.where(np.eye(3) > 0, 1.0, 0.3)
    for given in (None, {"a": matrix, "b": np.eye(3)}):
        made = together(recording, fitted, correlations=given)
        noise = correlations(made, n_permutations=0).noise
        assert np.abs(noise[:3, 3:]).max() < 4.5 / np.sqrt(2000)
        assert noise[0, 1] > (0.2 if given else 0.02)
    with pytest.raises(AnalysisError, match="one matrix for 'a'"):
        together(recording, fitted, correlations=np.eye(3))
    part = recording.select(units=[2, 0])
    again = together(part, fitted, correlations=recording)
    wanted = correlations(recording, layer="a", n_permutations=0).noise[2, 0]
    assert abs(correlations(again, layer="a", n_permutations=0).noise[0, 1] - wanted) < 4.5 / np.sqrt(2000)


def test_misuse_is_told_with_the_cure():
    """Models without single bins, matrices that are none, too many pairs; the cure runs."""
    recording = recording_of(np.random.default_rng(0).random((3, 60)) < 0.4, np.arange(60) % 2)
    fitted = fit(recording)
    for options, words in (
        ({"model": "markov"}, "'rate' or 'label'"),
        ({"together": "vine"}, "None or 'copula', got 'vine'"),
        ({"together": None, "correlations": np.eye(3)}, "without `together`"),
        ({"correlations": np.eye(4)}, r"3 x 3 units, got shape \(4, 4\)"),
        ({"correlations": "noise"}, "3 x 3 units, got"),
        ({"correlations": 2 * np.eye(3)}, "Pass correlations, not covariances"),
        ({"correlations": np.tri(3)}, "not symmetric"),
        ({"correlations": recording.select(units=[0, 1])}, "1 of 3 units of layer 'hidden' are not in"),
        ({"correlations": recording_of(np.zeros((3, 60), bool), np.full(60, -1))}, "label of all trials is unknown"),
    ):
        with pytest.raises(AnalysisError, match=words):
            models.simulate(
                fitted,
                like=recording,
                seed=0,
                **{"model": "label", "together": "copula", "correlations": None} | options,
            )
    with pytest.raises(AnalysisError, match="Pass `correlations`"):
        models.simulate(fitted, n_bins=9, seed=0, model="rate", together="copula")
    many = recording_of(np.zeros((2001, 2), bool), np.arange(2))
    with pytest.raises(AnalysisError, match="Select units") as told:
        together(many, fit(many))
    cure = str(told.value).split("such as ")[1].rstrip(".")
    assert eval(cure, {"recording": many}).n_units == 2000
