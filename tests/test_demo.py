"""The demo does what the README says: real networks on real data, all three verbs, one page."""

import subprocess
import sys

import numpy as np
import pandas as pd
import pytest
from click.testing import CliRunner

import ann2neo
from ann2neo.cli import commands
from ann2neo.demo.networks import load_digits, make_mlp, permuted, train
from ann2neo.demo.run import evenly_spaced
from ann2neo.errors import Ann2NeoError, OutputExists

NETWORKS = [f"{a}-{s}" for a in ("mlp", "cnn") for s in ("random", "generalizing", "memorizing")]


WHOLE = pytest.mark.slow("six networks are trained, exported and analyzed")


@pytest.fixture(scope="module")
def demo(tmp_path_factory):
    """One whole run of the command in the README, with figures for a paper."""
    folder = tmp_path_factory.mktemp("demo")
    done = subprocess.run(
        [sys.executable, "-m", "ann2neo", "demo", "-o", "demo", "--format", "svg"],
        cwd=folder,
        capture_output=True,
        text=True,
        timeout=900,
    )
    assert done.returncode == 0, done.stderr
    return folder / "demo", done.stdout


@WHOLE
def test_it_exports_every_network(demo):
    """All units as NWB, a sample of at most 20 of the same units as NIX; memorizing networks know their permuted labels."""
    folder, _ = demo
    for name in NETWORKS:
        recording, sample = ann2neo.load(folder / f"{name}.nwb"), ann2neo.load(folder / f"{name}.nix")
        assert recording.n_units == {"mlp": 384, "cnn": 832}[name[:3]]
        assert 15 <= sample.n_units <= 20
        for layer in sample.layers:
            assert (layer.raster.dense() == recording.raster(layer.name)[layer.units]).all()
        assert recording.provenance["dataset"] == "scikit-learn digits"
    trials = ann2neo.load(folder / "mlp-memorizing.nwb").trials
    assert (trials["predicted_label"] == trials["target_label"]).all()
    assert (trials["label"] != trials["target_label"]).mean() > 0.8


@WHOLE
def test_its_tables_are_those_of_the_recordings(demo):
    """What Elephant gave through neo's reader is what the bulk engine gives from the bits."""
    folder, _ = demo
    recording = ann2neo.load(folder / "cnn-memorizing.nwb")
    for kind in ("label", "target_label"):
        written = pd.read_csv(folder / f"cnn-memorizing-by-{kind}.csv")
        table = ann2neo.analyze(recording, windows=kind, progress=False)
        for column in (
            "n_spikes",
            "firing_rate",
            "isi_mean",
            "cv",
            "cv2",
            "lv",
            "fano",
            "fano_expected",
            "label_share",
        ):
            assert np.allclose(written[column], table[column], rtol=1e-9, equal_nan=True), column


@WHOLE
def test_it_prints_what_it_found(demo):
    """Accuracies, the four indicators by true and by target label with their windows and references, and what they do not show."""
    _, out = demo
    for text in (
        "100.0%",
        "mean firing rate (Hz)",
        "mean Fano factor",
        "Fano factor by chance",
        "by target label",
        "order: presented",
        "10 windows by label",
        "not yet between kinds",
    ):
        assert text in out


@WHOLE
def test_memorizing_networks_are_told_apart_by_their_tuning(demo):
    """In the last hidden layer of the perceptron, the true label explains far less once labels were memorized."""
    folder, _ = demo
    shares = {}
    for state in ("generalizing", "memorizing"):
        table = pd.read_csv(folder / f"mlp-{state}-by-label.csv")
        shares[state] = table.loc[table["layer"] == "relu3", "label_share_adjusted"].mean()
    assert shares["memorizing"] < 0.5 * shares["generalizing"]


@WHOLE
def test_its_bundle_and_page_are_complete(demo):
    """The bundle's checksums hold, and the page stands alone."""
    folder, _ = demo
    subprocess.run(["sha256sum", "-c", "SHA256SUMS"], cwd=folder / "bundle", check=True, capture_output=True)
    page = (folder / "report.html").read_text(encoding="utf-8")
    assert page.count("data:image/png;base64,") == len(list((folder / "figures").glob("*.svg"))) >= 14
    assert "http://" not in page
    assert "https://" not in page


@WHOLE
def test_it_overwrites_nothing(demo):
    """A second run refuses, at once."""
    folder, _ = demo
    before = (folder / "report.html").stat().st_mtime
    with pytest.raises(OutputExists, match="already exists"):
        CliRunner().invoke(commands, ["demo", "-o", str(folder)], standalone_mode=False, catch_exceptions=False)
    assert (folder / "report.html").stat().st_mtime == before


def test_networks_that_do_not_learn_are_an_error():
    """A network that has not memorized is never called memorizing."""
    digits = load_digits()
    labels = permuted(digits.labels, seed=0)
    assert sorted(labels) == sorted(digits.labels)
    with pytest.raises(Ann2NeoError, match="in 1 epochs"):
        train(make_mlp(), digits.images, labels, seed=0, max_epochs=1, progress=False)


def test_samples_are_spread_over_layers():
    """Each layer keeps its share of units, at least one."""
    assert evenly_spaced(ann2neo.from_array(np.zeros((2, 7), bool)), 100).n_units == 7
    assert evenly_spaced(ann2neo.from_array(np.zeros((2, 1000), bool)), 100).layers[0].units.tolist() == list(
        range(0, 1000, 10)
    )
