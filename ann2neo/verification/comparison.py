"""Sinks of verification: what the first batch gave is kept in part, and compared with what reruns of its inputs give."""

from __future__ import annotations

import math
import zlib
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import torch
from jaxtyping import Int

from ann2neo.errors import Ann2NeoError
from ann2neo.probe.outputs import Arrangement, Sink, Watched, possible

# Inputs of which all values are kept, and units that are kept of all inputs.
KEPT_INPUTS, KEPT_UNITS = 8, 64
KEPT_TO_THE_END = 2
# Of the layer's largest value: beyond this a difference is not rounding in any type.
GROSS = 1e-3
# Rows of a rerun that are looked for among those of the first batch.
MOST_SOUGHT = 32
# Rows that are compared with as many others.
MOST_EXCHANGED = 256

Call = tuple[str, int]


@dataclass(frozen=True, slots=True, kw_only=True)
class Kept:
    """What is kept of one call of a layer, in one arrangement.

    Parameters
    ----------
    rows
        All values of some inputs, shape (kept input, ...).
    places, columns
        Some units, and their values for all inputs, shapes (kept unit,) and (input, kept unit).
    """

    rows: torch.Tensor
    places: Int[torch.Tensor, " unit"]
    columns: torch.Tensor

    def on(self, device: torch.device | str) -> Kept:
        """Return the same on a device, or itself if it lies there."""
        if self.rows.device == torch.device(device):
            return self
        return Kept(rows=self.rows.to(device), places=self.places.to(device), columns=self.columns.to(device))


@dataclass(frozen=True, slots=True, kw_only=True)
class Outcome:
    """How a rerun compares with what was kept.

    Parameters
    ----------
    fits
        Whether the layer had one entry for each input of the rerun.
    worst
        Largest difference, as a share of the layer's largest value.
    gross_share
        Share of inputs with a difference beyond rounding.
    n
        Number of inputs that were compared.
    are_others
        Whether each row that differs is, within rounding, that of one other input: rows were exchanged, and nothing is in them that was not there before.
    """

    fits: bool
    worst: float = 0.0
    gross_share: float = 0.0
    n: int = 0
    are_others: bool = False


class Reference:
    """Keeps values of the first batch while another sink takes it in.

    Parameters
    ----------
    inner
        The sink that is shown the same; None for none.
    n_inputs
        Number of inputs of the batch.
    kept
        Inputs of which all values are kept.
    """

    def __init__(self, inner: Sink | None, n_inputs: int, kept: Sequence[int]) -> None:
        self._inner, self.n_inputs, self.kept_inputs = inner, n_inputs, list(kept)
        self.kept: dict[Call, dict[Arrangement, Kept]] = {}
        self.largest: dict[Call, float] = {}
        self.eps: dict[Call, float] = {}
        self.shapes: dict[Call, tuple[int, ...]] = {}
        self._calls: Counter[str] = Counter()

    def take(self, layer: str, watched: Watched, activation: torch.Tensor) -> None:
        """Keep some values, and show them to the other sink."""
        self.see(layer, activation)
        if self._inner is not None:
            self._inner.take(layer, watched, activation)

    def see(self, layer: str, activation: torch.Tensor) -> None:
        """Keep some values."""
        call = (layer, self._calls[layer])
        self._calls[layer] += 1
        activation_ = activation.detach()
        if activation_.layout == torch.strided and activation_.numel():
            self._keep(call, activation_)

    def take_again(self, layer: str, output: Any) -> bool:
        """Return False: every value is to be seen."""
        return False

    def refuse(self, layer: str, error: Ann2NeoError) -> None:
        """Pass on what is wrong with a layer."""
        if self._inner is not None:
            self._inner.refuse(layer, error)

    def drop(self, layers: Sequence[str]) -> None:
        """Forget layers that are not recorded."""
        for call in [call for call in self.kept if call[0] in set(layers)]:
            del self.kept[call]

    def shrink(self, layers: Sequence[str], arranged: Mapping[str, Arrangement]) -> None:
        """Keep no more than what is looked at after the last batch: of these layers, in the arrangement that was found, and all values of very few inputs."""
        self._inner, self.kept_inputs = None, self.kept_inputs[:KEPT_TO_THE_END]
        kept: dict[Call, tuple[Arrangement, Kept]] = {}
        for call, found in self.kept.items():
            if found and call[0] in set(layers):
                wanted = replace(arranged.get(call[0], Arrangement("axis")), moved=None)
                one = wanted if wanted in found else next(iter(found))
                kept[call] = one, found[one]
        self.kept = {
            # Until then a device needs its memory for other things.
            call: {arrangement: replace(one, rows=one.rows[:KEPT_TO_THE_END].clone()).on("cpu")}
            for call, (arrangement, one) in kept.items()
        }

    def layers(self) -> list[str]:
        """Names of the layers of which values are kept."""
        return list(dict.fromkeys(layer for layer, _ in self.kept))

    def _keep(self, call: Call, activation: torch.Tensor) -> None:
        self.shapes[call] = tuple(activation.shape)
        self.largest[call] = _largest(activation)
        self.eps[call] = torch.finfo(activation.dtype).eps
        found = self.kept[call] = {}
        for arrangement in possible(activation, self.n_inputs):
            view = arrangement.inputs_first(activation, self.n_inputs)
            flat = view.reshape(self.n_inputs, -1)
            places = _places(call[0], flat.shape[1]).to(activation.device)
            found[arrangement] = Kept(
                rows=view[self.kept_inputs].clone(), places=places, columns=flat.index_select(1, places)
            )


class Comparison:
    """Compares a rerun, in which each place of the batch holds some input of the first batch, with what was kept.

    Parameters
    ----------
    reference
        What was kept.
    inputs
        Which input of the first batch lies at each place of the rerun, shape (place,).
    """

    def __init__(self, reference: Reference, inputs: Sequence[int]) -> None:
        self._reference, self._inputs = reference, torch.from_numpy(np.asarray(inputs, np.int64))
        self.outcomes: dict[Call, dict[Arrangement, Outcome]] = {}
        self.last_differs = False
        self._calls: Counter[str] = Counter()

    def take(self, layer: str, watched: Watched, activation: torch.Tensor) -> None:
        """Compare an activation at the moment when it exists."""
        self.see(layer, activation)

    def see(self, layer: str, activation: torch.Tensor) -> None:
        """Compare what came out."""
        call = (layer, self._calls[layer])
        self._calls[layer] += 1
        kept = self._reference.kept.get(call)
        self.last_differs = False
        if kept is not None:
            found = self.outcomes[call] = {
                arrangement: self._compare(call, arrangement, one, activation.detach())
                for arrangement, one in kept.items()
            }
            self.last_differs = not any(outcome.fits and not outcome.worst for outcome in found.values())

    def skip(self, layer: str) -> None:
        """Count a call that need not be compared."""
        self._calls[layer] += 1

    def take_again(self, layer: str, output: Any) -> bool:
        """Return False: every value is to be seen."""
        return False

    def refuse(self, layer: str, error: Ann2NeoError) -> None:
        """Ignore it: it was told of the first batch."""

    def _compare(self, call: Call, arrangement: Arrangement, kept: Kept, activation: torch.Tensor) -> Outcome:
        n_places = len(self._inputs)
        if activation.layout != torch.strided or not arrangement.fits(activation, n_places):
            return Outcome(fits=False)
        view, kept = arrangement.inputs_first(activation, n_places), kept.on(activation.device)
        if view.ndim != kept.rows.ndim:
            return Outcome(fits=False)
        largest = self._reference.largest[call] or 1.0
        worst, gross, are_others = 0.0, 0.0, False
        alike, flat = view.shape[1:] == kept.rows.shape[1:], view.reshape(n_places, -1)
        # Of few units all are kept of all inputs.
        if not alike or flat.shape[1] > KEPT_UNITS:
            worst, gross = self._of_rows(view, kept, largest)
        if alike:
            here = flat if flat.shape[1] <= KEPT_UNITS else flat.index_select(1, kept.places)
            there = kept.columns.index_select(0, self._inputs.to(view.device))
            if not torch.equal(here, there):
                by_input = distances(here, there).amax(1) / largest
                worst = max(worst, float(by_input.max()))
                gross = max(gross, float((by_input > GROSS).double().mean()))
                rows = here[by_input > GROSS]
                are_others = arrangement.is_plain and (
                    _are_rows_of(rows, kept.columns, largest) or _are_exchanged(rows, there[by_input > GROSS], largest)
                )
        return Outcome(fits=True, worst=worst, gross_share=gross, n=n_places, are_others=are_others)

    def _of_rows(self, view: torch.Tensor, kept: Kept, largest: float) -> tuple[float, float]:
        """Compare all values of the kept inputs: largest difference, and share of those beyond rounding."""
        number = {k: i for i, k in enumerate(self._reference.kept_inputs)}
        pairs = [(place, number[i]) for place, i in enumerate(self._inputs.tolist()) if i in number]
        if not pairs:
            return 0.0, 0.0
        places, own = torch.tensor(pairs, device=view.device).unbind(1)
        common = tuple(slice(0, min(sizes)) for sizes in zip(view.shape[1:], kept.rows.shape[1:]))
        here = view[places][(slice(None), *common)].flatten(1)
        every = kept.rows[(slice(None), *common)].flatten(1)
        if not here.shape[1] or torch.equal(here, every[own]):
            return 0.0, 0.0
        by_row = distances(here, every[own]).amax(1) / largest
        return float(by_row.max()), float((by_row > GROSS).double().mean())


def is_close(reference: Reference, outcome: Outcome | None, call: Call) -> bool:
    """Whether a call gave the same again, within rounding."""
    eps = reference.eps[call]
    return outcome is not None and outcome.fits and outcome.worst <= (16 if eps < 1e-5 else 4) * eps


def _largest(activation: torch.Tensor) -> float:
    """Largest absolute value among those that are finite."""
    low, high = (float(one) for one in torch.aminmax(activation))
    largest = max(abs(low), abs(high))
    if math.isfinite(largest):
        return largest
    finite = activation[torch.isfinite(activation)]
    return float(finite.abs().max()) if finite.numel() else 0.0


def distances(a: torch.Tensor, b: torch.Tensor) -> torch.Tensor:
    """Absolute differences in double precision; of two NaN, or the same infinities, 0."""
    a, b = a.double(), b.double()
    distance = torch.where((a == b) | (a.isnan() & b.isnan()), 0.0, (a - b).abs())
    return distance.nan_to_num(nan=float("inf"))


def _are_rows_of(rows: torch.Tensor, known: torch.Tensor, largest: float) -> bool:
    """Whether there are rows, and each is one of the known ones, and that one is like no other."""
    some = rows[:MOST_SOUGHT]
    # Bit by bit would miss what another kernel computes; what depends on other inputs differs by more.
    found = [(distances(row[None], known).amax(1) <= GROSS * largest).nonzero().flatten() for row in some]
    if not found or any(one.numel() != 1 for one in found):
        return False
    sought = {int(one) for one in found}
    return all(int((distances(known[[k]], known).amax(1) <= GROSS * largest).sum()) == 1 for k in sought)


def _are_exchanged(rows: torch.Tensor, expected: torch.Tensor, largest: float) -> bool:
    """Whether rows are those that were expected, in other places: there are as many of each kind, also of silent ones, which are like others."""
    if not 0 < len(rows) <= MOST_EXCHANGED:
        return False
    n_here, n_there = (
        torch.stack([(distances(row[None], all_of) <= GROSS * largest).all(1).sum() for row in rows])
        for all_of in (rows, expected)
    )
    return bool((n_here == n_there).all())


def _places(layer: str, n_units: int) -> Int[torch.Tensor, " unit"]:
    if n_units <= KEPT_UNITS:
        return torch.arange(n_units)
    generator = torch.Generator().manual_seed(zlib.crc32(layer.encode()))
    return torch.randint(n_units, (KEPT_UNITS,), generator=generator).sort().values
