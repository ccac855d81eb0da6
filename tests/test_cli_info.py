"""`ann2neo info` of files that other programs wrote: neo's formats, NWB of other laboratories, text, and what holds no spikes."""

from __future__ import annotations

import json

import click.testing
import neo
import numpy as np
import pytest
import quantities as pq
from nwb_sources import rich, spikes

from ann2neo.cli import commands
from ann2neo.errors import FormatError

WRITERS = {".nix": lambda path: neo.NixIO(str(path), "ow"), ".mat": lambda path: neo.io.NeoMatlabIO(str(path))}


def info(*arguments) -> str:
    done = click.testing.CliRunner().invoke(commands, ["info", *map(str, arguments)])
    if isinstance(done.exception, FormatError):
        raise done.exception
    assert done.exit_code == 0, done.output
    return done.output


def written_by_neo(path, n_trains: int = 3):
    """Write trains of one to three spikes in 2 s."""
    segment = neo.Segment()
    segment.spiketrains.extend(
        [neo.SpikeTrain(np.arange(1, k + 2) * 0.1 * pq.s, t_stop=2 * pq.s, name=f"u{k}") for k in range(n_trains)]
    )
    block = neo.Block()
    block.segments.append(segment)
    writer = WRITERS[path.suffix](path)
    (writer.write_block if path.suffix == ".nix" else writer.write)(block)
    if path.suffix == ".nix":
        writer.close()
    return path


@pytest.mark.parametrize("suffix", sorted(WRITERS))
def test_formats_of_neo_are_listed(tmp_path, suffix):
    """Units, time and the name of what wrote them, as text and as JSON."""
    path = written_by_neo(tmp_path / f"a{suffix}")
    said = info(path)
    assert "spike trains in time, written by another program; 3 units, 1 segment" in said
    assert "3 spike trains" in said
    assert "2.0 s" in said
    (segment,) = json.loads(info(path, "--json"))["segments"]
    assert (segment["n_spiketrains"], segment["t_stop_s"]) == (3, 2.0)


def test_one_unit_is_no_plural(tmp_path):
    """A file of one unit is not said to hold units."""
    said = info(written_by_neo(tmp_path / "a.nix", 1))
    assert "1 unit, 1 segment" in said
    assert "1 spike train," in said


def test_nwb_of_another_laboratory_is_listed(tmp_path):
    """Columns of units and tables of trials are named, which neo's own reader leaves out."""
    said = info(rich(tmp_path / "a.nwb"))
    assert f"{len(spikes())} units" in said
    assert "quality" in said
    assert "Epoch 'trials'" in said


def test_text_needs_what_it_does_not_say(tmp_path):
    """Times as text are listed once their unit and end are given; without these the cure names the options."""
    path = tmp_path / "a.txt"
    path.write_text("10 20 30\n15 25\n")
    assert "2 units" in info(path, "--time-unit", "ms", "--t-stop", "1s", "--text-columns", "trains")
    with pytest.raises(FormatError, match=r"(?s)--time-unit|time_unit"):
        info(path)


@pytest.mark.parametrize("name", ["a.html", "a.nwb", "a.mat", "a.csv"])
def test_what_holds_no_spikes_is_refused(tmp_path, name):
    """With the name of the file and a cure, never with an error of a library."""
    path = tmp_path / name
    path.write_bytes(b"neither spikes nor a table")
    with pytest.raises(FormatError, match=name):
        info(path)
