"""Fitted models against loops, closed forms and SciPy, and what they recover from simulated units."""

import neo
import numpy as np
import pandas as pd
import pytest
import quantities as pq
from model_sources import recording_of
from scipy import stats

import ann2neo
from ann2neo import models
from ann2neo.errors import AnalysisError, WindowError


def fit(recording, *args, **options):
    return models.fit(recording, *args, progress=False, **options)


def settings():
    """One bin per input; steps of ragged length in two passes; some labels unknown; one bin per input in three passes."""
    rng = np.random.default_rng(1)
    yield recording_of(rng.random((6, 40)) < rng.uniform(0.1, 0.9, (6, 1)), np.arange(40) % 3)
    lengths = rng.integers(2, 6, 24)
    labels = rng.permutation(np.arange(24) % 4) - 1
    chance = np.repeat(rng.uniform(0.1, 0.9, (6, 24)), lengths, axis=1)
    yield recording_of(rng.random((6, 2 * lengths.sum())) < np.tile(chance, 2), labels, lengths, 2)
    yield recording_of(rng.random((6, 60)) < 0.4, np.arange(20) % 2, None, 3)


def ll(n, w):
    return sum(k * np.log(k / w) for k in (n, w - n) if k) if w else 0.0


def by_loop(recording, unit, order):
    """Every number from the definition, bin by bin; left-out inputs are really left out."""
    spikes = recording.layers[0].raster.dense()[unit].astype(int)
    trials, edges, m = recording.trials, set(recording.stretches.tolist()), 2**order
    bins = []
    for row in trials.itertuples():
        for t in range(row.start_bin, row.stop_bin):
            back = range(t - order, t)
            inside = t >= order and not any(s in edges for s in range(t - order + 1, t + 1))
            context = int("".join(str(spikes[s]) for s in back), 2) if inside else None
            if row.label >= 0:
                bins.append((row.stimulus_id, row.label, context, spikes[t]))
    names, labels, contexts, x = (np.array(each, object) for each in zip(*bins))
    x = x.astype(int)
    n, total = x.sum(), x.size
    whole, one_bin = {name: (x[names == name].sum(), (names == name).sum()) for name in set(names)}, True
    one_bin = all(size == 1 for _, size in whole.values())
    found = {"rate_p": n / total, "rate_loglik": ll(n, total), "label_loglik": 0.0}

    def spread(which, p):
        own = [(x[(names == i) & which].sum(), ((names == i) & which).sum()) for i in sorted(set(names[which]))]
        squares = sum((s - p * w) ** 2 for s, w in own)
        return squares if one_bin else squares * len(own) / (len(own) - 1)

    everything = np.ones(total, bool)
    found["rate_p_se"] = np.sqrt(spread(everything, n / total)) / total
    variance = 0.0
    for c in sorted(set(labels)):
        which = labels == c
        k, w = x[which].sum(), which.sum()
        p = k / w
        found[f"label_p[{c}]"] = p
        found["label_loglik"] += ll(k, w)
        if 0 < k < w:
            found[f"label_p_se[{c}]"] = np.sqrt(spread(which, p)) / w
            variance += spread(which, p) * (np.log(p / (1 - p)) - np.log(n / (total - n))) ** 2
    found["label_bits"] = (found["label_loglik"] - found["rate_loglik"]) / total / np.log(2)
    found["label_bits_se"] = np.sqrt(variance) / total / np.log(2)
    inputs = len(whole)
    eta = (
        sum((s - n / total * w) ** 2 for s, w in whole.values())
        * inputs
        / total
        / (total * n / total * (1 - n / total))
    )
    inflation = (total - 1) / (inputs - 1) * eta
    bias = (len(set(labels)) - 1) * inflation / 2 / total / np.log(2)
    found["label_bits_corrected"] = found["label_bits"] - bias
    early = np.array([c is None for c in contexts])
    p = n / total
    found["markov_loglik"] = sum(np.log(p if hit else 1 - p) for hit in x[early])
    for c in range(m):
        which = np.array([each == c for each in contexts])
        k, w = x[which].sum(), which.sum()
        found[f"markov_p{c:0{order}b}1"] = k / w if w else np.nan
        found["markov_loglik"] += ll(k, w)
    found |= {f"{name}_loglik_cv": 0.0 for name in ("rate", "label", "markov")}
    for i in range(total):
        kept = np.arange(total) != i if one_bin else names != names[i]
        after = np.array([each == contexts[i] for each in contexts]) if contexts[i] is not None else everything
        for name, same in (("rate", everything), ("label", labels == labels[i]), ("markov", after)):
            q = (x[kept & same].sum() + 0.5) / ((kept & same).sum() + 1)
            found[f"{name}_loglik_cv"] += np.log(q if x[i] else 1 - q)
    for name, k in (("rate", 1), ("label", len(set(labels))), ("markov", m)):
        found[f"{name}_aic"] = 2 * k - 2 * found[f"{name}_loglik"]
        found[f"{name}_bic"] = k * np.log(total) - 2 * found[f"{name}_loglik"]
    return found


@pytest.mark.parametrize("order", [1, 2])
@pytest.mark.parametrize("place", [0, 1, 2])
def test_every_number_is_that_of_a_loop_over_bins(place, order):
    """Estimates, errors, likelihoods, criteria and left-out inputs follow their definitions, with steps, passes and unknown labels."""
    recording = list(settings())[place]
    table = fit(recording, order=order)
    for unit in range(recording.n_units):
        expected = by_loop(recording, unit, order)
        if any(np.isnan(expected[f"markov_p{c:0{order}b}1"]) for c in range(2**order)):
            expected = {name: value for name, value in expected.items() if not name.startswith("markov")}
        for name, value in expected.items():
            assert table[name][unit] == pytest.approx(value, rel=1e-9, abs=1e-12), (unit, name)


def test_label_likelihood_is_information_and_scipys_g():
    """The gain of the label model is L ln 2 times the mutual information of bin and label, and SciPy's G statistic with its p value."""
    rng = np.random.default_rng(2)
    labels = np.arange(400) % 4
    table = fit(recording_of(rng.random((5, 400)) < 0.2 + 0.1 * labels, labels))
    for _, row in table.iterrows():
        spikes = [round(row[f"label_p[{c}]"] * 100) for c in range(4)]
        cells = np.array([spikes, [100 - n for n in spikes]])
        g, p, _, expected = stats.chi2_contingency(cells, lambda_="log-likelihood", correction=False)
        information = (cells / 400 * np.log2(cells / expected)).sum()
        assert row["label_bits"] == pytest.approx(information, rel=1e-9)
        assert 2 * (row["label_loglik"] - row["rate_loglik"]) == pytest.approx(g, rel=1e-9)
        assert row["label_lr_p"] == pytest.approx(p, rel=1e-9)


def test_statsmodels_agrees():
    """A logistic regression on the label, and one on the preceding bin, has the same likelihoods and probabilities."""
    import statsmodels.api as api

    rng = np.random.default_rng(3)
    labels = np.arange(300) % 3
    dense = rng.random((1, 300)) < 0.2 + 0.2 * labels
    row = fit(recording_of(dense, labels)).iloc[0]
    x = dense[0].astype(float)
    fitted = api.GLM(x, np.eye(3)[labels], family=api.families.Binomial()).fit()
    assert row["label_loglik"] == pytest.approx(fitted.llf, rel=1e-6)
    design = np.stack([1 - x[:-1], x[:-1]], axis=1)
    fitted = api.GLM(x[1:], design, family=api.families.Binomial()).fit()
    p = 1 / (1 + np.exp(-fitted.params))
    np.testing.assert_allclose([row["markov_p01"], row["markov_p11"]], p, rtol=1e-6)


def test_units_that_tell_nothing_are_nan_with_their_quality():
    """Silent and saturated units have a rate and no more; a context that never came leaves out the chain alone."""
    dense = np.zeros((4, 60), bool)
    dense[1], dense[2, 30], dense[3, ::3] = True, True, True
    table = fit(recording_of(dense, np.arange(60) % 2))
    assert table["quality"].tolist() == ["silent", "saturated", "too_few", "good"]
    assert table["rate_p"].tolist() == [0, 1, 1 / 60, 1 / 3]
    numbers = table.drop(columns=["rate_p", "rate_k", "label_k", "markov_k", "n_spikes", "label_p[0]", "label_p[1]"])
    given = numbers.loc[:1].filter(regex="^(rate|label|markov)_")
    assert given.isna().all(axis=None)
    assert (table["best_aic"] == "undefined").tolist() == [True, True, False, False]
    last = fit(recording_of(np.arange(30)[None] == 29, np.arange(30) % 2)).iloc[0]  # never after a spike
    assert np.isnan(last["markov_loglik"])
    assert np.isnan(last["markov_p01"])
    assert last["rate_loglik"] < 0
    assert last["best_aic"] in ("rate", "label")


def test_one_label_and_one_input():
    """One label tells nothing; one input of several bins has no standard error."""
    rng = np.random.default_rng(4)
    one = fit(recording_of(rng.random((2, 50)) < 0.5, np.zeros(50, int)))
    assert (one["label_bits"] == 0).all()
    assert one["label_lr_p"].isna().all()
    assert one["label_bits_corrected"].isna().all()
    alone = fit(recording_of(rng.random((2, 20)) < 0.5, [3], np.array([20])))
    assert alone["rate_p"].notna().all()
    assert alone[["rate_p_se", "label_p_se[3]", "label_lr_p"]].isna().all(axis=None)


def covered_by_shares(p, n):
    """How often p lies within 1.96 standard errors of a share of n: exactly, by the binomial law (0.933 at p = 0.15, n = 100)."""
    share = np.arange(n + 1) / n
    inside = abs(share - p) < 1.96 * np.sqrt(share * (1 - share) / n)
    return stats.binom.pmf(np.arange(n + 1)[inside], n, p).sum()


@pytest.mark.parametrize("steps", [None, 8])
def test_parameters_are_recovered_and_intervals_cover(steps, slow):
    """Rates of labels, with inputs that differ where they have several bins, lie in their intervals in 95 % of units."""
    rng = np.random.default_rng(5)
    n_units, n_inputs = 20_000 if slow else 4000, 400
    labels = np.arange(n_inputs) % 4
    truth = np.array([0.15, 0.3, 0.5, 0.8])
    p = np.broadcast_to(truth[labels], (n_units, n_inputs))
    lengths = None
    if steps:
        lengths = np.where(np.arange(n_inputs) % 8 < 4, steps, steps // 2)
        p = np.repeat(rng.beta(truth[labels] * 6, (1 - truth[labels]) * 6, (n_units, n_inputs)), lengths, axis=1)
    table = fit(recording_of(rng.random(p.shape) < p, labels, lengths), ("rate", "label"))
    for c in range(4):
        z = (table[f"label_p[{c}]"] - truth[c]) / table[f"label_p_se[{c}]"]
        assert abs(stats.ttest_1samp(table[f"label_p[{c}]"], truth[c]).statistic) < 4
        covered = 0.95 if steps else covered_by_shares(truth[c], 100)
        assert abs((abs(z) < 1.96).mean() - covered) < (0.015 if steps else 4 * np.sqrt(0.07 / n_units))
    size = np.bincount(labels, weights=lengths)
    whole = size @ truth / size.sum()
    information = (
        size
        / size.sum()
        @ (
            stats.entropy([np.full(4, whole), np.full(4, 1 - whole)], base=2)
            - stats.entropy([truth, 1 - truth], base=2)
        )
    )
    found = table["label_bits_corrected"]
    assert (table["label_bits"] > 4 * table["label_bits_se"]).mean() > 0.95
    assert 0.935 < (abs(found - information) < 1.96 * table["label_bits_se"]).mean() < 0.965


def test_the_chain_is_recovered(slow):
    """p01, p11 and memory of chains in stretches of unequal length lie in their intervals in 95 % of units."""
    rng = np.random.default_rng(6)
    n_units = 20_000 if slow else 4000
    lengths = np.tile([20, 60, 70], 8)
    dense = np.empty((n_units, lengths.sum()), bool)
    starts = set((np.cumsum(lengths) - lengths).tolist())
    for t in range(lengths.sum()):
        p = 1 / 3 if t in starts else np.where(dense[:, t - 1], 0.6, 0.2)
        dense[:, t] = rng.random(n_units) < p
    table = fit(recording_of(dense, np.arange(24) % 3, lengths), ("markov",), by=None)
    for name, truth in (("markov_p01", 0.2), ("markov_p11", 0.6), ("markov_memory", 0.4)):
        z = (table[name] - truth) / table[f"{name}_se"]
        assert 0.935 < (abs(z) < 1.96).mean() < 0.965
        assert abs(table[name].mean() - truth) < 4 * table[f"{name}_se"].mean() / np.sqrt(n_units) + 1.5 / lengths.sum()
    assert (table["best_bic"] == "markov").mean() > 0.99


@pytest.mark.parametrize(
    ("steps", "passes", "rate"), [(1, 1, 0.3), (1, 1, 0.03), (1, 5, 0.3), (20, 1, 0.3), (20, 1, 0.01)]
)
def test_untuned_units_are_called_tuned_at_the_nominal_level(steps, passes, rate, slow):
    """Where inputs differ and labels do not, with ragged steps and with passes, 5 % and 1 % are rejected and the corrected bits are 0."""
    rng = np.random.default_rng(7)
    n_units, n_inputs = 20_000 if slow else 1500 if rate == 0.01 else 4000, 200
    lengths = None if steps == 1 else np.tile([steps, steps, steps - 5, steps - 5], 50)
    of_input = (
        rng.beta(rate * 4, (1 - rate) * 4, (n_units, n_inputs))
        if steps * passes > 1
        else np.full((n_units, n_inputs), rate)
    )
    p = np.tile(np.repeat(of_input, 1 if lengths is None else lengths, axis=1), passes)
    table = fit(
        recording_of(rng.random(p.shape) < p, rng.permutation(np.arange(n_inputs) % 5), lengths, passes), ("label",)
    )
    p_values = table["label_lr_p"].dropna()
    for level in (0.05, 0.01):
        assert (p_values <= level).mean() < level + 4 * np.sqrt(level / p_values.size) + 0.1 * level
    assert (p_values <= 0.05).mean() > 0.025
    bits = table["label_bits_corrected"].dropna()
    if rate == 0.03:
        return  # 1.2 spikes of a label are too few for the bias
    assert abs(bits.mean()) < 4 * bits.std() / np.sqrt(bits.size) + 0.1 * (table["label_bits"] - bits).mean()


@pytest.mark.parametrize("steps", [2, 200])
def test_units_without_memory_have_one_at_the_nominal_level(steps, slow):
    """Bins that have no context do not inflate the test, however short the stretches."""
    rng = np.random.default_rng(8)
    n_units = 20_000 if slow else 2000
    n = 2000 // steps
    table = fit(
        recording_of(rng.random((n_units, 2000)) < 0.2, np.arange(n) % 2, np.full(n, steps)), ("markov",), by=None
    )
    assert (table["markov_loglik"] >= table["rate_loglik"] - 1e-9).all()
    assert abs((table["markov_lr_p"] <= 0.05).mean() - 0.05) < 4 * np.sqrt(0.05 / n_units)


def test_fitted_is_the_same_however_units_are_read():
    """A row does not depend on the other units; rate and label do not depend on the order of inputs, and unused trials change nothing."""
    first, second, _ = settings()
    whole = fit(second)
    pd.testing.assert_frame_equal(fit(second.select(units=[4])), whole.iloc[[4]].reset_index(drop=True))
    ordered = fit(first.arrange("label"), ("rate", "label"))
    pd.testing.assert_frame_equal(ordered, fit(first, ("rate", "label")))
    assert whole.attrs["conditions"] == [0, 1, 2]
    assert whole.attrs["n_bins"] < second.n_bins
    block = ann2neo.to_block(first)
    pd.testing.assert_frame_equal(fit(block), fit(first))


def test_classes_that_differ_between_passes_are_counted_in_their_own_bins():
    """What a stochastic network predicted may differ from pass to pass; each bin counts for its own."""
    rng = np.random.default_rng(9)
    predicted = rng.integers(0, 2, 60)
    recording = recording_of(predicted[None] == 1, np.arange(30) % 2, None, 2, predicted_label=predicted)
    row = fit(recording, by="predicted_label").iloc[0]
    assert row["label_p[0]"] == 0
    assert row["label_p[1]"] == 1


def test_wrong_arguments_end_in_errors_that_say_what_to_do():
    """Unknown models, columns, orders and conditions are refused before anything is computed."""
    recording = next(settings())
    for options, words in (
        ({"models": ("lable",)}, "Did you mean 'label'"),
        ({"models": "rate"}, "Use a list"),
        ({"by": None, "models": ("label",)}, "models=\\('rate', 'markov'\\)"),
        ({"order": 0}, "from 1 to 8"),
        ({"order": True}, "from 1 to 8"),
        ({"min_spikes": -1}, "at least 0"),
    ):
        with pytest.raises(AnalysisError, match=words):
            fit(recording, **options)
    with pytest.raises(WindowError, match="Did you mean 'label'"):
        fit(recording, by="labels")
    many = recording_of(np.ones((1, 1001)), np.arange(1001))
    with pytest.raises(AnalysisError, match="1001 conditions"):
        fit(many)
    with pytest.raises(AnalysisError, match="All 3 trials have an unknown label"):
        fit(recording_of(np.ones((1, 3)), [-1, -1, -1]))


def cells(counts, seconds, names):
    """Trials one after another, spikes at uniform times within them."""
    rng = np.random.default_rng(10)
    edges = np.concatenate([[0], np.cumsum(seconds)])
    segment = neo.Segment()
    for unit, row in enumerate(counts):
        inside = [edges[i] + seconds[i] * rng.uniform(0.01, 0.99, n) for i, n in enumerate(row)]
        segment.spiketrains.append(
            neo.SpikeTrain(np.sort(np.concatenate(inside)) * pq.s, t_stop=edges[-1] * pq.s, name=f"cell {unit}")
        )
    epoch = neo.Epoch(edges[:-1] * pq.s, seconds * pq.s, labels=np.array(names), name="trials")
    epoch.array_annotate(side=np.array(names))
    segment.epochs.append(epoch)
    block = neo.Block()
    block.segments.append(segment)
    return block


def test_cells_are_poisson_in_the_time_of_their_trials():
    """Rates in Hz, likelihoods of spike times, standard errors over trials, left-out trials and D follow a loop over trials."""
    rng = np.random.default_rng(11)
    seconds = rng.choice([0.5, 1.0, 2.0], 30)
    names = rng.permutation(np.array(["left", "right", "up"] * 10))
    counts = rng.poisson(5 * seconds, (3, 30))
    table = fit(cells(counts, seconds, names), by="side")
    assert table.attrs["left_out"].startswith("markov")
    assert table.attrs["per"] == "s"
    assert table.attrs["conditions"] == ["left", "right", "up"]
    for unit, s in enumerate(counts):
        row, n, time = table.iloc[unit], s.sum(), seconds.sum()
        single = n * np.log(n / time) - n
        assert row["rate_hz"] == pytest.approx(n / time)
        assert row["rate_loglik"] == pytest.approx(single)
        each, variance = 0.0, 0.0
        for name in ("left", "right", "up"):
            of = names == name
            rate = s[of].sum() / seconds[of].sum()
            spread = ((s[of] - rate * seconds[of]) ** 2).sum() * of.sum() / (of.sum() - 1)
            assert row[f"label_hz[{name}]"] == pytest.approx(rate)
            assert row[f"label_hz_se[{name}]"] == pytest.approx(np.sqrt(spread) / seconds[of].sum())
            each += s[of].sum() * np.log(rate) - s[of].sum()
            variance += spread * np.log(rate * time / n) ** 2
        assert row["label_bits"] == pytest.approx((each - single) / time / np.log(2))
        assert row["label_bits_se"] == pytest.approx(np.sqrt(variance) / time / np.log(2))
        assert row["label_bic"] == pytest.approx(3 * np.log(n) - 2 * each)
        own = sum(k * np.log(k / t) - k for k, t in zip(s, seconds) if k)
        assert row["label_explained"] == pytest.approx((each - single) / (own - single))
        inflation = ((s - n / time * seconds) ** 2).sum() / n * 30 / 29
        assert row["label_bits_corrected"] == pytest.approx(row["label_bits"] - 2 * inflation / 2 / time / np.log(2))
        cv = 0.0
        for i in range(30):
            kept = (names == names[i]) & (np.arange(30) != i)
            rate = (s[kept].sum() + 0.5) / seconds[kept].sum()
            cv += s[i] * np.log(rate) - rate * seconds[i]
        assert row["label_loglik_cv"] == pytest.approx(cv)


def test_cells_that_vary_more_than_poisson_are_not_called_tuned():
    """Trials with gains of their own reject 5 %, where a Poisson test would reject most; intervals of rates cover."""
    rng = np.random.default_rng(12)
    names, seconds = np.array(["a", "b", "c", "d"] * 30), np.ones(120)
    counts = rng.poisson(rng.gamma(2.0, 4.0, (800, 120)))
    table = fit(cells(counts, seconds, names), ("label",), by="side")
    assert abs((table["label_lr_p"] <= 0.05).mean() - 0.05) < 4 * np.sqrt(0.05 / 800)
    assert (2 * (table["label_loglik"] - table["rate_loglik"]) > stats.chi2.isf(0.05, 3)).mean() > 0.4
    covered = abs(table["label_hz[a]"] - 8) < stats.t.isf(0.025, 29) * table["label_hz_se[a]"]
    assert abs(covered.mean() - 0.95) < 4 * np.sqrt(0.05 / 800)


def test_cells_without_a_condition_are_fitted_in_all_observed_time():
    """The rate is that of the whole time; its error is over contiguous pieces of time, of which one tells nothing, and covers where their rates differ."""
    row = fit(cells(np.array([[2, 3, 0, 1]]), np.ones(4), ["a", "b"] * 2), by=None).iloc[0]
    assert row["rate_hz"] == 1.5
    assert row["rate_loglik"] == pytest.approx(6 * np.log(1.5) - 6)
    assert np.isnan(row["rate_hz_se"])
    assert "label_loglik" not in row
    rng = np.random.default_rng(13)
    seconds, block = np.tile([1.0, 3.0], 20), neo.Block()
    counts = rng.poisson(rng.gamma(2.0, 4.0, (300, 40)) * seconds)
    for piece, duration in enumerate(seconds):
        segment = neo.Segment()
        for unit in range(300):
            times = np.sort(rng.uniform(0, duration, counts[unit, piece]))
            segment.spiketrains.append(neo.SpikeTrain(times * pq.s, t_stop=duration * pq.s, name=f"cell {unit}"))
        block.segments.append(segment)
    table = fit(block, by=None)
    np.testing.assert_allclose(table["rate_hz"], counts.sum(axis=1) / 80)
    spread = ((counts - table["rate_hz"].to_numpy()[:, None] * seconds) ** 2).sum(axis=1) * 40 / 39
    np.testing.assert_allclose(table["rate_hz_se"], np.sqrt(spread) / 80)
    covered = abs(table["rate_hz"] - 8) < stats.t.isf(0.025, 39) * table["rate_hz_se"]
    assert abs(covered.mean() - 0.95) < 4 * np.sqrt(0.05 / 300)


def test_cells_without_trials_of_a_condition():
    """A silent unit has no likelihood; a column that is unknown is an error."""
    with pytest.raises(WindowError):
        fit(cells(np.ones((1, 4), int), np.ones(4), ["a", "b"] * 2), ("rate",), by="colour")
    table = fit(cells(np.array([[0] * 4, [3] * 4]), np.ones(4), ["a", "b"] * 2), by="side")
    assert table["quality"].tolist() == ["silent", "good"]
    assert np.isnan(table["rate_loglik"][0])


def test_what_has_no_labels_is_fitted_as_the_message_says():
    """The default asks for labels; where there are none, whatever the source, the cure is one that fits."""
    segment = neo.Segment()
    segment.spiketrains.append(neo.SpikeTrain(np.arange(1, 9) * pq.s, t_stop=10 * pq.s, name="u"))
    for source in (segment, ann2neo.from_array(np.eye(30, dtype=bool))):
        with pytest.raises(WindowError, match="by=None"):
            models.fit(source, progress=False)
        assert (
            models.fit(source, by=None, progress=False)["rate_p" if source is not segment else "rate_hz"].notna().all()
        )
