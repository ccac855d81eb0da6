"""Damage done to files of one kind, one change at a time, and what reading says of it; prints a tally as JSON.

Runs as a process of its own, since a reader that never ends is ended with it: python tests/damage.py SEED N [KIND ...]
"""

import importlib.util
import json
import shutil
import signal
import sys
import tempfile
import warnings
from collections import Counter
from pathlib import Path

import numpy as np
import torch
from store_sources import Batches, data, interrupted, small_columns
from strategies import small_recording

import ann2neo

PATIENCE_S = 30
RECORDINGS = ("zarr", "nwb", "nix", "mat")
KINDS = (*RECORDINGS, "unfinished", "grown", "csv", "parquet", "bundle")


def make(kind, folder):
    """Write something of a kind, and name it."""
    if kind in RECORDINGS:
        path = folder / f"a.{kind}"
        ann2neo.save(small_recording(4, 24), path)
    elif kind in ("unfinished", "grown"):
        path = folder / "a.zarr"
        small_columns()
        if kind == "grown":
            ann2neo.record(small_network(), Batches(data(70), [7] * 10), store=path, progress=False)
        else:
            interrupted(path, 12)
    elif kind == "bundle":
        path = folder / "bundle"
        ann2neo.save(small_recording(4, 24), folder / "a.nwb")
        ann2neo.share(folder / "a.nwb", path)
        (folder / "a.nwb").unlink()
    else:
        path = folder / f"a.{kind}"
        ann2neo.write_table(ann2neo.analyze(small_recording(4, 24), progress=False), path)
    return path


def small_network():
    torch.manual_seed(0)
    return torch.nn.Sequential(torch.nn.Linear(6, 9), torch.nn.ReLU())


def read(path):
    """Read all of it, so that it can be compared."""
    if path.suffix in (".csv", ".parquet"):
        table = ann2neo.read_table(path)
        return table.to_csv(), str(table.dtypes.tolist()), json.dumps(table.attrs, sort_keys=True)
    if path.name == "bundle":
        return len(ann2neo.check(path)), read(next(path.rglob("*.nwb")))[1]
    found = ann2neo.load(path)
    bits = [layer.raster.dense() for layer in found.layers]
    rest = [(x.name, x.shape, x.dtype, x.units.tolist(), x.thresholds.tolist()) for x in found.layers]
    text = json.dumps([found.bin_size_ms, dict(found.provenance), rest, list(found.trials.columns)], default=str)
    return bits, text, found.trials.to_csv(index=False).splitlines()


def same(a, b, kind):
    """Whether both were read alike; of a recording that was interrupted the beginning may be left."""
    if kind in ("csv", "parquet", "bundle"):
        return a == b
    (bits, text, trials), (their_bits, their_text, their_trials) = a, b
    n = len(trials)
    if kind != "unfinished" and n != len(their_trials):
        return False
    return (
        strip(text) == strip(their_text)
        and trials == their_trials[:n]
        and all(np.array_equal(x, y[:, : x.shape[1]]) for x, y in zip(bits, their_bits, strict=True))
    )


def strip(text):
    """Leave out the hash of the order, which is that of the inputs that are there."""
    known = json.loads(text)
    known[1].pop("input_order_sha256", None)
    return known


def damage(path, rng):
    """Change one file in one way, and say how."""
    files = (
        sorted(file for file in path.rglob("*") if file.is_file()) if path.is_dir() else sorted(path.parent.glob("a.*"))
    )
    # All kinds of file alike, so that the many chunks do not hide the rest.
    kinds = sorted({(file.suffix or "chunk", file.parent.name) for file in files})
    kind = kinds[rng.integers(len(kinds))]
    file = rng.choice([f for f in files if (f.suffix or "chunk", f.parent.name) == kind])
    content = bytearray(file.read_bytes())
    how = rng.choice(["bit", "8 bytes", "64 bytes", "64 zeros", "truncated", "deleted"])
    at = int(rng.integers(max(len(content), 1)))
    if how == "deleted":
        file.unlink()
        return how, file
    if how == "bit" and content:
        content[at] ^= 1 << int(rng.integers(8))
    elif how == "truncated":
        del content[at:]
    else:
        size = int(how.split()[0]) if how != "bit" else 0
        content[at : at + size] = bytes(size) if "zeros" in how else rng.bytes(min(size, len(content) - at))
    file.write_bytes(content)
    return how, file


def outcome(path, kind, right):
    """Read what was damaged: unharmed, refused, silent or foreign."""
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            found = read(path)
    except ann2neo.Ann2NeoError:
        return "refused"
    except Exception as error:
        return f"foreign {type(error).__name__}: {error}"[:300]
    return "unharmed" if same(found, right, kind) else "silent"


def tally_of(kind, seed, n):
    """Do damage to copies of one thing."""
    torch.set_num_threads(1)
    rng, tally, bad = np.random.default_rng(seed), Counter(), []
    with tempfile.TemporaryDirectory() as folder:
        (Path(folder) / "right").mkdir()
        path = make(kind, Path(folder) / "right")
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            right = read(path)
        for number in range(n):
            here = Path(folder) / str(number)
            shutil.copytree(Path(folder) / "right", here)
            how, file = damage(here / path.name, rng)
            print(kind, number, how, file.relative_to(here), file=sys.stderr, flush=True)
            # No handler: the operating system ends a reader that never comes back from C.
            signal.alarm(PATIENCE_S)
            said = outcome(here / path.name, kind, right)
            signal.alarm(0)
            tally[said.split()[0]] += 1
            if said not in ("unharmed", "refused"):
                bad.append([number, how, str(file.relative_to(here)), said])
            shutil.rmtree(here)
    return {"tally": tally, "bad": bad}


if __name__ == "__main__":
    seed, n, *kinds = sys.argv[1:]
    there = [kind for kind in kinds or KINDS if kind != "parquet" or importlib.util.find_spec("pyarrow")]
    print(json.dumps({kind: tally_of(kind, int(seed), int(n)) for kind in there}, indent=1))
