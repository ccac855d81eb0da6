"""Trajectories: Elephant's GPFA on every source, a planted path, and clear words where it cannot work."""

import subprocess
import sys
import warnings

import neo
import numpy as np
import pandas as pd
import pytest
import quantities as pq
from population_sources import brain, network, random_network, trials_of_brain

import ann2neo
from ann2neo import figures, population
from ann2neo.errors import AnalysisError, Ann2NeoWarning

with warnings.catch_warnings():
    from elephant.gpfa import GPFA

pytestmark = pytest.mark.filterwarnings("ignore:::elephant.*")
DIMS = ["dim_1", "dim_2"]


def planted(n_trials=12, n_bins=25, n_units=12, seed=0):
    """Units that follow one smooth path, a different one for each of two labels, in trials of many bins."""
    rng = np.random.default_rng(seed)
    label = np.arange(n_trials) % 2
    time = np.linspace(0, np.pi, n_bins)
    path = np.concatenate([np.sin(time) * (1 if of_trial else -1) for of_trial in label])
    weight = rng.choice([-0.4, 0.4], n_units)
    dense = rng.random((n_units, path.size)) < 0.5 + weight[:, None] * path
    return network(dense, label, lengths=np.full(n_trials, n_bins)), path


def test_trajectories_are_elephants_on_trials_of_several_bins():
    """The dimensions are those of a direct call on the trials' trains."""
    recording, _ = planted()
    found = population.gpfa_trajectories(recording, n_dims=2, max_iterations=20)
    trials = [list(s.spiketrains) for s in ann2neo.to_block(recording, segment_by="trial").segments]
    model = GPFA(bin_size=1 * pq.ms, x_dim=2, tau_init=5 * pq.ms, em_max_iters=20)
    expected = np.concatenate(model.fit_transform(trials), axis=1)
    np.testing.assert_allclose(found[DIMS].to_numpy().T, expected)
    assert found["label"].tolist() == np.repeat(["0", "1"] * 6, 25).tolist()
    assert found["start_ms"].tolist() == list(range(25)) * 12
    assert sum(found.attrs["shares"]) == pytest.approx(1)
    assert found.attrs["n_units_used"] == 12


def test_a_planted_path_is_found():
    """The first dimension follows the path by which the units are driven, up to sign and scale, and tells the labels apart."""
    recording, path = planted(seed=3)
    found = population.gpfa_trajectories(recording, n_dims=1, max_iterations=50)
    assert abs(np.corrcoef(found["dim_1"], path)[0, 1]) > 0.9


def test_trials_of_a_brain_begin_at_zero():
    """Intervals of an Epoch become trials, cut from trains in seconds, and are what Elephant gives for trains cut by hand; silent units are left out."""
    block = brain(rate=60.0)
    with pytest.warns(Ann2NeoWarning, match="1 of 5 units"):
        found = population.gpfa_trajectories(block, n_dims=1, bin_size=50 * pq.ms, max_iterations=10)
    trials = trials_of_brain(block)
    assert found.groupby("trial")["label"].first().tolist() == [label for *_, label in trials]
    assert found.groupby("trial").size().tolist() == [int((b - a) / 0.05 + 1e-9) for _, a, b, _ in trials]
    cut = [
        [
            neo.SpikeTrain(t[(t >= a) & (t < b)] * 1000 - a * 1000, units="ms", t_stop=(b - a) * 1000)
            for t in (block.segments[number].spiketrains[unit].magnitude for unit in (0, 2, 3, 4))
        ]
        for number, a, b, _ in trials
    ]
    model = GPFA(bin_size=50 * pq.ms, x_dim=1, tau_init=250 * pq.ms, em_max_iters=10)
    np.testing.assert_allclose(found["dim_1"], np.concatenate(model.fit_transform(cut), axis=1)[0], atol=1e-6)


def test_single_bins_are_strung_together_by_label():
    """Where an input is one bin, the inputs of a label make one trajectory per pass."""
    recording = random_network(n_units=6, n_trials=80, n_labels=2, n_passes=2)
    with pytest.warns(Ann2NeoWarning, match="2 of 6 units"):
        found = population.gpfa_trajectories(recording, n_dims=2, max_iterations=5)
    sizes = recording.trials.groupby(["pass", "label"]).size()
    assert found.groupby("trial").size().tolist() == sizes.tolist()
    assert found.groupby("trial")["label"].first().tolist() == ["0", "1", "0", "1"]


def test_what_cannot_be_fitted_is_said():
    """Too few units, units that repeat each other, trials shorter than a bin, unknown labels and too much memory end in a clear error."""
    recording, _ = planted()
    with pytest.raises(AnalysisError, match="12 of 12 units change"):
        population.gpfa_trajectories(recording, n_dims=12)
    twins = network(recording.raster("a")[[0, 0, 1, 2]], np.arange(12) % 2, lengths=np.full(12, 25))
    with pytest.raises(AnalysisError, match=r"rank deficient[\s\S]*repeat others"):
        population.gpfa_trajectories(twins, n_dims=2)
    with pytest.raises(AnalysisError, match="no trial holds"):
        population.gpfa_trajectories(recording, bin_size=40 * pq.ms)
    with pytest.raises(AnalysisError, match="no known 'label'"):
        population.gpfa_trajectories(network(recording.raster("a"), np.arange(300) % 3 - 1))
    with pytest.raises(AnalysisError, match="trajectories of 25 bins in 3 dimensions need"):
        population.gpfa_trajectories(recording, max_bytes=1000)
    with pytest.raises(AnalysisError, match="GPFA gave up"):  # what it fits is not finite
        population.gpfa_trajectories(recording, n_dims=1, tau=1e-300 * pq.s)


def test_without_scikit_learn_the_cure_is_told():
    """The error names the package that is missing; everything else works without it."""
    code = (
        "import sys; sys.modules['sklearn'] = None\nimport numpy, quantities as pq, ann2neo, ann2neo.population as p\n"
    )
    code += "r = ann2neo.from_array(numpy.random.default_rng(0).random((40, 5)) < 0.5, labels=[0, 1] * 20)\np.correlations(r)\n"
    code += "try:\n    p.gpfa_trajectories(r, n_dims=1)\nexcept ann2neo.Ann2NeoError as error:\n    print(error)"
    done = subprocess.run([sys.executable, "-c", code], check=True, capture_output=True, text=True)
    assert "pip install 'ann2neo[gpfa]'" in done.stdout


def test_the_figure_draws_every_trial_and_the_mean_of_each_label():
    """Thin lines are the trials, the named one is their mean; other dimensions can be chosen, missing ones are refused."""
    recording, _ = planted()
    path = population.gpfa_trajectories(recording, n_dims=2, max_iterations=5)
    ax = figures.trajectories(path).ax
    assert len(ax.lines) == 12 + 2 * 2
    mean = path[path["label"] == "0"].groupby("start_ms")[DIMS].mean()
    drawn = next(line for line in ax.lines if line.get_label() == "0")
    np.testing.assert_allclose(np.stack(drawn.get_data()), mean.to_numpy().T)
    assert figures.trajectories(path, dims=(2, 1)).ax.get_xlabel() == "dimension 2"
    assert figures.png(ax).startswith(b"\x89PNG")
    with pytest.raises(AnalysisError, match="dim_3"):
        figures.trajectories(path, dims=(1, 3))
    empty = pd.DataFrame({name: [] for name in ("trial", "label", "start_ms", *DIMS)})
    assert "no trajectories" in figures.trajectories(empty).ax.texts[0].get_text()
