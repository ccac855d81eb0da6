"""Overwriting takes only what ann2neo wrote, in one step, and hands on links and permissions."""

import errno
import os
import re
import shutil
import signal
import subprocess
import sys
import threading
import time
from pathlib import Path

import numpy as np
import pytest
import zarr
from strategies import small_recording

import ann2neo
from ann2neo import atomic
from ann2neo.atomic import complete_or_absent
from ann2neo.errors import AnalysisError, Ann2NeoWarning, FormatError, OutputExists
from ann2neo.ownership import SIGNATURE, Marker, results
from ann2neo.results import analyze_files, compare_files

MINE = results("a test")


@pytest.fixture
def recording(tmp_path):
    path = tmp_path / "r0.mat"
    ann2neo.save(small_recording(4, 24), path)
    return path


def tree(folder):
    """All that lies in a folder, with its contents."""
    return {str(file.relative_to(folder)): file.read_bytes() for file in sorted(folder.rglob("*")) if file.is_file()}


def analysis(files, out, **options):
    return analyze_files(files, out, progress=False, say=lambda _: None, **options)


def comparison(files, out, **options):
    # The same network twice is refused: the other group is another one.
    other = out.parent.parent / f"other-{out.parent.name}.mat"
    if not other.exists():
        ann2neo.save(small_recording(4, 24, seed=1), other)
    return compare_files({"a": files, "b": [other]}, out, progress=False, say=lambda _: None, **options)


def bundle(files, out, **options):
    return ann2neo.share(files[0], out, **options)


def put_files(folder):
    """A thesis whose files have names that ours have too."""
    (folder / "raw").mkdir(parents=True)
    for name in ("data.csv", "raw/a.bin", "report.html", "SHA256SUMS", ".zgroup"):
        (folder / name).write_text("precious")


@pytest.mark.parametrize("write", [analysis, comparison, bundle])
def test_a_folder_of_somebody_else_is_never_replaced(write, recording, tmp_path):
    """Files of our names do not make a folder ours; whatever is refused is untouched."""
    put_files(tmp_path / "thesis")
    before = tree(tmp_path / "thesis")
    with pytest.raises(OutputExists, match=r"holds files that ann2neo did not write(?s:.*)nothing was written"):
        write([recording], tmp_path / "thesis", overwrite=True)
    assert tree(tmp_path / "thesis") == before
    assert {file.name for file in tmp_path.iterdir()} == {"thesis", "r0.mat"}


@pytest.mark.parametrize("write", [analysis, comparison, bundle])
def test_results_of_0_1_0_are_kept_with_the_reason(write, recording, tmp_path):
    """It kept no list of its files; the refusal says so, and once the folder is removed the same call works."""
    out = tmp_path / "results"
    write([recording], out)
    (out / SIGNATURE).unlink()
    before = tree(out)
    with pytest.raises(OutputExists, match=r"0\.1\.0 kept no list of its files(?s:.*)remove the folder yourself"):
        write([recording], out, overwrite=True)
    assert tree(out) == before
    shutil.rmtree(out)
    write([recording], out, overwrite=True)
    assert tree(out).keys() == {*before, SIGNATURE}


def test_a_group_of_somebody_else_is_never_replaced(tmp_path):
    """Any group of Zarr has our file names at its top, and is not ours."""
    root = zarr.open_group(str(tmp_path / "images.zarr"), mode="w")
    root["layers/0/bits"] = np.zeros(3)
    before = tree(tmp_path / "images.zarr")
    with pytest.raises(OutputExists, match="holds files that ann2neo did not write"):
        ann2neo.save(small_recording(), tmp_path / "images.zarr", overwrite=True)
    assert tree(tmp_path / "images.zarr") == before


@pytest.mark.parametrize("name", ["notes.txt", "layers/0/notes.txt", "layers/0/bits/0.0.0.bak", "log/notes.json"])
def test_a_store_with_something_else_in_it_is_kept(name, tmp_path):
    """One file more is enough, wherever it lies."""
    path = tmp_path / "a.zarr"
    ann2neo.save(small_recording(4, 24), path)
    (path / name).parent.mkdir(exist_ok=True)
    (path / name).write_text("precious")
    with pytest.raises(OutputExists, match=re.escape(name)):
        ann2neo.save(small_recording(4, 24, seed=1), path, overwrite=True)
    (path / name).unlink()
    ann2neo.save(small_recording(4, 24, seed=1), path, overwrite=True)
    assert ann2neo.load(path).identical(small_recording(4, 24, seed=1))


def test_what_was_added_or_edited_is_kept(recording, tmp_path):
    """A folder of ours is ours as long as it is as it was written; what a viewer of folders leaves does not count."""
    out = analysis([recording], tmp_path / "out")
    (out / ".DS_Store").write_text("viewed")
    analysis([recording], out, overwrite=True)
    (out / "notes.txt").write_text("mine")
    with pytest.raises(OutputExists, match=r"notes\.txt"):
        analysis([recording], out, overwrite=True)
    (out / "notes.txt").unlink()
    with (out / "report.html").open("a") as file:
        file.write("mine")
    with pytest.raises(OutputExists, match=r"report\.html"):
        analysis([recording], out, overwrite=True)
    assert "mine" in (out / "report.html").read_text()
    with pytest.raises(FormatError, match=r"report\.html"):
        ann2neo.check(out)


def test_one_kind_does_not_replace_another(recording, tmp_path):
    """A bundle is no analysis, though both are ours."""
    bundle([recording], tmp_path / "out")
    with pytest.raises(OutputExists, match="it is a bundle, not an analysis"):
        analysis([recording], tmp_path / "out", overwrite=True)
    assert ann2neo.check(tmp_path / "out")


@pytest.mark.parametrize("write", [analysis, comparison, bundle])
def test_an_input_is_never_replaced(write, recording, tmp_path):
    """A file that is read lies nowhere in what it would be replaced by, also behind a link."""
    out = tmp_path / "out"
    write([recording], out)
    inside = out / "r1.mat"
    shutil.copy(recording, inside)
    signed = results({"analysis": "an analysis", "comparison": "a comparison", "bundle": "a bundle"}[write.__name__])
    (out / SIGNATURE).unlink()
    signed.sign(out)
    (tmp_path / "link").symlink_to(out)
    for given in (inside, tmp_path / "link/r1.mat"):
        with pytest.raises(OutputExists, match=r"r1\.mat lies in"):
            write([given], out, overwrite=True)
    assert inside.exists()


def test_a_folder_does_not_take_the_place_of_a_file(recording, tmp_path):
    """An analysis called as its own input would take it away."""
    with pytest.raises(OutputExists, match="is a file, and an analysis is a folder"):
        analysis([recording], recording, overwrite=True)
    assert ann2neo.load(recording).identical(small_recording(4, 24))


@pytest.mark.parametrize(
    "names", [("x-summary", "x"), ("x", "x-summary"), ("all-sources", "x"), ("A", "a"), ("x", "X-Summary")], ids=str
)
def test_results_never_have_one_name(names, tmp_path):
    """Names that are made of other names, and disks that know no capitals, are thought of before any work."""
    files = []
    for number, name in enumerate(names):
        (tmp_path / str(number)).mkdir()
        files.append(tmp_path / str(number) / f"{name}.mat")
        ann2neo.save(small_recording(2, 12), files[-1])
    with pytest.raises(AnalysisError, match="same names"):
        analysis(files, tmp_path / "out")
    assert not (tmp_path / "out").exists()


def test_one_file_may_be_called_as_the_table_of_all(tmp_path):
    """Where there is no table of all sources nothing collides."""
    ann2neo.save(small_recording(2, 12), tmp_path / "all-sources.mat")
    assert (analysis([tmp_path / "all-sources.mat"], tmp_path / "out") / "all-sources.csv").exists()


def test_links_and_permissions_are_handed_on(tmp_path):
    """What lies on another disk stays there, and who may read it may read it still."""
    (tmp_path / "scratch").mkdir()
    for suffix in (".mat", ".zarr"):
        real, link = tmp_path / f"scratch/a{suffix}", tmp_path / f"a{suffix}"
        ann2neo.save(small_recording(2, 12), real)
        real.chmod(0o600 if suffix == ".mat" else 0o700)
        link.symlink_to(real)
        ann2neo.save(small_recording(2, 12, seed=1), link, overwrite=True)
        assert link.is_symlink()
        assert ann2neo.load(real).identical(small_recording(2, 12, seed=1))
        assert real.stat().st_mode & 0o777 == (0o600 if suffix == ".mat" else 0o700)
    assert {file.name for file in (tmp_path / "scratch").iterdir()} == {"a.mat", "a.zarr"}


def write_folder(path, text, **options):
    with complete_or_absent(path, marker=MINE, **options) as part:
        part.mkdir()
        (part / "a.txt").write_text(text)


def test_the_name_is_never_without_a_folder(tmp_path, monkeypatch):
    """Old and new are exchanged in one step: whoever looks sees one of them."""
    path = tmp_path / "out"
    write_folder(path, "old")
    seen, stop = set(), threading.Event()

    def look():
        while not stop.is_set():
            seen.add(path.exists())

    thread = threading.Thread(target=look)
    thread.start()
    for number in range(60):
        write_folder(path, str(number), overwrite=True)
    stop.set()
    thread.join()
    assert seen == {True}
    assert (path / "a.txt").read_text() == "59"


@pytest.mark.parametrize("can", [True, False], ids=["exchanged", "moved aside"])
def test_if_the_last_step_fails_the_old_folder_is_there(can, tmp_path, monkeypatch):
    """Nothing is deleted before the new folder has its name."""
    path = tmp_path / "out"
    write_folder(path, "old")
    if not can:
        monkeypatch.setattr(atomic, "_exchange", lambda one, other: False)
    write_folder(path, "new", overwrite=True)
    assert (path / "a.txt").read_text() == "new"
    real = os.replace

    def fails(one, other):
        if Path(other) == path and (Path(one) / SIGNATURE).exists() and "part" in Path(one).name:
            raise OSError(5, "Input/output error")
        real(one, other)

    monkeypatch.setattr(atomic.os, "replace", fails)
    monkeypatch.setattr(atomic, "_exchange", lambda one, other: False)
    with pytest.raises(FormatError, match="Input/output error"):
        write_folder(path, "newer", overwrite=True)
    assert (path / "a.txt").read_text() == "new"
    assert [file.name for file in tmp_path.iterdir()] == ["out"]


def test_what_appears_meanwhile_is_not_replaced(tmp_path):
    """Two calls that write under one name: the second to end is refused, unless it may overwrite."""
    path = tmp_path / "a.txt"

    def both():
        with complete_or_absent(path) as part:
            part.write_text("second")
            with complete_or_absent(path) as other:
                other.write_text("first")

    with pytest.raises(OutputExists, match="already exists"):
        both()
    assert path.read_text() == "first"
    assert [file.name for file in tmp_path.iterdir()] == ["a.txt"]


@pytest.mark.parametrize("kind", ["file", "folder"])
@pytest.mark.parametrize("can", [True, False], ids=["renamed if new", "as the disk can"])
def test_a_name_that_is_taken_at_the_last_moment_is_not_replaced(kind, can, tmp_path, monkeypatch):
    """Between the last look and the renaming another call may end: what it wrote stays, and the second call is told."""
    if not can:
        monkeypatch.setattr(atomic, "_renamed", lambda *_: errno.ENOSYS)

    def make(path, text):
        if kind == "folder":
            path.mkdir()
            path /= "a.txt"
        path.write_text(text)

    path = tmp_path / "out"
    late = Marker(kind="a test", strangers=lambda _: [], sign=lambda _: make(path, "theirs"))

    def write():
        with complete_or_absent(path, marker=late) as part:
            make(part, "ours")

    with pytest.raises(OutputExists, match="written while this call was at work"):
        write()
    assert (path / "a.txt" if kind == "folder" else path).read_text() == "theirs"
    assert [file.name for file in tmp_path.iterdir()] == ["out"]


def test_what_comes_into_a_folder_at_the_last_moment_is_kept(tmp_path, monkeypatch):
    """A file that somebody writes between the last look and the exchange is found in a folder that is named."""
    path, put = tmp_path / "out", atomic._put
    write_folder(path, "old")

    def slow(part, final):
        (final / "mine.txt").write_text("precious")
        put(part, final)

    monkeypatch.setattr(atomic, "_put", slow)
    with pytest.warns(Ann2NeoWarning, match="other files had been added to it"):
        write_folder(path, "new", overwrite=True)
    assert (path / "a.txt").read_text() == "new"
    assert next(tmp_path.glob("out.kept-*/mine.txt")).read_text() == "precious"


KILLED = """
import os, signal, sys
from pathlib import Path
from ann2neo.atomic import complete_or_absent
with complete_or_absent(Path(sys.argv[1])) as part:
    part.mkdir()
    (part / "a").write_text("unfinished")
    os.kill(os.getpid(), signal.SIGKILL)
"""


def test_what_killed_calls_left_is_removed_by_the_next(tmp_path):
    """But not what a call that is alive, or one for another name, is writing."""
    for name in ("out", "out", "other"):
        done = subprocess.run([sys.executable, "-c", KILLED, str(tmp_path / name)], check=False)
        assert done.returncode == -signal.SIGKILL
    assert len(list(tmp_path.iterdir())) == 2
    with complete_or_absent(tmp_path / "out") as alive:
        alive.write_text("alive")
        assert sorted(file.name.split(".")[1] for file in tmp_path.iterdir()) == ["other", "out"]
        with complete_or_absent(tmp_path / "out", overwrite=True) as second:
            second.write_text("second")
        assert alive.read_text() == "alive"
        (tmp_path / "out").unlink()
    assert (tmp_path / "out").read_text() == "alive"


def test_an_error_of_another_file_is_told_as_such(tmp_path):
    """Not every OSError while a file is made is about that file."""
    with (
        pytest.raises(FormatError, match=r"/nowhere/cache could not be used \(No such file"),
        complete_or_absent(tmp_path / "a.txt"),
    ):
        Path("/nowhere/cache").read_text()
    with (
        pytest.raises(FormatError, match=r"a\.txt could not be written \(No space left"),
        complete_or_absent(tmp_path / "a.txt"),
    ):
        raise OSError(28, "No space left on device")


SLOW = """
import sys, time
from pathlib import Path
from ann2neo import cli
from ann2neo.atomic import complete_or_absent
import click
@click.command()
def slow():
    with complete_or_absent(Path("out")) as part:
        part.write_text("unfinished")
        print("writing", flush=True)
        time.sleep(60)
cli.commands.add_command(slow)
sys.argv = ["ann2neo", "slow"]
cli.main()
"""


def test_sigterm_cleans_up_as_ctrl_c_does(tmp_path):
    """A scheduler that ends a job leaves no unfinished file, and is told by the exit code."""
    with subprocess.Popen(
        [sys.executable, "-c", SLOW], cwd=tmp_path, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    ) as process:
        assert process.stdout.readline() == "writing\n"
        began = time.monotonic()
        process.terminate()
        said = process.communicate()[1]
    assert time.monotonic() - began < 20
    assert process.returncode == 128 + signal.SIGTERM
    assert "Ended" in said
    assert not list(tmp_path.iterdir())
