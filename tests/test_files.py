"""What is not a file, may not be read, or never ends."""

import json
import os
import signal
import stat
import subprocess
import sys
from pathlib import Path

import pytest
from strategies import small_recording

import ann2neo
from ann2neo.atomic import check_target
from ann2neo.errors import FormatError, OutputExists, ShareError, StoreError
from ann2neo.ownership import results, sha256
from ann2neo.sharing.bundle import seal

SUFFIXES = (".zarr", ".nwb", ".nix", ".mat")


@pytest.fixture(autouse=True)
def patience():
    """A read that never ends is a failure and not a stop of the tests."""

    class Late(BaseException):
        """No code that reads takes this for an error of the system."""

    def late(number, frame):
        raise Late("still reading")

    before = signal.signal(signal.SIGALRM, late)
    signal.alarm(60)
    yield
    signal.alarm(0)
    signal.signal(signal.SIGALRM, before)


@pytest.mark.parametrize("function", [ann2neo.load, ann2neo.check, ann2neo.read_block, ann2neo.read_table])
def test_pipes_and_devices_are_refused(function, tmp_path):
    """Opening a pipe waits for a writer, and zeros of a device never end."""
    for suffix in (".csv", ".parquet") if function is ann2neo.read_table else (*SUFFIXES, ".txt"):
        if function in (ann2neo.load, ann2neo.check) and suffix == ".txt":
            continue
        os.mkfifo(tmp_path / f"pipe{suffix}")
        (tmp_path / f"device{suffix}").symlink_to("/dev/zero")
        for name in ("pipe", "device"):
            with pytest.raises(FormatError, match="is a pipe or a device, not a file"):
                function(tmp_path / f"{name}{suffix}")


def test_a_pipe_in_the_place_of_a_file_of_a_store_is_refused(tmp_path):
    """At load, at each later read, and by `check`, whichever file it is."""
    path = tmp_path / "a.zarr"
    ann2neo.save(small_recording(3, 12), path)
    opened = ann2neo.load(path)
    for file in [file for file in sorted(path.rglob("*")) if file.is_file()]:
        content = file.read_bytes()
        file.unlink()
        os.mkfifo(file)
        inner = file.name == ".zgroup" and file.parent != path
        if not inner:
            with pytest.raises(FormatError):
                ann2neo.load(path)
            with pytest.raises(FormatError):
                ann2neo.check(path)
        if file.parent.name == "bits" and not file.name.startswith("."):
            with pytest.raises(StoreError, match="neither a file nor a link"):
                opened.identical(opened)
        file.unlink()
        file.write_bytes(content)
    assert ann2neo.check(path)
    assert opened.identical(small_recording(3, 12))


def test_a_pipe_beside_a_table_is_refused(tmp_path):
    """The description of a CSV is a file too."""
    path = tmp_path / "a.csv"
    ann2neo.write_table(ann2neo.analyze(small_recording(2, 12), progress=False), path)
    (tmp_path / "a.csv-metadata.json").unlink()
    os.mkfifo(tmp_path / "a.csv-metadata.json")
    with pytest.raises(FormatError, match="neither a file nor a link"):
        ann2neo.read_table(path)


def test_a_table_without_its_description_is_refused(tmp_path):
    """Renamed alone, it is told that the two go together; renamed together, it is read."""
    table, path = ann2neo.analyze(small_recording(2, 12), progress=False), tmp_path / "a.csv"
    ann2neo.write_table(table, path)
    path.rename(tmp_path / "b.csv")
    with pytest.raises(
        FormatError, match=r"b\.csv lacks its description, b\.csv-metadata(?s:.*)the two files together"
    ):
        ann2neo.read_table(tmp_path / "b.csv")
    (tmp_path / "a.csv-metadata.json").rename(tmp_path / "b.csv-metadata.json")
    assert ann2neo.read_table(tmp_path / "b.csv").equals(table)


def test_a_folder_with_a_pipe_is_not_replaced(tmp_path):
    """A pipe under the name of a file of ours is of someone else, and is not waited for."""
    marker = results("an analysis")
    (tmp_path / "report.html").write_text("ours")
    marker.sign(tmp_path)
    (tmp_path / "report.html").unlink()
    os.mkfifo(tmp_path / "report.html")
    assert marker.strangers(tmp_path) == ["report.html"]


def test_a_chunk_of_any_size_is_not_read_into_memory(tmp_path):
    """A chunk that is much longer than its values is refused by its size: here a terabyte that takes no room on the disk."""
    path = tmp_path / "a.zarr"
    ann2neo.save(small_recording(3, 12), path)
    opened = ann2neo.load(path)
    os.truncate(path / "layers/0/bits/0.0.0", 1 << 40)
    with pytest.raises(StoreError, match=r"cannot be read \(it has 1099511627776 bytes, and \d+ at most"):
        opened.layers[0].raster.dense()


def test_a_file_that_does_not_fit_into_memory_is_an_error_of_the_system(tmp_path):
    """So that whoever reads it can name the file."""
    (tmp_path / "a").touch()
    os.truncate(tmp_path / "a", 1 << 42)
    code = f"""
import resource
resource.setrlimit(resource.RLIMIT_AS, (1 << 33, 1 << 33))
from ann2neo.files import read_content
try:
    read_content({str(tmp_path / "a")!r})
except OSError as error:
    print(error)
"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=50)
    assert "Cannot allocate memory" in done.stdout, done.stderr


@pytest.fixture
def another_user():
    """Act as a user who does not own the files, after all that reading needs was imported."""
    yield lambda: os.seteuid(65534)
    os.seteuid(0)


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can act as another user")
@pytest.mark.parametrize("suffix", SUFFIXES[1:])
def test_a_file_that_may_not_be_read_is_not_called_damaged(suffix, tmp_path, another_user):
    """Another user is told of the permission, of the file or of its folder, and not to get the file again."""
    for folder in (tmp_path, *tmp_path.parents[:3]):
        folder.chmod(stat.S_IMODE(folder.stat().st_mode) | 0o055)
    (tmp_path / "shut").mkdir(mode=0o700)
    for folder in (tmp_path, tmp_path / "shut"):
        ann2neo.save(small_recording(2, 12), folder / f"a{suffix}")
    (tmp_path / f"a{suffix}").chmod(0o600)
    for function in (ann2neo.load, ann2neo.check, ann2neo.read_block):
        function(tmp_path / f"a{suffix}")
    another_user()
    for function in (ann2neo.load, ann2neo.check, ann2neo.read_block):
        for folder in (tmp_path, tmp_path / "shut"):
            with pytest.raises(
                FormatError, match=r"cannot be read \(Permission denied\)(?s:.*)permissions of the file"
            ):
                function(folder / f"a{suffix}")


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can act as another user")
def test_a_file_of_a_bundle_that_may_not_be_read_is_not_called_changed(tmp_path, another_user):
    """Nor does its check raise an error of Python."""
    for folder in (tmp_path, *tmp_path.parents[:3]):
        folder.chmod(stat.S_IMODE(folder.stat().st_mode) | 0o055)
    (tmp_path / "a").write_text("a")
    (tmp_path / "SHA256SUMS").write_text(f"{sha256(tmp_path / 'a')}  a\n")
    assert ann2neo.check(tmp_path) == ["a"]
    (tmp_path / "a").chmod(0o600)
    another_user()
    with pytest.raises(FormatError, match=r"a cannot be read \(Permission denied\)(?s:.*)was not checked to the end"):
        ann2neo.check(tmp_path)


def test_a_bundle_with_a_pipe_is_neither_sealed_nor_right(tmp_path):
    """Its check sum cannot be computed: waiting for it would not end."""
    (tmp_path / "SHA256SUMS").write_text("")
    os.mkfifo(tmp_path / "data")
    (tmp_path / "CITATION.cff").write_text("cff-version: 1.2.0\ntitle: a\nmessage: m\nauthors: [{name: b}]\n")
    known = dict.fromkeys(("titles", "creators", "types", "schemaVersion", "publisher", "publicationYear"), "a")
    (tmp_path / "datacite.json").write_text(json.dumps(known))
    with pytest.raises(FormatError, match=r"data \(not in SHA256SUMS"):
        ann2neo.check(tmp_path)
    with pytest.raises(ShareError, match="data is not a file"):
        seal(tmp_path)
    with pytest.raises(OSError, match="neither a file nor a link"):
        sha256(tmp_path / "data")


MARKER = results("an analysis")


@pytest.mark.parametrize("marker", [None, MARKER])
@pytest.mark.parametrize(
    ("name", "error", "said"),
    [
        ("pipe", OutputExists, "pipe is a pipe or a device"),
        ("device", OutputExists, "device is a pipe or a device"),
        ("a" * 200 + ("/" + "a" * 200) * 30, FormatError, r"could not be written \(File name too long"),
        ("link", FormatError, "there is no folder /nowhere"),
    ],
)
def test_what_cannot_be_replaced_is_told_before_any_work(name, error, said, marker, tmp_path):
    """A link to a device would otherwise exchange the device, and a path that is too long end in an error of Python."""
    os.mkfifo(tmp_path / "pipe")
    (tmp_path / "device").symlink_to(os.devnull)
    (tmp_path / "link").symlink_to("/nowhere/a")
    with pytest.raises(error, match=said):
        check_target(tmp_path / name, True, marker=marker)
    assert Path(os.devnull).is_char_device()


def test_files_of_others_are_not_read_before_a_folder_is_refused(tmp_path):
    """Else `--overwrite` on a home folder would read all of it: here a file of four terabytes."""
    (tmp_path / "large").touch()
    os.truncate(tmp_path / "large", 1 << 42)
    with pytest.raises(OutputExists, match="did not write, or that were changed since: large"):
        check_target(tmp_path, True, marker=MARKER)
