"""Five defects of neo's reader of NWB, each in the smallest file that shows it, beside our reader of the same file.

Each test holds as long as the defect does: where one fails, neo has mended it. Seen with neo 0.14.6.
"""

import neo
import numpy as np
import pytest
from nwb_sources import lean, session, written
from pynwb.behavior import CompassDirection, SpatialSeries
from test_formats_laboratory import read

TRAINS = [[1.0, 2.0, 3.0], [4.0]]


def nwbio(path):
    return neo.io.NWBIO(str(path), "r").read_block()


def test_units_without_obs_intervals(tmp_path):
    """`obs_intervals` is an optional column of the units table; NWBIO takes it for granted (KeyError)."""
    path = lean(tmp_path / "a.nwb", TRAINS)
    with pytest.raises(KeyError, match="obs_intervals"):
        nwbio(path)
    assert [len(train) for train in read(path).segments[0].spiketrains] == [3, 1]


def test_several_obs_intervals(tmp_path):
    """A unit may be observed in several intervals; NWBIO gives up (NotImplementedError)."""
    path = lean(tmp_path / "a.nwb", TRAINS, obs=[(0, 5), (7, 9)])
    with pytest.raises(NotImplementedError, match="multiple observation intervals"):
        nwbio(path)
    assert read(path).segments[0].spiketrains[0].annotations["obs_intervals"].tolist() == [[0, 5], [7, 9]]


def test_keywords(tmp_path):
    """`keywords` (which the NWB Inspector asks for) reach `neo.Block` as an h5py data set (ValueError: Invalid annotation)."""
    path = lean(tmp_path / "a.nwb", TRAINS, obs=[(0, 9)], keywords=["V1"])
    with pytest.raises(ValueError, match="Invalid annotation"):
        nwbio(path)
    assert read(path).annotations["keywords"] == ["V1"]


def test_behaviour_in_acquisition(tmp_path):
    """A container such as `CompassDirection` has no `comments`, which NWBIO asks of everything in acquisition (AttributeError)."""
    file = session()
    file.add_unit(spike_times=TRAINS[0], obs_intervals=[(0.0, 9.0)])
    direction = SpatialSeries(name="direction", data=np.zeros(9), rate=1.0, reference_frame="north")
    file.add_acquisition(CompassDirection(spatial_series=direction))
    path = written(file, tmp_path / "a.nwb")
    with pytest.raises(AttributeError, match="comments"):
        nwbio(path)
    assert len(read(path).segments[0].spiketrains) == 1


def test_trials_and_columns_of_units_are_absent(tmp_path):
    """The trials table, other tables of intervals and the columns of units are not read, and nothing says so."""
    file = session()
    file.add_unit_column(name="quality", description="quality")
    file.add_unit(spike_times=TRAINS[0], obs_intervals=[(0.0, 9.0)], quality="good")
    file.add_trial_column(name="orientation", description="degrees")
    file.add_trial(start_time=0.0, stop_time=5.0, orientation=45)
    path = written(file, tmp_path / "a.nwb")
    segment = nwbio(path).segments[0]
    assert [epoch for epoch in segment.epochs if len(epoch)] == []
    assert "quality" not in segment.spiketrains[0].annotations
    ours = read(path).segments[0]
    assert ours.epochs[0].array_annotations["orientation"].tolist() == [45]
    assert ours.spiketrains[0].annotations["quality"] == "good"
