"""Wrong calls over the library and the command line, and whether each is refused with a cure that works: python tests/wrong_calls.py; prints a tally as JSON.

`wrong_calls.txt` has a call a line, the class of its error and a part of its message. Where the message says ``Use NAME=VALUE``, the call is made again with that
argument; where a line ends in ``>>`` and a call, that is what the message's cure comes to. Both must work. It runs as a process of its own, without the checks of
types that the tests switch on, so that what is seen is what a user sees.
"""

import ast
import json
import os
import re
import shlex
import shutil
import sys
import tempfile
import time
import warnings
from pathlib import Path

import click
import neo
import numpy as np
import pandas as pd
import quantities as pq
import torch
from click.testing import CliRunner
from torch import nn

import ann2neo
from ann2neo import chance, figures, models, population, surrogates
from ann2neo.cli import commands
from ann2neo.pseudotime import PseudoTime

TABLE = Path(__file__).with_suffix(".txt")
CURE = re.compile(r"^Use (\w+)=(.+?)(?:, for instance)?\.$", re.MULTILINE)
NETS = """
import torch
from torch import nn

def model():
    torch.manual_seed(0)
    return nn.Sequential(nn.Linear(6, 9), nn.ReLU(), nn.Linear(9, 4), nn.ReLU())

inputs = torch.randn(20, 6)
number = 3
"""


class Usage(click.ClickException):
    """What click says of a command line that it cannot read."""


def cli(line):
    """Call a command in this process; raise what it says."""
    done = CliRunner().invoke(commands, shlex.split(line))
    if isinstance(done.exception, ann2neo.Ann2NeoError):
        raise done.exception
    if done.exit_code == 2:
        raise Usage(" ".join(done.output.split("Error: ")[-1].split()))
    if done.exit_code:
        raise done.exception or AssertionError(done.output)
    return done.output


def record(*given, **options):
    """Record without a bar."""
    return ann2neo.record(*given, **{"progress": False} | options)


def names():
    """What the calls of the table speak of."""
    rng = np.random.default_rng(0)
    torch.manual_seed(0)
    spikes = rng.random((40, 8)) < 0.5
    flat = ann2neo.from_array(spikes, labels=[0, 1, 2, 3] * 10)
    table = ann2neo.analyze(flat, progress=False)
    other = ann2neo.analyze(surrogates.permute(flat, seed=1, progress=False), progress=False)
    found = {
        **{name: getattr(ann2neo, name) for name in ann2neo.__all__},
        "np": np,
        "pd": pd,
        "pq": pq,
        "nn": nn,
        "neo": neo,
        "torch": torch,
        "PseudoTime": PseudoTime,
        "chance": chance,
        "figures": figures,
        "models": models,
        "population": population,
        "surrogates": surrogates,
        "ann2neo": ann2neo,
        "cli": cli,
        "record": record,
        "nan": float("nan"),
        "spikes": spikes,
        "flat": flat,
        "raster": flat.layers[0].raster,
        "model": nn.Sequential(nn.Linear(6, 9), nn.ReLU(), nn.Linear(9, 4), nn.ReLU()),
        "x": torch.randn(20, 6),
        "table": table,
        "other": other,
        "summary": ann2neo.summarize(table),
        "fitted": models.fit(flat, progress=False),
        "block": ann2neo.to_block(flat),
        "train": neo.SpikeTrain([1.0, 5.0, 20.0] * pq.ms, t_stop=40 * pq.ms),
        "plain": ann2neo.from_array(spikes),
        "units": {"units": np.arange(8), "thresholds": np.zeros(8), "raster": flat.layers[0].raster},
        "parts": {"layers": flat.layers, "trials": flat.trials, "bin_size_ms": 1.0, "provenance": {}},
    }
    ann2neo.save(flat, "rec.zarr")
    ann2neo.save(flat, "rec.nwb")
    ann2neo.write_table(table, "t.csv")
    ann2neo.write_table(other, "t2.csv")
    Path("nets.py").write_text(NETS)
    Path("spikes.txt").write_text("1.5 2.5 10\n3 4 5\n")
    return found


def rows(text):
    """Read the table: call, error, part of the message, and a call that the cure comes to."""
    for number, line in enumerate(text.splitlines(), start=1):
        if line.strip() and not line.startswith("#"):
            call, _, rest = line.partition(" !! ")
            rest, _, right = rest.partition(" >> ")
            error, _, said = rest.partition(": ")
            yield number, call.strip(), error, said.strip(), right.strip()


def cured(call, message):
    """Write a call as its error says; None where the cure is in words."""
    found = CURE.search(message)
    if found is None:
        return None
    name, value = found.groups()
    try:
        tree, new = ast.parse(call, mode="eval"), ast.parse(value, mode="eval").body
    except SyntaxError:
        return None
    keywords = [k for node in ast.walk(tree) if isinstance(node, ast.Call) for k in node.keywords if k.arg == name]
    if len(keywords) != 1:
        return None
    keywords[0].value = new
    return ast.unparse(tree)


def tried(call, known):
    """Make a call; return its error, or None."""
    try:
        eval(call, dict(known))
    except Exception as error:
        return error
    return None


def verdict(call, error, said, right, known):
    """What is wrong with a line of the table, and whether its cure was executed."""
    raised = tried(call, known)
    if raised is None:
        return "accepted", False
    message = str(raised)
    if type(raised).__name__ != error:
        return f"{type(raised).__name__}, not {error}: {message[:200]}", False
    if said not in " ".join(message.split()):
        return f"does not say {said!r}: {message[:300]}", False
    if isinstance(raised, ann2neo.Ann2NeoError) and len(message.splitlines()) < 3:
        return f"lacks a fact, a consequence or a cure: {message}", False
    better = right or cured(call, message)
    failed = tried(better, known) if better else None
    return (f"cure {better} fails: {type(failed).__name__}: {failed}"[:400] if failed else None), bool(better)


def tally_of(text):
    """Make all calls of a table."""
    home, tally, failures = Path.cwd(), {"calls": 0, "refused": 0, "cures": 0}, []
    with tempfile.TemporaryDirectory() as folder, warnings.catch_warnings():
        warnings.simplefilter("ignore")
        os.chdir(folder)
        try:
            known = names()
            for number, call, error, said, right in rows(text):
                began = time.perf_counter()
                wrong, executed = verdict(call, error, said, right, known)
                tally["calls"] += 1
                tally["refused"] += wrong is None
                tally["cures"] += executed
                failures += [] if wrong is None else [f"line {number}: {call}: {wrong}"]
                for left in set(os.listdir()) - {
                    "rec.zarr",
                    "rec.nwb",
                    "t.csv",
                    "t2.csv",
                    "nets.py",
                    "spikes.txt",
                    "t.csv-metadata.json",
                    "t2.csv-metadata.json",
                }:
                    (shutil.rmtree if Path(left).is_dir() else os.unlink)(left)
                if "--times" in sys.argv:
                    print(f"{time.perf_counter() - began:.2f}", call, file=sys.stderr)
        finally:
            os.chdir(home)
    return tally | {"failures": failures}


if __name__ == "__main__":
    torch.set_num_threads(1)
    print(json.dumps(tally_of(TABLE.read_text()), indent=1))
