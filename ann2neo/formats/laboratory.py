"""Files of any laboratory: NWB through pynwb, text, and everything else as neo reads it."""

from __future__ import annotations

import warnings
from collections.abc import Sequence
from os import PathLike
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ann2neo.arguments import check_whole
from ann2neo.errors import Ann2NeoWarning, ForeignFile, FormatError
from ann2neo.files import check_readable
from ann2neo.formats import SUFFIXES, load, path_of
from ann2neo.formats.observation import Observation
from ann2neo.recording import Recording

if TYPE_CHECKING:
    import neo

PICKLES = (".pkl", ".pickle")
ADDRESSES = ("http:/", "https:/", "s3:/", "dandi:/")


def read_block(
    path: str | PathLike[str],
    *,
    time_unit: str | None = None,
    t_start: Any = None,
    t_stop: Any = None,
    columns: str | None = None,
    block: int | None = None,
) -> neo.Block:
    """Read a file of any laboratory as a neo Block, ready for `analyze` and `ann2neo.population`.

    NWB is read by pynwb: units with their names, ids, ``obs_intervals`` and all columns with one value per unit as annotations, every table of intervals as an
    Epoch with its columns in their types. Text is read line by line. Every other format is read by neo. A recording of ann2neo becomes the Block that
    `to_block` returns. Pickles are not opened, because opening a pickle runs the code in it.

    Parameters
    ----------
    path
        Name of the file.
    time_unit
        Unit of the times in a text file, such as "ms"; also of plain numbers in ``t_start`` and ``t_stop``.
    t_start, t_stop
        Begin and end of observation, for files that do not state them: text (which begins at 0 by default), NWB without ``obs_intervals``, and formats whose
        reader uses the last spike as the end.
    columns
        Meaning of the columns of a text file: "trains" (a line per unit), "time", "unit,time" or "time,unit".
    block
        Number of the Block where the file holds several, from 0.

    Raises
    ------
    FormatError
        If the file is missing, damaged or a pickle, holds no spike trains, or leaves out something that is not given as an argument either.

    See Also
    --------
    ann2neo.load, ann2neo.to_block, ann2neo.analyze

    Examples
    --------
    >>> from pathlib import Path
    >>> import tempfile, ann2neo, quantities as pq
    >>> path = Path(tempfile.mkdtemp()) / "spikes.txt"
    >>> _ = path.write_text("sender time_ms\\n7 1.5\\n3 2.0\\n7 2.5\\n")
    >>> [(train.name, len(train)) for train in ann2neo.read_block(path, t_stop=4 * pq.s).segments[0].spiketrains]
    [('unit 3', 1), ('unit 7', 2)]
    """
    said = Observation(time_unit=time_unit, t_start=t_start, t_stop=t_stop, columns=columns)
    if block is not None:
        block = check_whole(block, "block", low=0, error=FormatError)
    found = read_spikes(path_of(path), said)
    if isinstance(found, Recording):
        from ann2neo.trains import to_block

        found = [to_block(found)]
    if block is None and len(found) > 1:
        raise FormatError(
            f"{path} holds {len(found)} Blocks ({', '.join(repr(one.name) for one in found[:5])}).",
            "It is unclear which is meant.",
            f"Set block= to a number from 0 to {len(found) - 1}.",
        )
    if not 0 <= (block or 0) < len(found):
        raise FormatError(
            f"{path} holds {len(found)} Blocks, and block={block} was given.",
            "This Block does not exist.",
            "Count from 0.",
        )
    return found[block or 0]


def read_spikes(path: Path, said: Observation | None = None) -> Recording | list[Any]:
    """Read recordings of ann2neo as such, and all other files as a list of Blocks. Pickles are refused, because opening one runs the code in it.

    Raises
    ------
    FormatError
        If the file is missing, damaged or a pickle, or if no reader finds spike trains in it.
    """
    said = Observation() if said is None else said
    check_path(path)
    if path.suffix.lower() == ".mat":
        _check_mat(path)
    if path.suffix in SUFFIXES:
        try:
            found = load(path)
        except ForeignFile:
            pass
        else:
            said.refuse(path, "it is a recording of ann2neo, which states all of this itself")
            return found
    if _is_nwb(path):
        from ann2neo.formats.laboratory_nwb import read_nwb

        said.refuse(path, "NWB has no columns of text", names=("columns",))
        return [read_nwb(path, said)]
    from ann2neo.formats import text

    if path.suffix.lower() in text.SUFFIXES and not path.is_dir():
        return [text.read_text(path, said)]
    said.refuse(path, "its format names them", names=("columns",))
    return [_with_borders(one, path, said) for one in _through_neo(path)]


def check_path(path: Path) -> None:
    """Check that a path is a file that exists, and neither an address nor a pickle.

    Raises
    ------
    FormatError
        If it is not.
    """
    if str(path).startswith(ADDRESSES):
        raise FormatError(
            f"{str(path).replace(':/', '://', 1).replace(':///', '://', 1)} is an address.",
            "Files are read from disks; nothing is downloaded.",
            "Download it first (for DANDI: `dandi download ADDRESS`), and pass the name of the file.",
        )
    check_readable(path, folder=True)
    if path.suffix.lower() in PICKLES:
        raise FormatError(
            f"{path} is a pickle.",
            "Opening it would run the code in it.",
            "If you trust it, read it with `neo.io.PickleIO` yourself and pass the Blocks to `ann2neo.analyze`.",
        )


def _is_nwb(path: Path) -> bool:
    """Return whether a file is NWB, whatever its suffix."""
    import h5py

    if path.suffix.lower() == ".nwb":
        return True
    if path.suffix.lower() not in (".h5", ".hdf5") or not h5py.is_hdf5(path):
        return False
    with h5py.File(path, "r") as file:
        return "nwb_version" in file.attrs or "nwb_version" in file


def _check_mat(path: Path) -> None:
    """Refuse a MAT file without a Block, and list its variables, because their names follow no standard."""
    import h5py
    import scipy.io

    try:
        if h5py.is_hdf5(path):
            with h5py.File(path, "r") as file:
                known = [
                    f"{name} {getattr(one, 'shape', '')}".strip()
                    for name, one in file.items()
                    if not name.startswith("#")
                ]
            how, version = "h5py.File(path)", "of version 7.3 (HDF5)"
        else:
            known = [f"{name} {shape}" for name, shape, _ in scipy.io.whosmat(path)]
            how, version = "scipy.io.loadmat(path)", "of MATLAB"
            if any(name.split(" ")[0] == "block" for name in known):
                return
    # scipy and h5py raise many kinds of exception on damaged files; all mean the same.
    except Exception as error:
        raise FormatError(
            f"{path} cannot be read as MAT ({type(error).__name__}: {str(error)[:100]}).",
            "It is truncated or damaged.",
            "Get the file again.",
        ) from error
    raise FormatError(
        f"{path} is a MAT file {version} with the variables {', '.join(known[:8]) or 'none'}, and no neo Block.",
        "The file does not state which of them are spike times, in which unit, or how long was observed.",
        f'Read it with {how} and pass analyze a dict: {{"unit 1": times * pq.s, ..., "t_stop": 600 * pq.s}}.',
    )


def _through_neo(path: Path) -> list[Any]:
    """Try the formats that neo proposes until one returns spike trains."""
    import neo

    tried = []
    for candidate in _candidates(path):
        try:
            with warnings.catch_warnings():
                warnings.simplefilter("ignore")
                blocks = [block for block in _open(candidate, path).read() or [] if block is not None]
            if any(segment.spiketrains for block in blocks for segment in block.segments):
                return blocks
        # An IO may raise any exception on a file of another format; the message at the end lists what was tried.
        except Exception as error:
            tried.append(f"{candidate.__name__} ({type(error).__name__}: {str(error)[:80]})")
            continue
        tried.append(f"{candidate.__name__} (no spike trains)")
    raise FormatError(
        f"neo {neo.__version__} finds no spike trains in {path} (tried: {'; '.join(tried) or 'no format has this suffix'}).",
        "There is nothing to analyze.",
        "Convert it to NWB or NIX, or read it yourself and pass neo.SpikeTrains to `ann2neo.analyze`.",
    )


def _candidates(path: Path) -> list[type]:
    import neo.io

    try:
        return [io for io in neo.io.list_candidate_ios(path) if io not in (neo.io.PickleIO, neo.io.NWBIO)]
    except ValueError:
        return []


def _open(io: type, path: Path) -> Any:
    """Open read-only where an IO has modes."""
    try:
        return io(str(path), mode="ro")
    except TypeError:
        return io(str(path))


def _with_borders(block: Any, path: Path, said: Observation) -> Any:
    """Set begin and end of observation where the caller gives them; otherwise warn where a reader used the last spike as the end."""
    start, stop = said.borders_s(path)
    for segment in block.segments:
        trains = list(segment.spiketrains)
        if start is not None or stop is not None:
            segment.spiketrains[:] = [_moved(train, start, stop, path) for train in trains]
        elif _ends_with_spikes(trains):
            text = (
                f"{path.name}: observation seems to end with the last spike ({trains[0].t_stop}), which readers use where a format does not state the end.\n"
                "Rates are too high if it lasted longer.\nSet t_stop (--t-stop) if you know the end."
            )
            warnings.warn(Ann2NeoWarning(text), stacklevel=4)
    return block


def _ends_with_spikes(trains: Sequence[Any]) -> bool:
    lasts = [(float(train[-1].rescale("s")), float(train.t_stop.rescale("s"))) for train in trains if len(train)]
    return bool(lasts) and max(last for last, _ in lasts) >= max(stop for _, stop in lasts) * (1 - 1e-9)


def _moved(train: Any, start: float | None, stop: float | None, path: Path) -> Any:
    import quantities as pq

    a = train.t_start if start is None else pq.Quantity(start, pq.s)
    b = train.t_stop if stop is None else pq.Quantity(stop, pq.s)
    try:
        moved = train.duplicate_with_new_data(
            train.times, t_start=a.rescale(train.units), t_stop=b.rescale(train.units)
        )
    except ValueError as error:
        raise FormatError(
            f"train {train.name!r} of {path} has spikes outside {a} to {b}.",
            "Begin or end is wrong.",
            "Correct t_start and t_stop.",
        ) from error
    moved.annotations, moved.name = dict(train.annotations), train.name
    return moved
