"""Run `python -m ann2neo ...` many times, in forks of one process that has imported what every command imports."""

import atexit
import functools
import gc
import json
import os
import signal
import subprocess
import sys
import tempfile
from pathlib import Path

ROOT = Path(__file__).parent.parent
# Imports take longer than most commands; none of these begins a thread.
PRELOADED = (
    "torch",
    "pandas",
    "scipy.stats",
    "elephant.statistics",
    "neo",
    "pynwb",
    "matplotlib.figure",
    "ann2neo.cli",
)
PATIENCE_S = 300


def run(folder, *arguments):
    """Run one command in a folder as in a process of its own; give its exit code and what it wrote to standard output and to standard error."""
    server = _server()
    with tempfile.TemporaryDirectory() as place:
        asked = {"folder": str(folder), "arguments": [str(each) for each in arguments], "place": place}
        server.stdin.write(json.dumps(asked) + "\n")
        server.stdin.flush()
        code = server.stdout.readline()
        assert code, "the process that forks has ended"
        said = [Path(place, name).read_text(encoding="utf-8") for name in ("stdout", "stderr")]
    return int(code), *said


@functools.cache
def _server():
    """Start the process that forks, once in each process of tests."""
    server = subprocess.Popen(
        [sys.executable, __file__],
        env=os.environ | {"PYTHONPATH": str(ROOT)},
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    )
    atexit.register(_end, server)
    return server


def _end(server):
    server.stdin.close()
    server.wait(timeout=10)


def _serve():
    """Fork for each line of standard input, and answer with the exit code; commands cannot see these two streams."""
    sys.path.remove(str(Path(__file__).parent))
    asking, answering = os.fdopen(os.dup(0)), os.fdopen(os.dup(1), "w")
    os.dup2(os.open(os.devnull, os.O_RDONLY), 0)
    os.dup2(2, 1)
    for name in PRELOADED:
        __import__(name)
    gc.freeze()
    while line := asking.readline():
        child = os.fork()
        if not child:
            _command(**json.loads(line))
        answering.write(f"{os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])}\n")
        answering.flush()


def _command(folder, arguments, place):
    """Be `python -m ann2neo`, whose first place to look for modules is the folder it runs in."""
    for descriptor, name in ((1, "stdout"), (2, "stderr")):
        os.dup2(os.open(os.path.join(place, name), os.O_WRONLY | os.O_CREAT), descriptor)
    os.chdir(folder)
    sys.path.insert(0, folder)
    sys.argv = [str(ROOT / "ann2neo" / "__main__.py"), *arguments]
    from ann2neo.cli import main

    signal.alarm(PATIENCE_S)
    main()
    sys.exit()


if __name__ == "__main__":
    _serve()
