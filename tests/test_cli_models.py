"""fit and simulate on the command line do what the library does, and refuse what cannot be."""

import hashlib

import command_line
import neo
import numpy as np
import pandas as pd
import pytest
from model_sources import recording_of

import ann2neo
from ann2neo import figures, models
from ann2neo.cli import commands
from ann2neo.errors import AnalysisError
from ann2neo.models.fitted import MODELS


def run(folder, *arguments, code=0):
    ended, said, errors = command_line.run(folder, *arguments)
    assert ended == code, said + errors
    assert "Traceback" not in errors
    return said + errors


def small():
    rng = np.random.default_rng(0)
    labels = np.arange(60) % 3
    return recording_of(rng.random((12, 240)) < np.repeat(0.2 + 0.2 * labels, 4), labels, np.full(60, 4))


def test_fit_and_simulate(tmp_path):
    """A folder of models, a simulation with its layers and trials; both are those of the library, and the folder may be replaced by its like only."""
    recording = small()
    ann2neo.save(recording, tmp_path / "rec.nwb")
    out = run(tmp_path, "fit", "rec.nwb", "-o", "models", "--quiet", "--model", "label", "--model", "gain")
    assert "12 units in 240 bins of 60 inputs; models: rate, label, gain by label" in out
    fitted = models.fit(recording, ("label", "gain"), progress=False)
    read = ann2neo.read_table(tmp_path / "models" / "models.csv")
    pd.testing.assert_frame_equal(read, fitted)
    assert {path.name for path in (tmp_path / "models").iterdir()} >= {
        "summary.csv", "populations.csv", "trials.zarr", "best.png", "bits.png", "report.html",
    }  # fmt: skip
    page = (tmp_path / "models" / "report.html").read_text(encoding="utf-8")
    assert "rec: 12 units in 1 layer over 60 inputs, in presented order; models rate, label, gain by label." in page
    good = fitted[fitted["quality"] == "good"]
    for model in ("rate", "label", "gain"):
        share = f"{(good['best_bic'] == model).mean():.0%}"
        assert f"<div><dt>best: {model}</dt><dd>{share}</dd></div>" in page
    assert "compare networks, each of which is one replicate" in page.partition("<h2>Models by layer")[0]
    assert ">network<" not in page  # which is the only layer
    assert '<a href="populations.csv">' in page
    assert hashlib.sha256((tmp_path / "rec.nwb").read_bytes()).hexdigest() in page
    (tmp_path / "text.txt").write_text("1 2 3\n")
    said = ("--columns", "trains", "--time-unit", "s", "--t-stop", "9s")
    blank = ann2neo.load(tmp_path / "models" / "trials.zarr")
    assert not blank.raster("hidden").any()
    run(tmp_path, "simulate", "models", "-o", "sim.nwb", "--seed", "3")
    made = ann2neo.load(tmp_path / "sim.nwb")
    assert made.identical(models.simulate(fitted, like=recording, model="label", seed=3))
    assert "spikes_left_out" not in made.provenance
    assert "markov_p01" in run(tmp_path, "simulate", "models", "-o", "chain.nwb", "--model", "markov", code=2)
    assert "OutputExists" in run(tmp_path, "fit", "rec.nwb", "-o", "models", "--quiet", code=2)
    run(tmp_path, "fit", "rec.nwb", "-o", "models", "--quiet", "--overwrite", "--by", "none", "--format", "svg")
    assert {path.name for path in (tmp_path / "models").glob("b*.*")} == {"best.svg", "bits.svg"}
    for name in ("summary", "populations"):
        assert len(ann2neo.read_table(tmp_path / "models" / f"{name}.csv"))
    assert "label_loglik" not in ann2neo.read_table(tmp_path / "models" / "models.csv")
    assert "cannot be arranged" in run(tmp_path, "fit", "text.txt", "-o", "x", *said, "--order", "label", code=2)
    assert "no models.csv and no trials.zarr" in run(tmp_path, "simulate", str(tmp_path), "-o", "x.nwb", code=2)


def test_intervals_of_cells(tmp_path):
    """Laws of intervals are fitted, summarized, and drawn although they have no left-out likelihood."""
    rng = np.random.default_rng(0)
    block = neo.Block()
    block.segments.append(neo.Segment())
    for _ in range(3):
        times = np.cumsum(rng.gamma(3, 0.1, 150))
        block.segments[0].spiketrains.append(neo.SpikeTrain(times, units="s", t_stop=times[-1] + 0.1))
    with neo.NixIO(str(tmp_path / "cells.nix"), "ow") as io:
        io.write_block(block)
    chosen = ("--model", "gamma", "--model", "inverse_gaussian")
    out = run(tmp_path, "fit", "cells.nix", "-o", "models", "--quiet", *chosen, "--by", "none")
    fitted = ann2neo.read_table(tmp_path / "models" / "models.csv")
    assert {"gamma_cv_mean", "inverse_gaussian_cv_mean"} <= set(out.split())
    summary = ann2neo.summarize(fitted).iloc[0]
    for law in ("gamma", "inverse_gaussian"):
        for name in ("mean_ms", "cv", "bits", "bits_per_spike"):
            assert summary[f"{law}_{name}_mean"] == pytest.approx(fitted[f"{law}_{name}"].mean())
    page = (tmp_path / "models" / "report.html").read_text(encoding="utf-8")
    assert "adds to one rate." in page
    assert "left out of the fit" not in page
    assert "observed counts" in page


def test_figures_of_models():
    """Each figure draws what its table holds; tables without it are refused."""
    recording = small()
    fitted = models.fit(recording, ("label", "markov", "gain"), progress=False)
    drawn = figures.best_models(fitted, criterion="aic")
    widths = [bar.get_width() for bar in drawn.ax.patches]
    shares = [(fitted["best_aic"] == model).mean() for model in ("rate", "label", "markov", "gain")]
    np.testing.assert_allclose(widths, shares)
    bits = figures.bits_per_spike(fitted, cross_validated=False)
    middles = {line.get_label(): line.get_xdata()[0] for line in bits.ax.lines if len(line.get_xdata()) == 1}
    assert middles == {model: fitted[f"{model}_bits_per_spike"].median() for model in ("label", "markov", "gain")}
    found = models.rescaled(recording, fitted, model="rate", n_draws=19, progress=False)
    line = figures.qq({"rate": found}).ax.lines[0]
    np.testing.assert_allclose(line.get_xdata()[9], found["rescaled[0.5]"].median())
    np.testing.assert_allclose(line.get_ydata()[9], 0.5)
    table = ann2neo.analyze(recording, progress=False)
    with pytest.raises(AnalysisError, match="no fitted models"):
        figures.best_models(table)
    with pytest.raises(AnalysisError, match="ks_bound"):
        figures.qq(table)
    silent = models.fit(recording_of(np.zeros((2, 40), bool), np.arange(40) % 2), progress=False)
    assert figures.bits_per_spike(silent).ax.texts
    assert figures.best_models(silent).ax.texts


def test_the_command_line_takes_every_model():
    """A model that the library learns is one that `fit --model` knows."""
    chosen = next(option for option in commands.commands["fit"].params if option.name == "chosen")
    assert tuple(chosen.type.choices) == MODELS
