"""The demo from real images to a page of results: train, export, analyze, share."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import numpy as np
import torch

from ann2neo.analysis import analyze
from ann2neo.atomic import complete_or_absent
from ann2neo.capture import Inputs, export
from ann2neo.demo import page
from ann2neo.demo.networks import ARCHITECTURES, STATES, Digits, Network, accuracy_of, load_digits, permuted, train
from ann2neo.formats import save
from ann2neo.ownership import results
from ann2neo.progress import progress_bar
from ann2neo.recording import Recording
from ann2neo.results import REPORT
from ann2neo.sharing import share
from ann2neo.tables import write_table

N_HELD_OUT = 300
# A sample: neo writes and reads NIX train by train, which would take most of the demo's time.
NIX_UNITS = 20


def run_demo(
    out: Path,
    *,
    seed: int = 0,
    figure_format: str = "png",
    overwrite: bool = False,
    progress: bool = True,
    say: Callable[[str], None] = print,
) -> Path:
    """Train six small networks on real digits, export their activations, analyze the files with Elephant, and share one.

    The networks are a perceptron and a convolutional network, each with random weights, generalizing (trained on true labels up to an accuracy of 100 % on the training
    images) and memorizing (trained likewise on a permutation of the labels). All are recorded over the training images in presented order. Every number is
    computed by Elephant from the NWB files as neo reads them.

    Parameters
    ----------
    out
        Name of the folder; it appears when the demo is complete.
    seed
        Seed of the split, the weights, the permutation and the order of training.
    figure_format
        Format of the files of figures: "png", "pdf" or "svg"; the page holds images of its own.
    overwrite
        Whether to replace the folder of an earlier demo.
    progress
        Whether to show progress bars.
    say
        Function that is called with each line of output.

    Raises
    ------
    OutputExists
        If the folder exists and may not be replaced.
    """
    with complete_or_absent(out, overwrite=overwrite, marker=results("a demo")) as part, _few_threads():
        digits = load_digits()
        train_set, held_out = _split(digits, seed)
        say(
            f"{len(digits.labels)} digits of scikit-learn: {len(train_set.labels)} for training and recording, {N_HELD_OUT} held out"
        )
        part.mkdir()
        networks = _train_all(train_set, held_out, seed, progress)
        say("\naccuracy\n" + page.accuracies(networks).to_string(index=False))
        recordings = [_export(network, train_set, part, progress) for network in networks]
        say(f"\nexported {len(recordings)} networks to NWB, and up to {NIX_UNITS} units of each to NIX")
        analyzed = [_analyze(n, r, part, progress) for n, r in zip(networks, recordings)]
        say("\n" + page.printed(analyzed))
        bundle = share(part / "mlp-memorizing.nwb", part / "bundle")
        say(f"\nshared mlp-memorizing.nwb as {bundle.name}/ with data card, checksums and the inspector's verdict")
        page.write(analyzed, part, seed=seed, images=train_set.images[:, 0].numpy(), figure_format=figure_format)
    say(f"\n{out / REPORT} shows all results.")
    return out


def _split(digits: Digits, seed: int) -> tuple[Digits, Digits]:
    """Hold out some images, drawn at random; the others keep their order."""
    held = np.sort(np.random.default_rng(seed).permutation(len(digits.labels))[:N_HELD_OUT])
    kept = np.setdiff1d(np.arange(len(digits.labels)), held)
    parts = [Digits(images=digits.images[torch.tensor(ids)], labels=digits.labels[ids]) for ids in (kept, held)]
    return parts[0], parts[1]


def _train_all(train_set: Digits, held_out: Digits, seed: int, progress: bool) -> list[Network]:
    random_labels = permuted(train_set.labels, seed=seed)
    networks = []
    wanted = [(architecture, state) for architecture in ARCHITECTURES for state in STATES]
    for architecture, state in progress_bar(wanted, shown=progress, desc="training", unit="network"):
        with torch.random.fork_rng():
            torch.manual_seed(seed)
            model = ARCHITECTURES[architecture]()
        target = random_labels if state == "memorizing" else train_set.labels
        epochs = 0
        if state != "random":
            epochs = train(
                model, train_set.images, target, seed=seed, name=f"{architecture}, {state}", progress=progress
            )
        accuracies = {
            "target": accuracy_of(model, train_set.images, target),
            "true": accuracy_of(model, train_set.images, train_set.labels),
            "held out": accuracy_of(model, held_out.images, held_out.labels),
        }
        networks.append(
            Network(
                architecture=architecture, state=state, model=model, target=target, epochs=epochs, accuracies=accuracies
            )
        )
    return networks


def _export(network: Network, train_set: Digits, folder: Path, progress: bool) -> Recording:
    """Export all units to NWB and some units to NIX."""
    columns = {"label": train_set.labels}
    if network.state != "random":
        columns["target_label"] = network.target
    inputs = Inputs(train_set.images, labels=columns, dataset="scikit-learn digits", dataset_split="train")
    recording = export(network.model, inputs, folder / f"{network.name}.nwb", progress=progress)
    save(evenly_spaced(recording, NIX_UNITS), folder / f"{network.name}.nix")
    return recording


def evenly_spaced(recording: Recording, n_units: int) -> Recording:
    """View at most ``n_units`` units, spread evenly over each layer in proportion to its size.

    Examples
    --------
    >>> import ann2neo
    >>> evenly_spaced(ann2neo.from_array(np.zeros((2, 10), bool)), 5).layers[0].units
    array([0, 2, 4, 6, 8])
    """
    share_of_units = min(1.0, n_units / recording.n_units)
    chosen = {}
    for layer in recording.layers:
        n = max(1, int(layer.n_units * share_of_units))
        chosen[layer.name] = (np.arange(n) * layer.n_units // n).tolist()
    return recording.select(units=chosen)


def _analyze(network: Network, recording: Recording, folder: Path, progress: bool) -> page.Analyzed:
    """Read the file with neo, and analyze it with Elephant."""
    from neo.io import NWBIO

    path = folder / f"{network.name}.nwb"
    block = NWBIO(str(path), "r").read_block()
    kinds = ["label"] + (["target_label"] if network.state == "memorizing" else [])
    tables = {
        kind: analyze(block, windows=kind, engine="elephant", bin_size_ms=recording.bin_size_ms, progress=progress)
        for kind in kinds
    }
    for kind, table in tables.items():
        # neo's reader does not know the order in which inputs were presented.
        table.attrs["order"] = recording.provenance["input_order"]
        write_table(table, folder / f"{network.name}-by-{kind}.csv")
    return page.Analyzed(network=network, recording=recording, tables=tables)


@contextmanager
def _few_threads() -> Iterator[None]:
    """Use one thread for training: networks this small are slower on several."""
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        yield
    finally:
        torch.set_num_threads(before)
