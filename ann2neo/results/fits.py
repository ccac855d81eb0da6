"""fit_file and simulate_folder: fitted models of a file in a folder, and a recording simulated from them."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from ann2neo import figures, models
from ann2neo.atomic import complete_or_absent
from ann2neo.errors import FormatError
from ann2neo.formats import load, save
from ann2neo.formats.laboratory import check_path
from ann2neo.formats.observation import Observation
from ann2neo.ownership import results
from ann2neo.raster import Raster
from ann2neo.recording import Recording
from ann2neo.report import Section, Table, write_report
from ann2neo.results.files import name_of, read_in_order
from ann2neo.results.fit_page import (
    LEFT_OUT,
    fit_facts,
    fit_limits,
    fitted_words,
    found_words,
    meanings,
    one_layer_once,
)
from ann2neo.results.opening import provenance_of
from ann2neo.results.pages import MANY_ROWS, REPORT, Result, first_sentence, population_of, printed, save_picture
from ann2neo.summary import summarize
from ann2neo.tables import read_table, write_table

TABLE, SUMMARY, POPULATIONS, TRIALS = "models.csv", "summary.csv", "populations.csv", "trials.zarr"
WITHOUT_SPIKES = "spikes_left_out"
LEAD = (
    "Each unit was fitted with models of arrival processes, by maximum likelihood; the smallest BIC says which describes it best with the fewest parameters. "
    "Bits per spike are the information that a model adds to one rate{}."
)
FILES = {
    TABLE: "A row for each unit: parameters of every model with their standard errors, likelihoods, the best model.",
    SUMMARY: "A row for each layer.",
    POPULATIONS: "The distribution of activation probabilities over the units of each layer.",
    TRIALS: "Layers and trials without spikes, for `ann2neo simulate`.",
}


def fit_file(
    path: Path,
    out: Path,
    *,
    chosen: Sequence[str] | None = None,
    by: str | None = "label",
    order: Any = None,
    markov_order: int = 1,
    windows: int | None = None,
    min_spikes: int = 10,
    scheduler: str | None = None,
    said: Observation | None = None,
    figure_format: str = "png",
    overwrite: bool = False,
    progress: bool = True,
    say: Callable[[str], None] = print,
) -> Path:
    """Fit models to the units of a file, and write tables, figures and one page into a folder.

    Parameters
    ----------
    path
        A file of ann2neo, or of any laboratory.
    out
        Name of the folder: ``models.csv`` (a row per unit, for `ann2neo.read_table`), ``summary.csv``, ``populations.csv`` (networks only), ``trials.zarr`` (layers and trials of a
        network without spikes, for `simulate_folder`), figures and ``report.html``. It appears when everything is done.
    chosen, by, windows, min_spikes, scheduler
        As ``models``, ``by``, ... of `ann2neo.models.fit`.
    order
        Order of the trials of ann2neo recordings; None for the stored order.
    markov_order
        Number of preceding bins of the model "markov".
    said
        Facts that a file leaves out.
    figure_format
        Format of the files of figures: "png", "pdf" or "svg"; the page holds separate images.
    overwrite
        Whether the folder of earlier models may be replaced.
    progress
        Whether to show a progress bar.
    say
        Called with each line that a person should read.

    Raises
    ------
    FormatError
        If the file is missing, or holds no spike trains or more than one Block.
    OutputExists
        If the folder exists and may not be replaced.
    """
    check_path(path)
    with complete_or_absent(out, overwrite=overwrite, marker=results("fitted models"), inputs=[path]) as part:
        found = read_in_order(path, order, said)
        if len(found) != 1:
            raise FormatError(
                f"{path} holds {len(found)} blocks of spike trains.",
                "Models are fitted to one recording.",
                "Use a file with one block.",
            )
        (spikes,) = found
        fitted = models.fit(
            spikes,
            chosen,
            by=by,
            order=markov_order,
            windows=windows,
            min_spikes=min_spikes,
            scheduler=scheduler,
            progress=progress,
        )
        part.mkdir()
        write_table(fitted, part / TABLE)
        name, summary = name_of(path), summarize(fitted)
        left_out = any(str(column).endswith(LEFT_OUT) for column in fitted)
        of_left_out = ", for inputs that were left out of the fit" if left_out else ""
        write_table(summary, part / SUMMARY)
        caption = "Models by layer; bits of units for which a model is defined."
        tables = [_table(summary[_shown(summary)], caption)]
        if isinstance(spikes, Recording):
            populations = models.fit_population(fitted)
            write_table(populations, part / POPULATIONS)
            save(without_spikes(spikes), part / TRIALS)
            caption = "Activation probabilities over units: silent, saturated, and the beta law of the others."
            tables.append(_table(populations.drop(columns=["loglik", "k", "aic", "bic", "quality"]), caption))
        population, of_all = population_of(fitted, "best_bic")
        of_units = "good units" if population == "good" else "units"
        pictures = [
            save_picture(
                figures.best_models(fitted, population=population),
                part / f"best.{figure_format}",
                f"Which model describes {of_units} best, by layer: the smallest BIC, so that a parameter must earn its place.{of_all}",
            ),
            save_picture(
                figures.bits_per_spike(fitted, cross_validated=left_out, population=population),
                part / f"bits.{figure_format}",
                f"Bits per spike that each model adds to one rate{of_left_out}: medians over {of_units}, with quartiles. Left of the line a model predicts worse than one rate.{of_all}",
            ),
        ]
        captions = {str(each.file): first_sentence(each.caption) for each in pictures}
        folded = f"Models by layer, {len(tables[0].frame)} rows" if len(tables[0].frame) > MANY_ROWS else None
        write_report(
            part / REPORT,
            title=f"Models of {name}",
            lead=[
                fitted_words(name, fitted, spikes),
                found_words(summary),
                LEAD.format(of_left_out),
                *(f"Left out: {fitted.attrs[key]}." for key in ("left_out", "undefined") if fitted.attrs.get(key)),
            ],
            facts=fit_facts(fitted, summary),
            figure=pictures[0],
            limits=fit_limits(spikes),
            sections=[Section(heading="Models by layer", figures=pictures[1:], tables=tables, folded=folded)],
            files={
                each.name: FILES.get(each.name) or captions.get(each.name, "Definitions of that table.")
                for each in sorted(part.iterdir())
            },
            provenance=provenance_of(
                [Result(name=name, table=fitted, recording=spikes if isinstance(spikes, Recording) else None)],
                {name: path},
            ),
        )
        say(f"{path}: {_words(fitted)}\n{printed(summary, _shown(summary))}")
    say(f"\n{out / REPORT} shows it all.")
    return out


def simulate_folder(
    folder: Path,
    out: Path,
    *,
    model: str = "label",
    seed: int = 0,
    overwrite: bool = False,
    say: Callable[[str], None] = print,
) -> Path:
    """Simulate the units that `fit_file` fitted, with the layers and trials of their recording, and save the recording.

    Parameters
    ----------
    folder
        Folder that `fit_file` wrote, of a network.
    out
        File to write, in any format of `ann2neo.save`.
    model
        "rate", "label" or "markov".
    seed
        Seed of all units.
    overwrite
        Whether the file may be replaced.
    say
        Called with each line that a person should read.

    Raises
    ------
    FormatError
        If the folder does not hold fitted models of a network.
    """
    missing = [name for name in (TABLE, TRIALS) if not (folder / name).exists()]
    if missing:
        raise FormatError(
            f"{folder} has no {' and no '.join(missing)}.",
            "Parameters or trials are missing, and without them nothing can be drawn (cells have no bins).",
            "Use the folder that `ann2neo fit` wrote for a recording of a network.",
        )
    blank = load(folder / TRIALS)
    made = models.simulate(read_table(folder / TABLE), like=blank, model=model, seed=seed)
    known = {key: value for key, value in made.provenance.items() if key != WITHOUT_SPIKES}
    save(replace(made, provenance=known), out, overwrite=overwrite)
    say(f"{out}: {made.n_units} units simulated from the model {model!r} (seed {seed}).")
    return out


def without_spikes(recording: Recording) -> Recording:
    """Return a recording without spikes, with the same layers, trials and provenance.

    Examples
    --------
    >>> import ann2neo
    >>> blank = without_spikes(ann2neo.from_array(np.ones((9, 2), bool)))
    >>> blank.n_units, blank.n_bins, bool(blank.raster("array").any())
    (2, 9, False)
    """
    layers = []
    for layer in recording.layers:
        raster = layer.raster
        nothing = np.zeros((raster.n_passes, raster.n_units, -(-raster.n_bins // 8)), np.uint8)
        layers.append(replace(layer, raster=Raster(packed=nothing, n_bins=raster.n_bins)))
    return replace(recording, layers=tuple(layers), provenance={**recording.provenance, WITHOUT_SPIKES: True})


def _table(frame: pd.DataFrame, caption: str) -> Table:
    return Table(frame=one_layer_once(frame), caption=caption, definitions=meanings(list(frame)))


def _words(fitted: pd.DataFrame) -> str:
    """Describe what was fitted."""
    attrs = fitted.attrs
    where = f"{attrs['n_bins']} bins of {attrs['n_inputs']} inputs" if "n_bins" in attrs else "observed time"
    notes = "".join(f"; {attrs[key]}" for key in ("left_out", "undefined") if attrs.get(key))
    by = f" by {attrs['by']}" if attrs.get("by") else ""
    return f"{len(fitted)} units in {where}; models: {', '.join(attrs['models'])}{by}{notes}"


def _shown(summary: pd.DataFrame) -> list[str]:
    """Choose the columns of a summary for a page and a terminal."""
    names = (
        *("rate_p_mean", "rate_hz_mean", "label_bits_per_spike_cv_mean", "markov_memory_mean", "gain_rho_mean"),
        *("renewal_cv_mean", "gamma_cv_mean", "inverse_gaussian_cv_mean"),
    )
    shares = [str(name) for name in summary if str(name).startswith("best_bic_share")]
    return [name for name in ("layer", "population", "n_units", "n_silent", *names, *shares) if name in summary]
