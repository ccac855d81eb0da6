"""What a command found as JSON, for pipelines: one object, numbers that are missing as null."""

from __future__ import annotations

import json
import math
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

if TYPE_CHECKING:
    import pandas as pd

    from ann2neo.recording import Recording

as_json = click.option("--json", "as_json", is_flag=True, help="Print one JSON object instead of text, for pipelines.")


def to_json(found: Any) -> str:
    r"""Write what was found; NaN and infinities, which JSON does not have, become null, and letters beyond ASCII their codes.

    Examples
    --------
    >>> to_json({"fano": float("nan"), "name": "größe"})
    '{"fano": null, "name": "gr\\u00f6\\u00dfe"}'
    """
    return json.dumps(_plain(found), allow_nan=False)


def of_table(table: pd.DataFrame) -> dict[str, Any]:
    """Return the rows of a table, and what is known of it.

    Examples
    --------
    >>> import pandas as pd
    >>> of_table(pd.DataFrame({"layer": ["fc"], "fano_mean": [0.5]}))["rows"]
    [{'layer': 'fc', 'fano_mean': 0.5}]
    """
    return {"attrs": dict(table.attrs), "rows": table.to_dict("records")}


def of_recording(recording: Recording) -> dict[str, Any]:
    """Return the layers, trials and provenance of a recording, without its spikes."""
    layers = [
        {
            "name": layer.name,
            "n_units": layer.n_units,
            "shape": list(layer.shape),
            "p_spike": layer.raster.n_spikes().sum() / max(layer.n_units * recording.n_bins, 1),
        }
        for layer in recording.layers
    ]
    return {
        "kind": "recording",
        "n_units": recording.n_units,
        "n_bins": recording.n_bins,
        "n_passes": recording.n_passes,
        "bin_size_ms": recording.bin_size_ms,
        "layers": layers,
        "trials": {"n": len(recording.trials), "columns": [str(name) for name in recording.trials.columns]},
        "provenance": dict(recording.provenance),
    }


def of_blocks(blocks: list[Any]) -> dict[str, Any]:
    """Return the segments of foreign Blocks: trains, borders in seconds, tables of intervals, moments."""
    segments = [
        {
            "block": number,
            "segment": index,
            "n_spiketrains": len(segment.spiketrains),
            "t_start_s": float(segment.t_start.rescale("s")) if len(segment.spiketrains) else None,
            "t_stop_s": float(segment.t_stop.rescale("s")) if len(segment.spiketrains) else None,
            "epochs": {str(epoch.name): len(epoch) for epoch in segment.epochs},
            "events": {str(event.name): len(event) for event in segment.events},
        }
        for number, block in enumerate(blocks)
        for index, segment in enumerate(block.segments)
    ]
    return {"kind": "blocks", "segments": segments}


def of_analysis(folder: Path) -> dict[str, Any]:
    """Return the summaries that an analysis wrote into a folder, by source."""
    from ann2neo.summary import is_summary
    from ann2neo.tables import read_table

    tables = {path.stem.removesuffix("-summary"): read_table(path) for path in sorted(folder.glob("*-summary.csv"))}
    return {
        "folder": str(folder),
        "sources": {name: of_table(table) for name, table in tables.items() if is_summary(table)},
    }


def _plain(found: Any) -> Any:
    if isinstance(found, Mapping):
        return {str(key): _plain(value) for key, value in found.items()}
    if isinstance(found, list | tuple):
        return [_plain(value) for value in found]
    if hasattr(found, "tolist") and not isinstance(found, str):
        return _plain(found.tolist())
    if isinstance(found, float) and not math.isfinite(found):
        return None
    return found if found is None or isinstance(found, str | bool | int | float) else _missing_or_text(found)


def _missing_or_text(found: Any) -> str | None:
    # pandas' marker of a missing value is of a type of its own.
    return None if type(found).__name__ in ("NAType", "NaTType") else str(found)
