"""Wrong arguments end in errors of the house that say what to do, not in tracebacks from the depth.

The calls run in one process of their own, as a user would make them: without the checks of types that the other tests run under.
"""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

SETTING = """
import json, sys, warnings
warnings.simplefilter("ignore")
import neo, numpy as np, pandas as pd, quantities as pq
import ann2neo
from ann2neo import figures, models, population, surrogates

rng = np.random.default_rng(0)
recording = ann2neo.from_array(rng.random((60, 6)) < 0.4, labels=np.arange(60) % 3)
table = ann2neo.analyze(recording, progress=False)
summary = ann2neo.summarize(table)
block = neo.Block()
block.segments.append(neo.Segment())
block.segments[0].spiketrains.append(neo.SpikeTrain([1.0, 2.0] * pq.s, t_stop=10 * pq.s))

import torch
model = torch.nn.Sequential(torch.nn.Linear(4, 3), torch.nn.ReLU())

def record(model, inputs, **options):
    return ann2neo.record(model, inputs, progress=False, **options)

def analyze(spikes, **options):
    return ann2neo.analyze(spikes, progress=False, **options)

said = {}
for call in json.loads(sys.argv[1]):
    try:
        said[call] = ["nothing", type(eval(call)).__name__]
    except Exception as error:
        said[call] = [type(error).__name__, str(error)]
print(json.dumps(said))
"""

CASES = {
    # models of the wrong thing
    "models.fit(3)": ("AnalysisError", "", ""),
    "models.fit(recording, ['lable'])": ("AnalysisError", "'lable'", "Did you mean 'label'"),
    "models.fit(recording, by='labels')": ("WindowError", "'labels'", "Did you mean 'label'"),
    "models.fit(block, by='side')": ("WindowError", "'side'", ""),
    "models.simulate(recording, like=recording, model='rate', seed=0)": ("AnalysisError", "a Recording was given", "models.fit"),
    "models.simulate(table, like=recording, model='rate', seed=0)": ("AnalysisError", "no column 'rate_p'", "models.fit"),
    "models.simulate(table, like=table, model='rate', seed=0)": ("RecordingError", "DataFrame", "ann2neo.record"),
    "models.simulate(table, n_bins=2.5, model='rate', seed=0)": ("AnalysisError", "2.5", "n_bins"),
    "models.fit(recording, ['gain'], windows='trial')": ("AnalysisError", "windows='trial'", "Use windows=100"),
    "models.to_design(3)": ("RecordingError", "int", "ann2neo.record"),
    "models.to_design(recording, order=9)": ("AnalysisError", "order=9", "Use order=1"),
    "models.to_design(recording, by='labels')": ("WindowError", "'labels'", "Did you mean 'label'"),
    "models.fit_population(recording)": ("AnalysisError", "a Recording was given", "models.fit"),
    "figures.best_models(table)": ("AnalysisError", "no fitted models", "models.fit"),
    "figures.best_models(models.fit(recording, progress=False), criterion='bits')": ("AnalysisError", "'bits'", "'bic'"),
    "figures.qq(table)": ("AnalysisError", "'ks_bound'", ""),
    "models.rescaled(recording, table, model='rate')": ("AnalysisError", "no column 'rate_p'", "models.fit"),
    "models.rescaled(3, models.fit(recording, progress=False), model='rate')": ("RecordingError", "int", "ann2neo.record"),
    "models.rescaled(recording, models.fit(recording, progress=False), model='rates')": ("AnalysisError", "'rates'", "Did you mean 'rate'"),
    # figures of the wrong thing
    "figures.raster(table)": ("AnalysisError", "a DataFrame was given", "ann2neo.record"),
    "figures.raster(recording, sort='rates')": ("AnalysisError", "'rates'", "Did you mean 'rate'"),
    "figures.raster(recording, units=2.5)": ("AnalysisError", "got 2.5", "recording.select"),
    "figures.raster([neo.SpikeTrain([1.0, 2.0] * pq.s, t_stop=10 * pq.s)], inputs=5)": ("AnalysisError", "cells are drawn over time", "Leave both out"),
    "figures.label_rates(block, 'units')": ("AnalysisError", "a Block was given", "from_block"),
    "figures.raster(recording, ax=[])": ("AnalysisError", "`ax` must be matplotlib axes, got list", "figure.subplots()"),
    "figures.raster(recording, layer='aray')": ("LayerNotFound", "'aray'", "Did you mean 'array'"),
    "figures.label_rates(table, 'array')": ("AnalysisError", "a DataFrame was given", "no trials"),
    "figures.isi_law(table, 'array')": ("AnalysisError", "a DataFrame was given", "ann2neo.record"),
    "figures.isi_law(recording, 'array', unit=99)": ("AnalysisError", "6 recorded units", "from 0 to 5"),
    "figures.isi_law(recording, 'array', unit=-1)": ("AnalysisError", "`unit`", "got -1", "unit=0"),
    "figures.firing_rate(recording)": ("AnalysisError", "a Recording was given", "ann2neo.analyze"),
    "figures.firing_rate(pd.DataFrame())": ("AnalysisError", "lacks 'layer'", "ann2neo.analyze"),
    "figures.fano(summary)": ("AnalysisError", "it is a summary", "ann2neo.analyze"),
    "figures.fano(table, population='nice')": ("AnalysisError", "'nice'", "'all' or 'good'"),
    "figures.fano_against_rate([])": ("AnalysisError", "a list was given", "ann2neo.analyze"),
    "figures.fano_against_rate(table, layer='aray')": ("LayerNotFound", "'aray'", "Did you mean 'array'"),
    "figures.cv_against_expected(None)": ("AnalysisError", "a NoneType was given", "ann2neo.analyze"),
    "figures.p_values(recording)": ("AnalysisError", "a Recording was given", "ann2neo.analyze"),
    "figures.indicators(summary)": ("AnalysisError", "given as a DataFrame", "indicators({"),
    "figures.indicators({})": ("AnalysisError", "an empty mapping", "Name them"),
    "figures.indicators({'mine': []})": ("AnalysisError", "nothing for 'mine'", "Name them"),
    "figures.indicators({'mine': table})": ("AnalysisError", "a table of units", "ann2neo.summarize"),
    "figures.indicators({'mine': summary}, shown=['fano_men'])": ("AnalysisError", "'fano_men'", "Did you mean 'fano_mean'"),
    "figures.learning(recording)": ("AnalysisError", "a Recording was given", "ann2neo.summarize"),
    "figures.layer_table(table)": ("AnalysisError", "lacks 'population'", "ann2neo.summarize"),
    "figures.layer_table(summary, shown=['nope'])": ("AnalysisError", "'nope'", "Its columns are"),
    "figures.null_band(table)": ("AnalysisError", "no column 'population'", "Its columns are"),
    "figures.null_band(recording)": ("AnalysisError", "a Recording was given", "null_bands"),
    "figures.correlation_matrix(np.eye(3))": ("AnalysisError", "an ndarray was given", "population.correlations"),
    "figures.trajectories(recording)": ("AnalysisError", "a Recording was given", "gpfa_trajectories"),
    "figures.beside_chance([table])": ("AnalysisError", "given as a list", "beside_chance({"),
    "figures.beside_chance({'a': table}, shown=['nope'])": ("AnalysisError", "'nope'", "Its columns are"),
    "figures.png(recording)": ("AnalysisError", "a Recording is not a figure", "ann2neo.figures"),
    # tables
    "ann2neo.summarize(recording)": ("AnalysisError", "a Recording is not a table", "ann2neo.analyze"),
    "ann2neo.summarize(summary)": ("AnalysisError", "a summary already", "ann2neo.analyze"),
    "ann2neo.summarize(table.drop(columns='cv'))": ("AnalysisError", "lacks cv", "ann2neo.analyze"),
    "ann2neo.compare([table])": ("AnalysisError", "given as a list", "compare({"),
    "ann2neo.compare(table)": ("AnalysisError", "given as a DataFrame", "compare({"),
    "ann2neo.compare({'a': recording})": ("AnalysisError", "'a' holds a Recording", "ann2neo.analyze"),
    "ann2neo.compare({'a': 'a.csv'})": ("AnalysisError", "'a' holds a str", "read_table"),
    "ann2neo.compare({'a': summary, 'b': [summary, table]})": ("AnalysisError", "the same network", "each network once"),
    "ann2neo.collect([])": ("AnalysisError", "no file was given", "names of recordings"),
    "ann2neo.collect('none.csv')": ("FormatError", "there is no file", "Check the name"),
    "ann2neo.collect('none.csv', level='net')": ("AnalysisError", "'net'", "'layer' or 'unit'"),
    "ann2neo.compare({'a': table}, indicators='cv_mean')": ("AnalysisError", "`indicators` must be a list, got 'cv_mean'", "Use a list"),
    "ann2neo.compare({'a': table}, method='bonferroni')": ("AnalysisError", "'bonferroni'", "'bh' or 'by'"),
    # spikes
    "analyze('rec.nwb')": ("AnalysisError", "a str holds no spike trains", "ann2neo.load"),
    "analyze(np.eye(3))": ("AnalysisError", "an ndarray holds no", "ann2neo.from_array"),
    "analyze(table)": ("AnalysisError", "a DataFrame holds no", "ann2neo.summarize"),
    "analyze([recording, recording])": ("AnalysisError", "a list holds no", "each of them separately"),
    "analyze([block])": ("AnalysisError", "a list holds no", "each of them separately"),
    "analyze([])": ("AnalysisError", "an empty list", "neo.Block"),
    "analyze(block, windows='trial')": ("WindowError", "no Epoch that gives 'trial'", "interval of an Epoch"),
    "analyze(block, windows='500ms')": ("WindowError", "'500ms'", "500 * pq.ms"),
    "analyze(block, windows=5 * pq.mV)": ("WindowError", "5.0 mV is not a duration", "500 * pq.ms"),
    "analyze(recording, windows=5 * pq.mV)": ("WindowError", "5.0 mV is not a duration", "500 * pq.ms"),
    "analyze(block, windows=[1])": ("WindowError", "[1] is neither a name", "500 * pq.ms"),
    "analyze(block, bin_size_ms=0)": ("AnalysisError", "bin_size_ms=0", "leave it out"),
    "analyze(block, bin_size_ms='1')": ("AnalysisError", "bin_size_ms='1'", "leave it out"),
    "analyze(recording, min_spikes='many')": ("AnalysisError", "got 'many'", "min_spikes=10"),
    "analyze(recording, refractoriness='x')": ("AnalysisError", "refractoriness=x", "number of bins"),
    # files
    "ann2neo.load('results')": ("FormatError", "suffix ''", ".zarr, .nwb"),
    "ann2neo.load('table.csv')": ("FormatError", "suffix '.csv'", ".zarr, .nwb"),
    "ann2neo.load('none.nwb')": ("FormatError", "there is no file", "Check the name"),
    "ann2neo.load('folder.zarr')": ("FormatError", "cannot be read as a store", "record again"),
    "ann2neo.load(None)": ("FormatError", "type NoneType", "such as"),
    "ann2neo.save('rec.nwb', recording)": ("RecordingError", "type str", "ann2neo.record"),
    "ann2neo.save(table, 'rec.nwb')": ("RecordingError", "type DataFrame", "ann2neo.record"),
    "ann2neo.write_table(recording, 'a.csv')": ("FormatError", "type Recording", "ann2neo.save"),
    "ann2neo.load('a\\0b.nwb')": ("FormatError", "null character", "another name"),
    "ann2neo.save(recording, 'a' * 300 + '.mat')": ("FormatError", "304 letters", "another name"),
    "ann2neo.check(None)": ("FormatError", "type NoneType", "such as"),
    "ann2neo.check('folder')": ("FormatError", "there is no file", "Check the name"),
    "ann2neo.check('.')": ("FormatError", "not a recording, table or bundle", ".zarr"),
    "ann2neo.read_table(None)": ("FormatError", "type NoneType", "table.csv"),
    "ann2neo.write_table(table, None)": ("FormatError", "type NoneType", "table.csv"),
    "ann2neo.share(None, 'bundle')": ("FormatError", "type NoneType", "such as"),
    # models
    "record(model, np.eye(4, dtype='f'), steps=1)": ("InputsError", "steps=1", "Steps(1)"),
    "record(model, np.eye(4, dtype='f'), passes=3)": ("InputsError", "passes=3", "Passes(10)"),
    "record(model, np.eye(4, dtype='f'), layers=[])": ("LayerNotFound", "layers=[]", "every activation function"),
    "record(model, np.eye(4, dtype='f'), layers=3)": ("LayerNotFound", "layers=3", "features.*"),
    "record(model, np.eye(4, dtype='f'), layers='relu')": ("LayerNotFound", "'relu'", "Did you mean '1'", "ann2neo.plan"),
    "record('model.pt', np.eye(4, dtype='f'))": ("ModelError", "str", "torch.nn.Module"),
    "ann2neo.Inputs(np.eye(4), batch_size=0)": ("InputsError", "batch_size=0", "64"),
    "ann2neo.Steps('call')": ("InputsError", "'call' is not an axis", "Steps('calls')"),
    "ann2neo.Steps(True)": ("InputsError", "True is not an axis", "Steps(1)"),
    "ann2neo.Steps(1.0)": ("InputsError", "1.0 is not an axis", "Steps(1)"),
    "ann2neo.Steps(0)": ("InputsError", "axis 0", "(step, batch, unit) too"),
    "ann2neo.Steps(-1)": ("InputsError", "axis -1", "Count from the front"),
    "ann2neo.Steps(1, lengths=5)": ("InputsError", "type int and shape ()", "function"),
    "ann2neo.Steps(1, lengths={})": ("InputsError", "type dict", "function"),
    "ann2neo.Steps(1, lengths=torch.ones(2, 2))": ("InputsError", "type Tensor and shape (2, 2)", "function"),
    "ann2neo.Passes(1.5)": ("ModelError", "1.5 passes", "Passes(10)"),
    "ann2neo.Passes(True)": ("ModelError", "True passes", "Passes(10)"),
    "ann2neo.Passes(0)": ("ModelError", "0 passes", "at least one"),
    "ann2neo.Passes(2, seed=0.5)": ("ModelError", "`seed`", "got 0.5", "seed=0"),
    "ann2neo.Passes(2, active=[])": ("ModelError", "active=[]", "'dropout'"),
    "ann2neo.Passes(2, active=3)": ("ModelError", "active=3", "'dropout'"),
    "ann2neo.Sample(n=2.5)": ("ActivationError", "n=2.5", "Sample(n=1000)"),
    "ann2neo.Sample(n=2, seed=0.5)": ("ActivationError", "seed=0.5", "seed of 0 or more"),
    "record(model, np.eye(4, dtype='f'), threshold=np.array(True))": ("ThresholdError", "ndarray (True)", "Give a finite number"),
    "record(model, np.eye(4, dtype='f'), threshold=torch.tensor(float('nan')))": ("ThresholdError", "tensor(nan)", "Give a finite number"),
    "record(model, np.eye(4, dtype='f'), threshold=[True, False, True])": ("ThresholdError", "list", "Give a finite number"),
    "ann2neo.plan(model, [])": ("InputsError", "empty", "at least one"),
    # recordings
    "ann2neo.to_block(block)": ("RecordingError", "type Block", "ann2neo.from_block"),
    "ann2neo.from_block(recording)": ("FormatError", "type Recording", "ann2neo.load"),
    "ann2neo.to_xarray(table)": ("RecordingError", "type DataFrame", "ann2neo.record"),
    "recording.raster(3)": ("LayerNotFound", "no layer matches 3", "'array'"),
    "recording.layer(0)": ("LayerNotFound", "no layer matches 0", "'array'"),
    "ann2neo.from_array(np.eye(8), shape=(3,))": ("InputsError", "shape=(3,)", "8 units", "shape=(8,)"),
    "ann2neo.from_array(np.eye(3), layer=3)": ("RecordingError", "`name`", "got 3", "text"),
    "ann2neo.from_array(np.eye(3), bin_size_ms=None)": ("PseudoTimeError", "`bin_size_ms` must be a duration, got None", "1 * pq.ms"),
    "ann2neo.from_array(np.eye(3), bin_size_ms=2 * pq.mV)": ("PseudoTimeError", "2.0 mV", "1 * pq.ms"),
    "ann2neo.Layer(name='fc', shape=(2,), dtype='float32', units=np.arange(2), thresholds=np.array([0, np.nan]), raster=recording.select(units=[0, 1]).layers[0].raster)": ("RecordingError", "1 of 2 thresholds", "a number for each unit"),
    "ann2neo.compare({'a': [table, table]})": ("AnalysisError", "same network", "once"),
    "recording.select(units=[99])": ("RecordingError", "[99]", "from 0 to 5"),
    "recording.select(units=[True, False])": ("RecordingError", "6 recorded units", "truth value for each unit"),
    "recording.select(layers=0)": ("LayerNotFound", "must be a name, a pattern or a list of these, got 0", "'array'"),
    "ann2neo.from_array(np.eye(3), labels=['a', 'b', 'c'])": ("InputsError", "type <U1", "numpy.unique"),
    "ann2neo.from_array(np.ones((2, 3, 4)), trial_axis=2)": ("InputsError", "trial_axis=2", "moveaxis"),
    "ann2neo.from_array(np.ones((2, 3, 4)), trial_axis=-1)": ("InputsError", "trial_axis=-1", "moveaxis"),
    "ann2neo.from_array(np.ones((2, 3, 4)), trial_axis=True)": ("InputsError", "trial_axis=True", "moveaxis"),
    "surrogates.null_bands(table, progress=False)": ("RecordingError", "type DataFrame", "ann2neo.record"),
    "surrogates.jackknife(table, progress=False)": ("RecordingError", "type DataFrame", "ann2neo.record"),
    "surrogates.permute(block, seed=0)": ("RecordingError", "type Block", "ann2neo.from_block"),
    "ann2neo.browse('rec.nwb')": ("RecordingError", "type str", "ann2neo.load"),
    "ann2neo.browse(block, images=np.zeros((1, 2, 2)))": ("RecordingError", "`images` has no meaning for cells", "Leave it out"),
    "ann2neo.share(recording, 'bundle')": ("ShareError", "a Recording was given", "ann2neo.save"),
}  # fmt: skip


@pytest.fixture(scope="module")
def said(tmp_path_factory: pytest.TempPathFactory) -> dict[str, list[str]]:
    """What each call says."""
    folder: Path = tmp_path_factory.mktemp("wrong")
    (folder / "folder.zarr").mkdir()
    done = subprocess.run(
        [sys.executable, "-c", SETTING, json.dumps(list(CASES))],
        cwd=folder,
        capture_output=True,
        text=True,
        timeout=300,
    )
    assert done.returncode == 0, done.stderr
    assert [path.name for path in folder.iterdir()] == ["folder.zarr"]
    return json.loads(done.stdout.splitlines()[-1])


@pytest.mark.parametrize("call", list(CASES))
def test_a_wrong_argument_is_told(said: dict[str, list[str]], call: str) -> None:
    """The error is one of the house, names what was given and what helps, in three lines."""
    error, *words = CASES[call]
    found, message = said[call]
    assert found == error, message
    for word in words:
        assert word in message
    assert len(message.splitlines()) == 3
