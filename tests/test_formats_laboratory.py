"""Files of any laboratory: what they say is kept, what they do not say is asked for, and what they are not is told."""

import time
import warnings

import command_line
import h5py
import neo
import numpy as np
import pytest
import quantities as pq
import scipy.io
from nwb_sources import lean, rich, session, spikes, written

import ann2neo
from ann2neo.errors import Ann2NeoWarning, FormatError


def read(path, **said):
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", Ann2NeoWarning)
        return ann2neo.read_block(path, **said)


def analyze(found, **options):
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", Ann2NeoWarning)
        return ann2neo.analyze(found, progress=False, **options)


def test_units_keep_who_they_are(tmp_path):
    """Ids, names, columns of one value per unit in their types, electrode group and area are annotations, and columns of the table."""
    block = read(rich(tmp_path / "a.nwb"))
    train = block.segments[0].spiketrains[3]
    assert train.name == "cell 3"
    known = {
        "id": 37,
        "quality": "mua",
        "depth": 301.5,
        "is_fast": True,
        "electrode_group": "shank1",
        "area": "LM",
        "unit_name": "cell 3",
    }
    assert {key: train.annotations[key] for key in known} == known
    assert [type(train.annotations[key]) for key in ("id", "depth", "is_fast")] == [int, float, bool]
    assert block.annotations["keywords"] == ["V1", "orientation"]
    assert (block.annotations["subject_id"], block.name, block.annotations["lab"]) == ("mouse 7", "day 3", "a lab")
    table = analyze(block, windows=1 * pq.s)
    assert table["name"].tolist() == [f"cell {k}" for k in range(4)]
    assert table["area"].tolist() == ["V1", "V1", "LM", "LM"]
    assert table["unit_quality"].tolist() == ["good", "mua", "good", "mua"]
    assert table["quality"].tolist() == ["good", "good", "silent", "good"]
    assert table["unit"].tolist() == [0, 1, 2, 3]


def test_every_table_of_intervals_is_an_epoch(tmp_path):
    """Columns keep their types; a column of several values per row is an annotation; NaN and empty values stay what they are."""
    epochs = {epoch.name: epoch for epoch in read(rich(tmp_path / "a.nwb")).segments[0].epochs}
    assert list(epochs) == ["trials", "epochs", "ripples"]
    columns = epochs["trials"].array_annotations
    kinds = {"orientation": "i", "contrast": "f", "choice": "i", "rewarded": "b", "cue_time": "f", "image": "U"}
    assert {name: column.dtype.kind for name, column in columns.items()} == kinds
    assert np.isnan(columns["contrast"][1])
    assert columns["image"][2] == ""
    assert [len(licks) for licks in epochs["trials"].annotations["licks"]][:4] == [0, 1, 2, 0]
    assert np.isnan(float(epochs["trials"].durations[13]))
    assert epochs["epochs"].array_annotations["tags"].tolist() == ["baseline", "drug"]
    assert epochs["epochs"].labels.tolist() == ["baseline", "drug"]


def test_observed_time_is_that_of_the_file(tmp_path):
    """Several intervals, of which touching ones are one, bound rates and intervals, as Elephant has them piece by piece."""
    from elephant import statistics

    block = read(rich(tmp_path / "a.nwb"))
    table = analyze(block, windows=500 * pq.ms)
    for unit in (0, 1, 3):
        train = block.segments[0].spiketrains[unit]
        pieces = [train.time_slice(a * pq.s, b * pq.s) for a, b in ((0, 60), (70, 100))]
        isis = np.concatenate([statistics.isi(piece).magnitude for piece in pieces])
        counts = np.concatenate(
            [
                np.histogram(piece.magnitude, np.arange(a, b + 0.1, 0.5))[0]
                for piece, (a, b) in zip(pieces, ((0, 60), (70, 100)))
            ]
        )
        assert table["firing_rate"][unit] == pytest.approx(len(train) / 90, rel=1e-9)
        assert table["isi_mean"][unit] == pytest.approx(1000 * isis.mean(), rel=1e-9)
        assert table["cv"][unit] == pytest.approx(statistics.cv(isis), rel=1e-9)
        pairs = [len(piece) - 2 for piece in pieces]
        assert table["lv"][unit] == pytest.approx(
            np.average([statistics.lv(statistics.isi(p)) for p in pieces], weights=pairs), rel=1e-9
        )
        assert table["fano"][unit] == pytest.approx(statistics.fanofactor([np.arange(n) for n in counts]), rel=1e-9)
    assert table.attrs["duration_ms"] == 90_000


def test_epochs_of_an_experiment_are_no_default_windows(tmp_path):
    """Baseline and drug are two stretches of an experiment: without a word windows last a second; by name they can be had."""
    file = session()
    for times in spikes():
        file.add_unit(spike_times=times, obs_intervals=[(0.0, 100.0)])
    file.add_epoch(0.0, 50.0, ["baseline"])
    file.add_epoch(50.0, 100.0, ["drug"])
    block = read(written(file, tmp_path / "a.nwb"))
    assert analyze(block).attrs["windows"] == "1000 ms"
    assert analyze(block, windows="epochs").attrs["n_windows"] == 2
    rates = ann2neo.population.tuning(block, by="epochs")
    assert rates["label"].unique().tolist() == ["baseline", "drug"]


def test_a_file_that_does_not_say_when_it_was_observed(tmp_path):
    """Without obs_intervals the reader says what it takes for observed, and the caller can say it."""
    path = lean(tmp_path / "a.nwb", trains=[[1.0, 2.0, 3.0], []], trials=[(0.5, 8.0)])
    with pytest.warns(Ann2NeoWarning, match="does not say when 2 of 2 units were observed[\\s\\S]*0.5 to 8 s"):
        train = ann2neo.read_block(path).segments[0].spiketrains[0]
    assert (float(train.t_start), float(train.t_stop)) == (0.5, 8.0)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        said = ann2neo.read_block(path, t_start=0 * pq.s, t_stop=10_000 * pq.ms).segments[0].spiketrains[0]
    assert (float(said.t_start), float(said.t_stop)) == (0.0, 10.0)
    with pytest.raises(FormatError, match="has no unit"):
        ann2neo.read_block(path, t_stop=10)
    whole = lean(tmp_path / "b.nwb", trains=[[1.0]], obs=[(0, 2)])
    with pytest.raises(FormatError, match="obs_intervals of its units state"):
        ann2neo.read_block(whole, t_stop=10 * pq.s)


BAD_NWB = {
    "overlapping": (lambda p: lean(p, trains=[[1.0]], obs=[(0, 5), (4, 9)]), "overlap"),
    "backwards": (lambda p: lean(p, trains=[[1.0]], obs=[(5, 1)]), "end before they begin"),
    "spikes outside": (lambda p: lean(p, trains=[[1.0, 7.0]], obs=[(0, 5)]), "1 of 2 spikes outside its observed time"),
    "no units": (lambda p: written(session(), p), "no table of units"),
    "empty units": (lambda p: lean(p, trains=[]), "no table of units|no units"),
    "cut off": (lambda p: _cut_off(lean(p)), "truncated"),
    "version 1": (lambda p: _version_one(p), "NWB-1.0.6"),
}


def test_spikes_outside_what_is_said_are_told(tmp_path):
    """An end before the last spike is wrong."""
    path = lean(tmp_path / "a.nwb", trains=[[1.0, 7.0]])
    with pytest.raises(FormatError, match="outside its observed time"):
        read(path, t_start=0 * pq.s, t_stop=5 * pq.s)


def test_enumerated_columns_are_their_words(tmp_path):
    """HDMF keeps words of a column once, and numbers in its rows."""
    file = session()
    file.add_unit(spike_times=[1.0], obs_intervals=[(0.0, 9.0)])
    for start in range(3):
        file.add_trial(start_time=float(start), stop_time=start + 0.5)
    file.trials.add_column(name="kind", description="kind", data=np.array([1, 0, 1], np.uint8), enum=["face", "house"])
    epoch = read(written(file, tmp_path / "a.nwb")).segments[0].epochs[0]
    assert epoch.array_annotations["kind"].tolist() == ["house", "face", "house"]


def _cut_off(path):
    path.write_bytes(path.read_bytes()[:2000])
    return path


def _version_one(path):
    with h5py.File(path, "w") as file:
        file["nwb_version"] = b"NWB-1.0.6"
    return path


@pytest.mark.parametrize("case", list(BAD_NWB))
def test_bad_nwb_is_told(tmp_path, case):
    """Each ends in one error of our own that names the file."""
    make, match = BAD_NWB[case]
    with pytest.raises(FormatError, match=match):
        read(make(tmp_path / "bad.nwb"))


def test_many_units_are_read_fast(tmp_path):
    """Reading goes by whole columns: ten times as many units cost far less than ten times as long."""
    took = []
    for n_units in (30, 300):
        path = lean(tmp_path / f"{n_units}.nwb", trains=spikes(n_units=n_units, rate=5.0), obs=[(0.0, 100.0)])
        best = min(_seconds(read, path) for _ in range(3))
        took.append(best)
    assert took[1] < 8 * took[0]


def _seconds(call, *given):
    start = time.perf_counter()
    call(*given)
    return time.perf_counter() - start


def test_our_own_files_are_recordings(tmp_path):
    """A recording's file becomes the Block that to_block gives, and nothing can be said against it."""
    recording = ann2neo.from_array(np.random.default_rng(0).random((40, 3)) < 0.4, labels=np.arange(40) % 2)
    ann2neo.save(recording, tmp_path / "a.nwb")
    assert ann2neo.from_block(ann2neo.read_block(tmp_path / "a.nwb")).identical(recording)
    with pytest.raises(FormatError, match="states all of this itself"):
        ann2neo.read_block(tmp_path / "a.nwb", t_stop=3 * pq.s)


def text(tmp_path, content, name="a.txt"):
    path = tmp_path / name
    path.write_text(content)
    return path


TEXTS = {
    "NEST": ("# NEST version: 3.10\nsender\ttime_ms\n4\t1.5\n2\t3.0\n4\t0.5\n", {"t_stop": 10 * pq.ms}, {"unit 2": [0.003], "unit 4": [0.0005, 0.0015]}),
    "events": ("4 1.5\n2 3.0\n4 0.5\n", {"t_stop": 10, "time_unit": "ms", "columns": "unit,time"}, {"unit 2": [0.003], "unit 4": [0.0005, 0.0015]}),
    "commas": ("time,unit\n1.5,4\n3.0,2\n", {"t_stop": 10 * pq.s, "time_unit": "s"}, {"unit 2": [3.0], "unit 4": [1.5]}),
    "a line per unit": ("0.1 0.2 0.7\n0.3\n", {"t_stop": 1 * pq.s, "time_unit": "s"}, {"unit 0": [0.1, 0.2, 0.7], "unit 1": [0.3]}),
    "one unit": ("100\n2500\n", {"t_stop": 10_000 * pq.us, "time_unit": "us", "columns": "time"}, {"unit 0": [0.0001, 0.0025]}),
}  # fmt: skip


@pytest.mark.parametrize("case", list(TEXTS))
def test_texts_are_read_as_they_say_or_as_they_are_said_to_be(tmp_path, case):
    """A line per unit or per spike, with the unit of time and the end that were given."""
    content, said, expected = TEXTS[case]
    trains = read(text(tmp_path, content), **said).segments[0].spiketrains
    assert {train.name: np.round(train.rescale("s").magnitude, 9).tolist() for train in trains} == expected
    assert all(train.t_stop == said["t_stop"] if hasattr(said["t_stop"], "units") else True for train in trains)


BAD_TEXTS = {
    "no unit of time": ("0.1 0.2 0.3\n", {"t_stop": 1 * pq.s}, "time_unit was not given"),
    "no end": ("0.1 0.2 0.3\n", {"time_unit": "s"}, "t_stop was not given"),
    "nothing": ("0.1 0.2 0.3\n", {}, "time_unit and t_stop were not given"),
    "two numbers a line": ("1 0.2\n2 0.3\n", {"t_stop": 1 * pq.s, "time_unit": "s"}, "unclear what the columns"),
    "one number a line": ("1\n2\n", {"t_stop": 1 * pq.s, "time_unit": "s"}, "unclear what the columns"),
    "another unit than it says": ("sender time_ms\n1 2\n", {"t_stop": 1 * pq.s, "time_unit": "s"}, "says that its times are in ms"),
    "words": ("0.1 0.2\nhello there\n", {"t_stop": 1 * pq.s, "time_unit": "s"}, "line 2"),
    "a first line that is no header": ("0.1 0.2 x\n0.3 0.4 0.5\n", {"t_stop": 1 * pq.s, "time_unit": "s", "columns": "trains"}, "line 1"),
    "a time that is no number": ("0.1 nan\n0.3\n", {"t_stop": 1 * pq.s, "time_unit": "s", "columns": "trains"}, "line 1"),
    "a unit that is no number": ("unit,time\nnan,0.1\n1,0.2\n", {"t_stop": 1 * pq.s, "time_unit": "s"}, "line 2"),
    "a time without end": ("unit,time\n1,0.1\n1,inf\n", {"t_stop": 1 * pq.s, "time_unit": "s"}, "line 3"),
    "beyond the end": ("0.1 0.2 3.0\n", {"t_stop": 1 * pq.s, "time_unit": "s"}, "outside 0 to 1 s"),
    "millivolts": ("0.1 0.2 3.0\n", {"t_stop": 1 * pq.s, "time_unit": "mV"}, "not a unit of time"),
    "an empty line": ("0.1 0.2 0.3\n\n0.4\n", {"t_stop": 1 * pq.s, "time_unit": "s"}, "silent unit"),
    "no columns": ("1 2\n3 4\n", {"t_stop": 9 * pq.s, "time_unit": "s", "columns": "time"}, "not columns 'time'"),
}  # fmt: skip


@pytest.mark.parametrize("case", list(BAD_TEXTS))
def test_what_a_text_does_not_say_is_never_guessed(tmp_path, case):
    """Neither unit of time, nor end, nor the meaning of columns."""
    content, said, match = BAD_TEXTS[case]
    with pytest.raises(FormatError, match=match):
        read(text(tmp_path, content), **said)


def test_real_spike_times_in_a_text():
    """A receptor of a grasshopper, as nitime ships it, gives Elephant's numbers."""
    from pathlib import Path

    import nitime
    from elephant import statistics

    path = Path(nitime.__file__).parent / "data" / "grasshopper_spike_times1.txt"
    block = read(path, time_unit="us", t_stop=10 * pq.s, columns="time")
    times = np.sort(np.loadtxt(path)) * pq.us
    train = neo.SpikeTrain(times, t_stop=10 * pq.s)
    table = analyze(block, windows=500 * pq.ms)
    assert table["firing_rate"][0] == pytest.approx(float(statistics.mean_firing_rate(train).rescale("Hz")), rel=1e-9)
    assert table["cv"][0] == pytest.approx(statistics.cv(statistics.isi(train)), rel=1e-9)
    assert table["lv"][0] == pytest.approx(statistics.lv(statistics.isi(train)), rel=1e-9)


def test_mat_files_without_a_block_say_what_they_hold(tmp_path):
    """A plain file and one of version 7.3: their variables, and how to go on."""
    scipy.io.savemat(tmp_path / "plain.mat", {"spikes": np.arange(5.0)})
    with h5py.File(tmp_path / "v73.mat", "w", userblock_size=512) as file:
        file["units"] = np.arange(6.0)
    with open(tmp_path / "v73.mat", "r+b") as file:
        file.write(b"MATLAB 7.3 MAT-file, Platform: GLNXA64".ljust(124) + b"\x00\x02IM")
    for name, match in (
        ("plain.mat", r"spikes \(1, 5\)"),
        ("v73.mat", r"7\.3 \(HDF5\) with the variables units \(6,\)"),
    ):
        with pytest.raises(FormatError, match=match):
            ann2neo.read_block(tmp_path / name)


@pytest.mark.parametrize(
    "address", ["https://dandiarchive.s3.amazonaws.com/x.nwb", "https:/host/x.nwb", "s3://bucket/x.nwb"]
)
def test_an_address_is_no_file(address):
    """Nothing is downloaded, and the address is told as it was given."""
    with pytest.raises(FormatError, match=r"://[\s\S]*is an address"):
        ann2neo.read_block(address)


def test_files_of_several_blocks_ask_which(tmp_path):
    """One Block is one answer."""
    blocks = [neo.Block(name=name) for name in "ab"]
    for block in blocks:
        block.segments.append(neo.Segment())
        block.segments[0].spiketrains.append(neo.SpikeTrain([1.0] * pq.s, t_stop=2.0, name=block.name))
    with neo.NixIO(str(tmp_path / "a.nix"), "ow") as io:
        io.write_all_blocks(blocks)
    with pytest.raises(FormatError, match="holds 2 Blocks"):
        ann2neo.read_block(tmp_path / "a.nix")
    assert ann2neo.read_block(tmp_path / "a.nix", block=1).segments[0].spiketrains[0].name == "b"


def test_an_end_that_is_the_last_spike_is_told(tmp_path):
    """Readers take the last spike for the end where a format does not say it; a rate would rest on it."""
    block = neo.Block()
    block.segments.append(neo.Segment())
    block.segments[0].spiketrains.append(neo.SpikeTrain([1.0, 4.0] * pq.s, t_stop=4.0))
    with neo.NixIO(str(tmp_path / "a.nix"), "ow") as io:
        io.write_block(block)
    with pytest.warns(Ann2NeoWarning, match="end with the last spike"):
        ann2neo.read_block(tmp_path / "a.nix")
    with warnings.catch_warnings():
        warnings.simplefilter("error", Ann2NeoWarning)
        train = ann2neo.read_block(tmp_path / "a.nix", t_stop=8 * pq.s).segments[0].spiketrains[0]
    assert analyze([train], windows=1 * pq.s)["firing_rate"].tolist() == [0.25]


def cli(*arguments, cwd):
    code, said, errors = command_line.run(cwd, *arguments)
    return code, said + errors


def test_the_command_line_reads_them_too(tmp_path):
    """info and analyze take what the library takes, with the same numbers."""
    path = rich(tmp_path / "cells.nwb")
    code, said = cli("info", path, cwd=tmp_path)
    assert code == 0
    assert "Epoch 'ripples': 5 intervals" in said
    assert "orientation" in said
    code, said = cli(
        "analyze",
        path,
        "-o",
        "out",
        "--windows",
        "around(cue_time, -100ms, 400ms)",
        "--within",
        "orientation",
        "--quiet",
        cwd=tmp_path,
    )
    assert code == 0, said
    found = ann2neo.read_table(tmp_path / "out" / "cells.csv")
    around = ann2neo.Around("cue_time", -100 * pq.ms, 400 * pq.ms)
    expected = analyze(read(path), windows=around, within="orientation")
    np.testing.assert_allclose(found["fano"], expected["fano"], rtol=1e-12)
    assert found["area"].tolist() == expected["area"].tolist()
    page = (tmp_path / "out" / "report.html").read_text()
    assert "Only time in which a unit was observed counts" in page
    assert "artificial unit" not in page


def test_the_command_line_asks_for_what_a_text_does_not_say(tmp_path):
    """Refused without, read with unit of time and end."""
    text(tmp_path, "sender time_ms\n1 10\n2 20\n1 30\n", "nest.txt")
    code, said = cli("analyze", "nest.txt", "-o", "out", cwd=tmp_path)
    assert code != 0
    assert "--t-stop" in said
    code, said = cli(
        "analyze", "nest.txt", "-o", "out", "--t-stop", "2s", "--windows", "500ms", "--quiet", cwd=tmp_path
    )
    assert code == 0, said
    assert ann2neo.read_table(tmp_path / "out" / "nest.csv")["firing_rate"].tolist() == [1.0, 0.5]
