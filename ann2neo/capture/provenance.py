"""What made a recording, as flat facts, and notes of what the caller knows of it; what is unknown is left out."""

from __future__ import annotations

import os
import platform
import select
import shutil
import subprocess
import sys
import sysconfig
import time
from collections.abc import Iterable, Mapping, Sequence
from datetime import UTC, datetime
from functools import cache, lru_cache
from pathlib import Path
from typing import Any

import torch
from torch import nn

from ann2neo.capture.job import Job
from ann2neo.errors import AnnotationError, StoreError
from ann2neo.outline import check_provenance, plain
from ann2neo.recording import NOTES, SCHEMA, notes_of
from ann2neo.versions import software

Note = str | bool | int | float


def provenance_of_notes(notes: Mapping[str, Any] | None) -> dict[str, Any]:
    """Write notes down as facts of the provenance.

    Raises
    ------
    AnnotationError
        If a key is not an identifier, or a value is neither a text nor a number.

    Examples
    --------
    >>> provenance_of_notes({"epoch": 3, "rule": "hebb"})
    {'notes_epoch': 3, 'notes_rule': 'hebb'}
    """
    if not isinstance(notes, Mapping | None):
        raise AnnotationError(
            f"notes={notes!r} are not notes.", "Nothing was recorded.", 'Use notes={"epoch": 3, "seed": 1}.'
        )
    found: dict[str, Any] = {}
    for key, value in (notes or {}).items():
        if not isinstance(key, str) or not key or not f"{NOTES}{key}".isidentifier():
            raise AnnotationError(
                f"{key!r} cannot be the key of a note.",
                "It would be no name of a column.",
                "Use letters, digits and underscores.",
            )
        written = plain(value)
        if not isinstance(written, Note):
            raise AnnotationError(
                f"the note {key!r} is of type {type(value).__name__}.",
                "File formats keep flat values only.",
                "Use a text or a number; several go by keys of their own.",
            )
        found[f"{NOTES}{key}"] = written
    check_provenance(found)
    return found


def check_notes(path: Any, there: Mapping[str, Any], here: Mapping[str, Any]) -> None:
    """Refuse a store whose recording goes by other notes.

    Raises
    ------
    StoreError
        If a note differs, is missing, or was not given.
    """
    old, new = notes_of(there), notes_of(here)
    if old != new:
        raise StoreError(
            f"{path} holds a recording with other notes ({described_notes(old)} there, {described_notes(new)} here).",
            "What is there would go by notes that it does not have; nothing was recorded.",
            "Give the same notes, or record into another store.",
        )


def described_notes(notes: Mapping[str, Any]) -> str:
    """Write notes down in one line.

    Examples
    --------
    >>> described_notes({"notes_epoch": 3, "notes_rule": "hebb"}), described_notes({})
    ("epoch=3, rule='hebb'", 'none')
    """
    return ", ".join(f"{key.removeprefix(NOTES)}={value!r}" for key, value in notes.items()) or "none"


PATIENCE_S = 10.0
# Set where a hook of git runs, these would point to another repository than the one that is asked about.
ELSEWHERE = ("GIT_DIR", "GIT_WORK_TREE", "GIT_INDEX_FILE")


def described(job: Job, *, batch_size: int) -> dict[str, Any]:
    """Describe a job that has run a batch: model, data, mode, numbers, software."""
    known = {"dataset": job.inputs.dataset, "dataset_split": job.inputs.dataset_split}
    return {
        "schema": SCHEMA,
        "model_class": f"{type(job.module).__module__}.{type(job.module).__qualname__}",
        **{key: value for key, value in known.items() if value is not None},
        "input_order": "presented",
        **_mode(job),
        **job.checks.facts(),
        "batch_size": batch_size,
        **({"identical_inputs_in_first_batch": job.checks.n_repeated} if job.checks.n_repeated else {}),
        **({} if job.caller.n_outputs is None else {"n_outputs": job.caller.n_outputs}),
        **_numbers(job),
        "torch_threads": torch.get_num_threads(),
        "software": f"{software('torch', 'numpy')}, Python {platform.python_version()}",
        **_commit(job.module),
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


def _numbers(job: Job) -> dict[str, Any]:
    """Describe in which types and where each layer was seen to be computed."""
    layers = list(job.sink.layers.values())
    cast = [layer.autocast for layer in layers if layer.autocast is not None]
    return {
        "dtype": _each(layer.dtype for layer in layers),
        "device": _each(str(layer.threshold.device) for layer in layers),
        "autocast": bool(cast),
        **({"autocast_dtype": _each(cast)} if cast else {}),
    }


def _each(values: Iterable[str]) -> str:
    """List values, each once: one text, whether there is one or several."""
    return ", ".join(dict.fromkeys(values))


def _commit(module: nn.Module) -> dict[str, str]:
    """Return the commit that is checked out where the code of a model lies, and which repository it belongs to.

    That is the first file that git tracks among those of the classes of the model and its parts and the script that is run; where there is none, the working directory.
    As `git describe --dirty` does, ``-dirty`` says that tracked files differ from the commit; or that one of these files is not in it.
    """
    try:
        files, here = _own_files(module), _repository(Path.cwd())
        of_files = {file: _repository(file) for file in files}
        for top in dict.fromkeys([*of_files.values(), here]):
            own = [file.relative_to(top).as_posix() for file in files if of_files[file] == top] if top else []
            tracked = _tracked(top, tuple(own), _index_of(top)) if top and own else []
            if top is not None and (tracked or top == here):
                found = _checked_out(top, own_is_missing=len(tracked) < len(own))
                return {"git_commit": found, "git_commit_of": [*tracked, "working directory"][0]} if found else {}
    except (OSError, subprocess.SubprocessError):
        pass
    return {}


def _own_files(module: nn.Module) -> list[Path]:
    """List the files of the classes of a model and its parts, and the script that is run; none of installed packages, of torch, of ours."""
    names = [type(part).__module__ for part in module.modules()]
    found = [getattr(sys.modules.get(name), "__file__", None) for name in dict.fromkeys([*names, "__main__"])]
    files = [path for file in found if file is not None and (path := _own_file(file)) is not None]
    return list(dict.fromkeys(files))


@cache
def _own_file(file: str) -> Path | None:
    """Find a file beneath symbolic links; None if it is of an installed package, of Python, of torch or of ours."""
    path = Path(file).resolve()
    others = [Path(torch.__file__).parent, Path(__file__).parents[1]]
    others += [Path(sysconfig.get_path(name)) for name in ("stdlib", "scripts")]
    installed = {"site-packages", "dist-packages"} & set(path.parts)
    return None if installed or any(path.is_relative_to(folder) for folder in others) else path


def _repository(place: Path) -> Path | None:
    """Find the innermost repository around a file or folder."""
    folders = (place, *place.parents)
    return next((folder for folder in folders if os.path.exists(f"{folder}{os.sep}.git")), None)


def _index_of(top: Path) -> tuple[int, ...]:
    """Tell versions of a repository's index apart, which git replaces by another file whenever it changes what is tracked."""
    folder = top / ".git"
    if folder.is_file():
        # Of a worktree, or a submodule.
        folder = top / folder.read_text().removeprefix("gitdir:").strip()
    try:
        found = os.stat(folder / "index")
    except FileNotFoundError:
        return ()
    return found.st_ino, found.st_size, found.st_mtime_ns, found.st_ctime_ns


@lru_cache(64)
def _tracked(top: Path, files: Sequence[str], index: tuple[int, ...]) -> list[str]:
    """Return those files of a repository that git tracks, as long as its index is the same; whether they were edited is asked each time."""
    known = _git(top, "--literal-pathspecs", "ls-files", "-z", "--", *files).split("\0")
    return [file for file in files if file in known]


def _checked_out(top: Path, *, own_is_missing: bool) -> str | None:
    """Name the commit that is checked out, and say if it is not all; None before the first commit."""
    status = ("status", "--porcelain=v2", "--branch", "--no-ahead-behind", "--untracked-files=no")
    lines = _git(top, "--no-optional-locks", *status).splitlines()
    commit = next((line.split()[2] for line in lines if line.startswith("# branch.oid ")), "(initial)")
    is_dirty = own_is_missing or any(not line.startswith("#") for line in lines)
    return None if commit == "(initial)" else commit + ("-dirty" if is_dirty else "")


def _git(folder: Path, *command: str) -> str:
    """Run git and return what it writes, without what `subprocess.run` needs to wait for two pipes at once: several times a second this is most of a small recording.

    Raises
    ------
    OSError, subprocess.SubprocessError
        If there is no git, it fails, or takes longer than `PATIENCE_S`.
    """
    elsewhere = any(name in os.environ for name in ELSEWHERE)
    environment = {name: os.environ[name] for name in os.environ if name not in ELSEWHERE} if elsewhere else None
    line = [_program("git"), "-C", os.fspath(folder), *command]
    silent = subprocess.DEVNULL
    with subprocess.Popen(line, env=environment, stdin=silent, stdout=subprocess.PIPE, stderr=silent, close_fds=False) as process:  # fmt: skip
        written, until = [], time.monotonic() + PATIENCE_S
        place = process.stdout.fileno() if process.stdout is not None else -1
        while True:
            if not select.select([place], [], [], max(0.0, until - time.monotonic()))[0]:
                process.kill()
                raise subprocess.TimeoutExpired(line, PATIENCE_S)
            part = os.read(place, 1 << 16)
            if not part:
                break
            written.append(part)
    if process.returncode:
        raise subprocess.CalledProcessError(process.returncode, line)
    return b"".join(written).decode("utf-8", errors="replace")


@cache
def _program(name: str) -> str:
    """Find a program; where its path is known it is started without a copy of this process."""
    return shutil.which(name) or name
