"""What made a recording, as flat facts; what is unknown is left out."""

from __future__ import annotations

import inspect
import subprocess
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import torch

from ann2neo.capture.running import Job
from ann2neo.recording import SCHEMA
from ann2neo.versions import software


def described(job: Job, *, batch_size: int) -> dict[str, Any]:
    """Describe a job: model, data, mode, numbers, software."""
    parameter = next(job.module.parameters(), None)
    device = torch.device("cpu") if parameter is None else parameter.device
    known = {"dataset": job.inputs.dataset, "dataset_split": job.inputs.dataset_split}
    return {
        "schema": SCHEMA,
        "model_class": f"{type(job.module).__module__}.{type(job.module).__qualname__}",
        **{key: value for key, value in known.items() if value is not None},
        "input_order": "presented",
        **_mode(job),
        "batch_size": batch_size,
        "dtype": next(iter(job.observer.layers.values())).dtype,
        "device": str(device),
        "autocast": torch.is_autocast_enabled(device.type),
        "torch_threads": torch.get_num_threads(),
        "software": software("torch", "numpy"),
        **_commit(type(job.module)),
        "created": datetime.now(UTC).isoformat(timespec="seconds"),
    }


def _mode(job: Job) -> dict[str, Any]:
    known: dict[str, Any] = {"module_mode": "eval"}
    if job.steps is not None:
        known["steps_axis"] = job.steps.axis
    if job.passes is not None:
        active = job.passes.active if isinstance(job.passes.active, str) else list(job.passes.active)
        known |= {"module_mode": "eval, some modules stochastic", "passes_active": active, "seed": job.passes.seed}
    return known


def _commit(model: type) -> dict[str, Any]:
    """Give the commit that is checked out where the file of a model's class lies, if git knows the file."""
    try:
        file = Path(inspect.getfile(model)).absolute()
        known = _git(file.parent, "ls-files", "--error-unmatch", file.name)
        return {"git_commit": _git(file.parent, "rev-parse", "HEAD")} if known else {}
    except (OSError, TypeError, subprocess.SubprocessError):
        return {}


def _git(folder: Path, *command: str) -> str:
    done = subprocess.run(["git", *command], cwd=folder, check=True, capture_output=True, text=True, timeout=10)
    return done.stdout.strip()
