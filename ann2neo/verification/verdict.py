"""What verification found out about the layers of a model."""

from __future__ import annotations

import json
import warnings
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

from ann2neo.errors import Ann2NeoWarning
from ann2neo.probe.outputs import Arrangement

DIFFERS = "it differs from run to run: the same batch, run again, gave other values (dropout as a function, noise, or a state kept from the last call)"
NOT_ROWS = "row k is not input k: when inputs change places, its values do not follow (it is sorted, turned, flattened, routed or a table)"
UNCLEAR = "row k is not input k, or it depends on the other inputs and their order: when inputs change places, its values do not follow, and a batch of {n} inputs does not show why"
UNCLEAR_ROWS = UNCLEAR.partition(":")[0]
CONSTANT = "it is the same whatever the inputs are"
NOT_CALLED = "not every batch of these inputs calls it"
NOT_FIRST = "its shape {shape} has no axis of {n} inputs"
NOT_STEPS = "the entries of an input are not its steps: when a step changes, the entry of that step does not"
NOT_STEP_AXIS = "its axis {axis} is not that of steps (channels or heads, perhaps): of inputs with fewer steps, or with another one, it is along axis {others} that it is shorter or changes"
NOT_IN_ORDER = "its entries are not in the order of the steps of an input: when a step changes, the entry of that step does not (steps are sorted, turned round or permuted)"
SHIFTED = "entries of these layers are those of the step before or after: {layers}.\nLabels of steps lie at the bins of the same number, which hold another step.\nShift the labels, or leave these layers out (layers='!name')."
SIZE = "it depends on how many inputs its batch has"
ALIKE = "{paths} is the same for all inputs of the first batch, so that nothing that depends on it was verified there"
DEPENDS = "it depends on the other inputs of its batch (batch statistics, quantization of the whole batch, a graph, recurrence along the batch)"
# Judged like a layer; no layer has such a name.
PREDICTIONS = "the model's predictions"
SHAPES = "inputs had {n} shapes, and rows were verified in {which}"
ALL_IS_WELL = "rows follow their inputs, and come out the same again"


@dataclass(frozen=True, slots=True, kw_only=True)
class Verdict:
    """What was found out about the layers of a model.

    Parameters
    ----------
    left_out
        Layers that cannot be recorded, each with the reason.
    arranged
        Layers in which inputs do not lie along the first axis.
    dependent
        Layers whose rows are the inputs but depend on the other inputs of the batch, each with the reason.
    rounding
        Layers whose values depend on the size of the batch by rounding, each with the share of the inputs for which they do.
    unverified
        Why something could not be verified; empty if all was.
    pending
        Parts of the batch, by path, that were alike for all inputs so far, as those of one input are: the first batch in which they differ is verified too.
    turned
        Whether inputs were found along the second axis of a batch of as many steps.
    predictions
        Why the classes that the model predicts cannot be recorded; empty if they can, or if there are none.
    shifted
        Layers whose entries are those of the step before or after, as in a decoder.
    n_steps
        Steps that a layer should have where each input has some; None where that is not known.
    shapes, n_shapes
        Other shapes of inputs than those of the first batch in which rows were verified after the last one, and how many there were with the first; 0 where there is one.
    """

    left_out: Mapping[str, str] = field(default_factory=dict)
    arranged: Mapping[str, Arrangement] = field(default_factory=dict)
    dependent: Mapping[str, str] = field(default_factory=dict)
    rounding: Mapping[str, float] = field(default_factory=dict)
    unverified: tuple[str, ...] = ()
    pending: tuple[str, ...] = ()
    turned: bool = False
    predictions: str = ""
    shifted: tuple[str, ...] = ()
    n_steps: int | None = None
    shapes: tuple[str, ...] = ()
    n_shapes: int = 0

    def facts(self) -> dict[str, str]:
        """Write the verdict down, flat, for the provenance and the identity of a store."""
        known = {
            "left_out": dict(self.left_out),
            "arranged": {name: [one.kind, one.axis, *(one.moved or ())] for name, one in self.arranged.items()},
            "dependent": dict(self.dependent),
            "rounding": dict(self.rounding),
            "pending": list(self.pending),
            "turned": self.turned,
            "predictions": self.predictions,
            "shifted": list(self.shifted),
            "n_steps": self.n_steps,
            "shapes": list(self.shapes),
            "n_shapes": self.n_shapes,
        }
        known = {key: value for key, value in known.items() if value}
        said = "; ".join((*(self.unverified or _of_alike(self.pending) or [ALL_IS_WELL]), *self._of_shapes()))
        return {"verified": said, **({"verified_json": json.dumps(known, sort_keys=True)} if known else {})}

    @staticmethod
    def of_facts(facts: Mapping[str, Any]) -> Verdict | None:
        """Read what `facts` wrote; None if nothing was."""
        if "verified" not in facts:
            return None
        known = json.loads(str(facts.get("verified_json", "{}")))
        pending = tuple(known.get("pending", ()))
        said = str(facts["verified"]).split("; ")
        found = Verdict(
            left_out=known.get("left_out", {}),
            arranged={name: _arrangement(*one) for name, one in known.get("arranged", {}).items()},
            dependent=known.get("dependent", {}),
            rounding=known.get("rounding", {}),
            pending=pending,
            turned=known.get("turned", False),
            predictions=known.get("predictions", ""),
            shifted=tuple(known.get("shifted", ())),
            n_steps=known.get("n_steps"),
            shapes=tuple(known.get("shapes", ())),
            n_shapes=known.get("n_shapes", 0),
        )
        others = (ALL_IS_WELL, *_of_alike(pending), *found._of_shapes())
        return replace(found, unverified=tuple(one for one in said if one not in others))

    def _of_shapes(self) -> list[str]:
        if not self.n_shapes or (self.unverified and not self.shapes):
            return []
        return [SHAPES.format(n=self.n_shapes, which=", ".join(("that of the first batch", *self.shapes)))]


def _arrangement(kind: Any, axis: int, *moved: int) -> Arrangement:
    return Arrangement(kind, axis, (moved[0], moved[1]) if moved else None)


def predictions_apart(verdict: Verdict) -> Verdict:
    """Tell the predictions, which were judged like a layer, from the layers; what has its inputs elsewhere than along the first axis is none."""
    arranged = {layer: one for layer, one in verdict.arranged.items() if layer != PREDICTIONS}
    why = verdict.left_out.get(PREDICTIONS, "" if len(arranged) == len(verdict.arranged) else NOT_ROWS)
    left_out = {layer: one for layer, one in verdict.left_out.items() if layer != PREDICTIONS}
    return replace(verdict, left_out=left_out, arranged=arranged, predictions=why)


def together(verdicts: Sequence[Verdict]) -> Verdict:
    """Join what several processes found, each in batches of its own, after one verdict of the first batch."""
    least = min(verdicts, key=lambda verdict: len(verdict.pending))
    known = [least, *(one for one in verdicts if one.pending == least.pending)]
    return replace(
        least,
        predictions=next((one.predictions for one in verdicts if one.predictions), ""),
        dependent={layer: why for one in verdicts for layer, why in one.dependent.items()},
        unverified=tuple(dict.fromkeys(why for one in known for why in one.unverified)),
        shapes=tuple(dict.fromkeys(shape for one in verdicts for shape in one.shapes)),
        n_shapes=max(one.n_shapes for one in verdicts),
    )


def _of_alike(pending: Sequence[str]) -> list[str]:
    return [ALIKE.format(paths=", ".join(path or "the input" for path in pending))] if pending else []


def tell(verdict: Verdict, *, left_out: Mapping[str, str], n_recorded: int) -> None:
    """Warn once of layers that are left out, and of those that depend on the other inputs of their batch."""
    if left_out:
        listed = "\n".join(f"  {layer}: {why}" for layer, why in left_out.items())
        text = (
            f"{len(left_out)} activation functions are not recorded, {n_recorded} are:\n{listed}\n"
            "To have no warning leave them out by name (layers='!name'); a model that sorts or packs inside can be recorded with batch_size=1."
        )
        warnings.warn(Ann2NeoWarning(text), stacklevel=2)
    dependent = [layer for layer in verdict.dependent if layer != PREDICTIONS]
    if dependent:
        listed = ", ".join(map(repr, dependent[:20])) + (", ..." if len(dependent) > 20 else "")
        text = (
            f"what these layers give for an input depends on the other inputs of its batch: {listed}.\n"
            "Another batch size or order gives other spikes (batch statistics, quantization of the whole batch, a graph, recurrence along the batch, a division by its size, what the first batch left in the model).\n"
            "Put batch normalization in eval mode, or use batch_first=True, if that is not what you want."
        )
        warnings.warn(Ann2NeoWarning(text), stacklevel=2)
