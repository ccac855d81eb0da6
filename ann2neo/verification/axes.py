"""Axes: along which axis of a batch its inputs lie, where nothing but its shape says so."""

from __future__ import annotations

import warnings
from collections.abc import Mapping, Sequence

from ann2neo.errors import Ann2NeoWarning, InputsError
from ann2neo.probe.outputs import Arrangement
from ann2neo.verification.comparison import Call, Comparison, Reference
from ann2neo.verification.places import halves, has_steps, kept_inputs, mixed
from ann2neo.verification.reruns import OUTPUT, NotVerifiable, Reruns

EITHER = "nothing says which axis of the first batch is that of its inputs: it has {n} entries along its first and its second one, layers follow both, and the first was taken"
CURE_OF_EITHER = (
    "If its steps come first, each bin is a step and not an input.\n"
    "Give batches of another number of inputs, and say it with Inputs(data, n_inputs=lambda batch: ...) if steps come first; or a tensor or data set, whose first axis is that of inputs."
)


def tell_of_either_axis(
    reruns: Reruns, order: Sequence[int], in_order: Sequence[int], following: Mapping[Call, list[Arrangement]]
) -> None:
    """Warn if nothing says which axis of a batch is that of its inputs: it has as many steps, and everything follows what moves along either."""
    if reruns.axis is not None or not reruns.is_square or not all(following.values()):
        return
    if reruns.preferred or reruns.first_only or not reruns.n_left:
        return
    reruns.preferred = 1
    try:
        again, _ = reruns.rerun(order, in_order)
    except NotVerifiable:
        return
    finally:
        reruns.preferred = 0
    if all(reruns.following(again, call) for call in following):
        said = EITHER.format(n=reruns.n)
        reruns.unverified.append(said)
        warnings.warn(Ann2NeoWarning(f"{said}.\n{CURE_OF_EITHER}"), stacklevel=2)


def see_whether_steps_are_first(reruns: Reruns, wrong: Sequence[Call]) -> None:
    """See whether what does not follow inputs along the first axis of a batch follows them along the second: then its steps come first.

    Where batches come as they are it is refused; of a tensor or array, whose first axis is that of inputs, it is told.

    Parameters
    ----------
    reruns
        The batch, and how it is run again.
    wrong
        Layers, and parts of what the model returns, that do not follow along the first axis.

    Raises
    ------
    InputsError
        If all layers, and what the model returns, follow the entries of the second axis.
    """
    shape = next((tuple(part.shape) for _, part in reruns.movable if has_steps(part, reruns.n)), (0, 0))
    n, n_here = int(shape[1]), reruns.n
    if not n or reruns.n_left < 2 or reruns.preferred:
        return
    other = Reruns(reruns.run, reruns.x, n, Reference(None, n, kept_inputs(n)), axis=1, sees_output=True)
    order = mixed(halves(n)[1], n) if n > 1 else [0, 0]
    again = Comparison(other.reference, order)
    try:
        other.run_once(reruns.x, other.reference, n)
        other.run_once(other.taken(order, first_only=False), again, len(order))
    # A model that cannot take other entries along the second axis has something else than inputs there.
    except Exception:
        return
    finally:
        reruns.n_left -= 2
    if not all(call in other.reference.kept and other.following(again, call) for call in {*again.outcomes, *wrong}):
        return
    layers = dict.fromkeys("what the model returns" if one.startswith(OUTPUT) else repr(one) for one, _ in wrong)
    follows = "follow" if len(layers) > 1 else "follows"
    what = f"{', '.join(list(layers)[:5])} {follows} the {n} entries of the second axis of a batch of shape {shape}, and not the {n_here} of its first"
    if reruns.axis is not None:
        text = (
            f"{what}.\nIf steps come first in it, each bin is a step and not an input: inputs lie along the first axis of a tensor or data set.\n"
            "Give Inputs(x.transpose(0, 1), forward=lambda model, x: model(x.transpose(0, 1))), or use batch_first=True in the model."
        )
        warnings.warn(Ann2NeoWarning(text), stacklevel=2)
        return
    raise InputsError(
        f"{what}, which were taken for inputs.",
        "Its steps come first, it seems: a bin would be a step.",
        f"Say how many inputs a batch holds, Inputs(data, n_inputs=lambda batch: ...): {n} in this one, or {n_here} if the first axis is that of inputs all the same.",
    )
