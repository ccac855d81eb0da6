"""Options that several commands have."""

from __future__ import annotations

from pathlib import Path

import click

PATH = click.Path(path_type=Path)

quiet = click.option("--quiet", is_flag=True, help="Show no progress bars.")
method = click.option(
    "--method",
    type=click.Choice(["bh", "by"]),
    default="bh",
    show_default=True,
    help="Correction of p values: Benjamini-Hochberg, or Benjamini-Yekutieli for any dependence.",
)
windows = click.option(
    "--windows",
    metavar="WINDOWS",
    help="In what spikes are counted: 'label', 'trial', another column or Epoch, a number of bins, or a duration such as 500ms.",
)
order = click.option(
    "--order", type=click.Choice(["presented", "label"]), help="Order in which trials are read, for our recordings."
)
bin_size_ms = click.option("--bin-size-ms", type=float, help="Bin size of foreign spike trains that lie on a lattice.")
engine = click.option("--engine", type=click.Choice(["auto", "elephant", "bulk"]), default="auto", show_default=True)
