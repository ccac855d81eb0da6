"""A changed or absent byte is an error, never another number."""

import json
import os
import subprocess
import sys
import warnings
import zipfile
from dataclasses import replace
from pathlib import Path

import click.testing
import h5py
import numpy as np
import pytest
import torch
import zarr
from damage import KINDS
from store_sources import inputs, interrupted, model, record, same, unfinish
from strategies import small_recording

import ann2neo
from ann2neo.cli import commands
from ann2neo.errors import Ann2NeoError, Ann2NeoWarning, FormatError, StoreError
from ann2neo.store import layout
from ann2neo.store.chunked import described, read_description
from ann2neo.store.growing import open_growing
from ann2neo.store.soundness import sound_columns, unsound_columns

HERE = Path(__file__).parent
FILES = ("a.zarr", "grown.zarr", "begun.zarr", "a.nwb", "a.nix", "a.mat", "a.csv", "a.parquet")
SUFFIXES = (".zarr", ".nwb", ".nix", ".mat")


@pytest.fixture
def saved(tmp_path):
    """A recording of several chunks, and where it was saved."""
    recording = small_recording(40, 80)
    ann2neo.save(recording, tmp_path / "a.zarr")
    return recording, tmp_path / "a.zarr"


N_DAMAGES = 30


@pytest.fixture(scope="module")
def damages(slow):
    """Do damage to files of all kinds, in a process of its own, and tell what reading said."""
    n = N_DAMAGES * (20 if slow else 1)
    done = subprocess.run(
        [sys.executable, str(HERE / "damage.py"), "0", str(n), *KINDS], capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, f"ended by {done.returncode} at {done.stderr[-300:]}"
    return json.loads(done.stdout)


@pytest.mark.parametrize("kind", KINDS)
def test_damage_is_never_another_number(kind, damages):
    """Bits, 8 and 64 bytes, truncation, deletion in any file of any kind: the same is read, or an error of ours is raised, in finite time."""
    if kind == "parquet":
        pytest.importorskip("pyarrow")
    assert not damages[kind]["bad"]
    assert damages[kind]["tally"]["refused"] > N_DAMAGES / 2


@pytest.mark.parametrize("name", FILES)
def test_files_of_0_1_0_open_with_one_warning(name, tmp_path):
    """What was written without check sums is read as ever, and a single warning says that damage would not show."""
    if name.endswith("parquet"):
        pytest.importorskip("pyarrow")
    zipfile.ZipFile(HERE / "files_of_0_1_0.zip").extractall(tmp_path)
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        table = name.endswith(("csv", "parquet"))
        found = ann2neo.read_table(tmp_path / name) if table else ann2neo.load(tmp_path / name)
        bits = None if table else found.raster(found.layers[-1].name)
    ours = [str(warning.message) for warning in caught if issubclass(warning.category, Ann2NeoWarning)]
    assert len(ours) == 1
    assert "no check sums" in ours[0]
    if name.startswith("a.") and not table:
        expected = small_recording(2, 12)
        assert np.array_equal(bits, expected.raster("fc/relu:1"))
        assert ann2neo.save(found, tmp_path / "again.zarr") is None
        assert ann2neo.check(tmp_path / "again.zarr")


def test_columns_of_0_1_0_are_compared_with_their_bits(tmp_path):
    """A recording that was begun by 0.1.0 has check sums of the bits of each column, which find damage."""
    zipfile.ZipFile(HERE / "files_of_0_1_0.zip").extractall(tmp_path)
    growing = open_growing(tmp_path / "begun.zarr")
    assert not unsound_columns(growing)
    chunk = next((tmp_path / "begun.zarr/layers/0/bits").glob("0.*.0"))
    content = bytearray(chunk.read_bytes())
    content[-3] ^= 1
    chunk.write_bytes(content)
    assert list(unsound_columns(growing)) == [(0, 0)]


@pytest.mark.parametrize("name", ["begun.zarr", "a.zarr"])
def test_a_store_of_0_1_0_is_not_resumed(name, tmp_path):
    """Its hashes are of another kind: the same network is refused with the reason, and both cures work."""
    zipfile.ZipFile(HERE / "files_of_0_1_0.zip").extractall(tmp_path)
    path, network = tmp_path / name, torch.nn.Sequential(torch.nn.Linear(6, 9), torch.nn.ReLU())
    given = ann2neo.Inputs(torch.ones(60, 6), batch_size=7)
    before = [file.read_bytes() for file in sorted(path.rglob("*")) if file.is_file()]
    if name == "begun.zarr":
        with pytest.warns(
            Ann2NeoWarning, match="cannot be resumed, since ann2neo 0.1.0 made it. It carries no check sums"
        ):
            ann2neo.load(path)
        with pytest.raises(
            StoreError,
            match=r"by ann2neo 0.1.0, whose hashes(?s:.*)nothing was recorded(?s:.*)what is there; record into another store, or",
        ):
            ann2neo.record(network, given, store=path, progress=False)
    assert [file.read_bytes() for file in sorted(path.rglob("*")) if file.is_file()] == before
    ann2neo.export(network, given, path, overwrite=True, progress=False)
    assert np.array_equal(ann2neo.load(path).raster("1"), ann2neo.record(network, given, progress=False).raster("1"))


def test_a_store_that_moves_is_not_silence(saved):
    """What cannot be read after `load` is an error, whatever the reason: moved, removed, a folder in the place of a chunk, no permission."""
    recording, path = saved
    opened = ann2neo.load(path)
    path.rename(path.with_name("b.zarr"))
    with pytest.raises(StoreError, match=r"cannot be read \(No such file(?s:.*)read as silence(?s:.*)Mount the disk"):
        ann2neo.analyze(opened, progress=False)
    path.with_name("b.zarr").rename(path)
    assert opened.identical(recording)
    chunk = path / "layers/1/bits/0.0.0"
    chunk.unlink()
    chunk.mkdir()
    with pytest.raises(StoreError, match=r"cannot be read \(Is a directory"):
        opened.raster("fc/relu:1")
    with pytest.raises(StoreError, match="lacks 1 of"):
        ann2neo.load(path)


@pytest.mark.skipif(os.geteuid() == 0 and not Path("/usr/bin/setpriv").exists(), reason="root may read everything")
def test_a_chunk_that_may_not_be_read_is_not_silence(saved):
    """A folder whose permission was taken away is an error to another user, who opened it before."""
    _, path = saved
    code = "import ann2neo, sys; r = ann2neo.load(sys.argv[1]); print('open', flush=True); sys.stdin.readline()\n"
    code += "try: print('SPIKES', r.raster('fc/relu:1').sum())\nexcept ann2neo.Ann2NeoError as e: print('REFUSED', e)"
    user = ["/usr/bin/setpriv", "--reuid=65534", "--clear-groups"] if os.geteuid() == 0 else []
    for folder in [path, *path.parents[:3]]:
        folder.chmod(0o755)
    with subprocess.Popen(
        [*user, sys.executable, "-c", code, str(path)], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    ) as process:
        if process.stdout.readline() != "open\n":
            pytest.skip("another user cannot run this Python")
        (path / "layers/1/bits").chmod(0o000)
        said = process.communicate("\n")[0]
        (path / "layers/1/bits").chmod(0o755)
    assert "REFUSED" in said
    assert "Permission denied" in said


def test_a_relative_path_is_resolved_once(saved, monkeypatch):
    """A process that changes its folder goes on reading the store that it opened."""
    recording, path = saved
    monkeypatch.chdir(path.parent)
    opened = ann2neo.load("a.zarr")
    monkeypatch.chdir("/")
    assert opened.identical(recording)


@pytest.mark.parametrize("grown", [False, True], ids=["saved", "grown"])
def test_no_part_that_lacks_reads_as_zeros(tmp_path, grown):
    """Whichever file is deleted, loading or reading fails, or gives what was there."""
    path = tmp_path / "a.zarr"
    recording = small_recording(4, 24)
    if grown:
        with pytest.MonkeyPatch.context() as patched:
            patched.setattr(layout, "MIN_COLUMN_BINS", 16)
            patched.setattr(layout, "MAX_COLUMN_BINS", 16)
            recording = record(model(), inputs(60), store=path)
    else:
        ann2neo.save(recording, path)
    refused = 0
    for file in [file for file in sorted(path.rglob("*")) if file.is_file()]:
        content = file.read_bytes()
        file.unlink()
        try:
            assert ann2neo.load(path).identical(recording), file
        except Ann2NeoError:
            refused += 1
        file.write_bytes(content)
    assert refused > len(recording.trials.columns) + 5
    assert ann2neo.load(path).identical(recording)


def test_a_recording_follows_its_content_and_not_its_path(saved):
    """Where another recording takes the place of one that is open, the open one is refused: its spikes are gone."""
    recording, path = saved
    opened = ann2neo.load(path)
    ann2neo.save(small_recording(40, 80, seed=5), path, overwrite=True)
    with pytest.raises(StoreError, match="replaced since"):
        opened.raster("fc/relu:1")
    ann2neo.save(small_recording(3, 20, seed=5), path, overwrite=True)
    with pytest.raises(StoreError, match=r"replaced since|cannot be read"):
        opened.raster("fc/relu:1")
    ann2neo.save(recording, path, overwrite=True)
    assert opened.identical(recording)


def test_a_view_can_take_the_place_of_its_source(saved):
    """The file is right; the view in memory, whose bits are no longer there, is refused instead of shuffled twice."""
    recording, path = saved
    view = ann2neo.load(path).arrange("shuffled", seed=0)
    ann2neo.save(view, path, overwrite=True)
    assert ann2neo.load(path).identical(recording.arrange("shuffled", seed=0))
    with pytest.raises(StoreError, match="replaced since"):
        view.raster("fc/relu:1")


def test_replacing_a_store_of_0_1_0_is_noticed(tmp_path):
    """Without check sums the folder itself tells."""
    zipfile.ZipFile(HERE / "files_of_0_1_0.zip").extractall(tmp_path)
    with pytest.warns(Ann2NeoWarning, match="no check sums"):
        opened = ann2neo.load(tmp_path / "a.zarr")
    ann2neo.save(small_recording(2, 12, seed=4), tmp_path / "a.zarr", overwrite=True)
    with pytest.raises(StoreError, match="replaced since"):
        opened.raster("fc/relu:1")


@pytest.mark.parametrize("suffix", SUFFIXES)
def test_check_names_what_was_compared(suffix, tmp_path):
    """A sound file gives its parts; the command line says how many."""
    path = tmp_path / f"a{suffix}"
    ann2neo.save(small_recording(4, 24), path)
    parts = ann2neo.check(path)
    assert any("trials" in part for part in parts)
    assert sum("layer" in part for part in parts) >= 6
    said = click.testing.CliRunner().invoke(commands, ["info", "--check", str(path)])
    assert f"{len(parts)} parts are as they were written" in said.output


def test_check_names_all_that_is_damaged(saved):
    """Loading stops at the first one; checking goes on."""
    _, path = saved
    for name in ("layers/0/bits/0.0.0", "trials/3/0", "layers/1/units/0"):
        content = bytearray((path / name).read_bytes())
        content[-5] ^= 8
        (path / name).write_bytes(content)
    with pytest.raises(StoreError, match=r"layers/0/bits, layers/1/units, trials/3\."):
        ann2neo.check(path)


def test_check_of_a_bundle(tmp_path):
    """Each file is compared with SHA256SUMS, and one that is not in it is named."""
    ann2neo.save(small_recording(4, 24), tmp_path / "a.nwb")
    bundle = ann2neo.share(tmp_path / "a.nwb", tmp_path / "bundle")
    assert "README.md" in ann2neo.check(bundle)
    (bundle / "README.md").write_text("mine")
    (bundle / "more.txt").write_text("mine")
    with pytest.raises(FormatError, match=r"README\.md, more\.txt \(not in SHA256SUMS\)"):
        ann2neo.check(bundle)


def test_what_another_program_adds_leaves_the_content_sound(tmp_path):
    """A file that was opened for writing elsewhere has lost the check sum of its bytes, and keeps those of its content."""
    path = tmp_path / "a.nwb"
    ann2neo.save(small_recording(4, 24), path)
    assert ann2neo.check(path)[0] == "all bytes"
    with h5py.File(path, "r+") as file:
        file["general"].create_dataset("lab", data="ours")
    assert ann2neo.check(path)[0] == "outline"
    assert ann2neo.load(path).identical(small_recording(4, 24))
    with h5py.File(path, "r+") as file:
        file["units/threshold"][2] = 7.0
    with pytest.raises(FormatError, match=r"thresholds of layer 'features\.3'"):
        ann2neo.load(path)


def test_other_readers_verify_the_chunks_too(saved):
    """Zarr, which knows nothing of our list, is told by the check sum of Zstandard."""
    _, path = saved
    chunk = path / "layers/1/bits/0.0.0"
    content = bytearray(chunk.read_bytes())
    content[len(content) // 2] ^= 1
    chunk.write_bytes(content)
    with pytest.raises(Exception, match=r"(?i)zstd|checksum|decompression"):
        zarr.open_group(str(path), mode="r")["layers/1/bits"][:]


def test_columns_that_did_not_reach_the_disk_are_found(tmp_path, monkeypatch):
    """After a crash of the host the log may know a column whose chunk is empty, cut, changed or absent: each is named, the others are kept."""
    monkeypatch.setattr(layout, "MIN_COLUMN_BINS", 16)
    monkeypatch.setattr(layout, "MAX_COLUMN_BINS", 16)
    path = tmp_path / "a.zarr"
    interrupted(path, 20)
    growing = open_growing(path)
    assert not unsound_columns(growing)
    bits = path / "layers/1/bits"
    (bits / "0.0.1").write_bytes(b"")
    (bits / "0.0.2").write_bytes((bits / "0.0.2").read_bytes()[:-4])
    (bits / "0.0.4").unlink()
    (bits / "0.0.5").write_bytes((bits / "0.0.6").read_bytes())
    bad = unsound_columns(growing)
    assert sorted(number for _, number in bad) == [1, 2, 4, 5]
    assert "missing" in bad[0, 4]
    assert "damaged" in bad[0, 1]
    assert sorted(set(sound_columns(growing))) == [(0, 0), (0, 3), (0, 6), (0, 7)]


@pytest.mark.parametrize(
    "changes",
    [
        {"shape": [300_000_000]},
        {"chunks": [1 << 40]},
        {"dtype": "|O"},
        {"filters": [{"id": "pickle", "protocol": 5}]},
        {"compressor": {"id": "blosc"}},
        {"shape": [-1]},
        {"chunks": [0]},
        {"shape": None},
    ],
    ids=str,
)
def test_sizes_and_codecs_are_not_trusted(tmp_path, changes):
    """What an array claims to be is refused before room is made for it."""
    known = json.loads(described((8,), (8,), np.dtype("<i8"))) | changes
    (tmp_path / "0").write_bytes(b"")
    with pytest.raises(StoreError):
        read_description(json.dumps(known).encode(), tmp_path).values()


def test_a_chunk_that_would_unfold_to_more_is_refused(tmp_path):
    """The size that a compressed chunk announces is compared before it is unfolded."""
    array = layout.new_array(tmp_path, "a", (8,), (8,), np.dtype(np.uint8))
    larger = replace(array, chunks=(1 << 20,))
    layout.write_chunk(larger, (0,), np.zeros(1 << 20, np.uint8))
    with pytest.raises(StoreError, match="differs from what was written"):
        array.values()


def _grow_claims(file):
    del file["intervals/trials/label"]
    file["intervals/trials"].create_dataset("label", shape=(300_000_000,), chunks=(1 << 16,), dtype="i8")


def _lie_outside(file):
    del file["intervals/trials/label"]
    where = [("/etc/hostname", 0, 96)]
    file["intervals/trials"].create_dataset("label", shape=(12,), dtype="i8", external=where)


def _link_outside(file):
    del file["intervals/trials/label"]
    file["intervals/trials/label"] = h5py.ExternalLink("other.h5", "/x")


def _many_bins(file):
    file["intervals/trials/stop_bin"][-1] = 10**12


@pytest.mark.parametrize(
    ("change", "words"),
    [
        (_grow_claims, "claims to hold"),
        (_lie_outside, "lies in another file"),
        (_link_outside, "link"),
        (_many_bins, "memory"),
    ],
)
def test_hostile_nwb_is_refused(change, words, tmp_path):
    """Sizes that nothing fills, storage and links outside the file, and bins without end."""
    path = tmp_path / "a.nwb"
    ann2neo.save(replace(small_recording(4, 12), provenance={}), path)
    with h5py.File(path, "r+") as file:
        change(file)
    with pytest.raises(FormatError, match=words):
        ann2neo.load(path)


def test_a_table_and_its_description_are_one(tmp_path):
    """Of two calls that were killed between their two files, no mixture is read; a description without a CSV is in nobody's way."""
    recording = small_recording(4, 24)
    table = ann2neo.analyze(recording, progress=False)
    path, beside = tmp_path / "t.csv", tmp_path / "t.csv-metadata.json"
    ann2neo.write_table(table, path)
    old = path.read_bytes()
    ann2neo.write_table(ann2neo.analyze(recording, windows=6, progress=False), path, overwrite=True)
    path.write_bytes(old)
    with pytest.raises(FormatError, match="not the table that"):
        ann2neo.read_table(path)
    path.unlink()
    ann2neo.write_table(table, path)
    assert ann2neo.read_table(path).attrs == table.attrs
    path.unlink()
    beside.write_text('{"somebody": "else"}')
    with pytest.raises(Ann2NeoError, match="already exists"):
        ann2neo.write_table(table, path)


def test_a_store_that_is_unfinished_again(tmp_path, monkeypatch):
    """The list of check sums of a complete store is not that of one that grows."""
    small_columns_here = pytest.MonkeyPatch()
    small_columns_here.setattr(layout, "MIN_COLUMN_BINS", 16)
    small_columns_here.setattr(layout, "MAX_COLUMN_BINS", 16)
    path = tmp_path / "a.zarr"
    whole = record(model(), inputs(60), store=path)
    expected = [layer.raster.dense() for layer in whole.layers]
    unfinish(path)
    resumed = record(model(), inputs(60), store=path)
    small_columns_here.undo()
    assert all(np.array_equal(a, b.raster.dense()) for a, b in zip(expected, resumed.layers))
    assert same(resumed, record(model(), inputs(60)))
