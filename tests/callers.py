"""Which test runs which line of the package, and how long each test takes: what `mutations.py` asks before it changes a line."""

import json
import os
import sys
import threading
from collections import defaultdict
from inspect import CO_OPTIMIZED

import pytest
from numba.core import event


class Observer(event.Listener):
    """Observe tests while they run: lines of the package by test, and seconds of those that pass. What is compiled meanwhile is not followed, as it takes long."""

    def __init__(self, root, file):
        self.root, self.file = f"{root}/ann2neo/", file
        self.now, self.seconds, self.lines = None, {}, defaultdict(set)
        self.prepared = "", 0.0

    def called(self, frame, event, argument):
        """Follow the lines of a function of the package, for `sys.settrace`; what runs while a module is imported is not of a test."""
        code = frame.f_code
        if self.now and code.co_flags & CO_OPTIMIZED and code.co_filename.startswith(self.root):
            name, lines, now = code.co_filename, self.lines, self.now
            lines[name, code.co_name].add(now)

            def followed(frame, event, argument):
                if event == "line":
                    lines[name, frame.f_lineno].add(now)
                return followed

            return followed
        return None

    @pytest.hookimpl(hookwrapper=True)
    def pytest_runtest_protocol(self, item):
        """Observe one test with its fixtures."""
        self.now = item.nodeid
        threading.settrace(self.called)
        sys.settrace(self.called)
        with event.install_listener("numba:compile", self):
            yield
        sys.settrace(None)
        threading.settrace(None)
        self.now = None

    def on_start(self, event):
        """Leave alone what compiles."""
        sys.settrace(None)

    def on_end(self, event):
        """Go on, when it is compiled."""
        sys.settrace(self.called)

    def pytest_runtest_logreport(self, report):
        """Keep the time of tests that pass, with what is prepared for them or for other cases of the same test: each fork prepares it again."""
        function = report.nodeid.split("[")[0]
        if report.when == "setup":
            before = self.prepared[1] if self.prepared[0] == function else 0.0
            self.prepared = function, max(report.duration, before)
        if report.when == "call" and report.passed:
            self.seconds[report.nodeid] = report.duration + self.prepared[1]

    def pytest_sessionfinish(self):
        """Write what was observed; tests are named by their number."""
        number = {name: i for i, name in enumerate(self.seconds)}
        lines, root = defaultdict(set), self.root.removesuffix("ann2neo/")
        for (file, place), names in self.lines.items():
            tests = {number[name] for name in names if name in number}
            lines[f"{file.removeprefix(root)}:{place}"] |= tests
            lines[f"{file.removeprefix(root)}:"] |= tests
        known = {"seconds": self.seconds, "lines": {place: sorted(tests) for place, tests in lines.items() if tests}}
        self.file.write_text(json.dumps(known))


def observe(root, file, names):
    """Run every test in a fork, and write which test runs what."""
    child = os.fork()
    if not child:
        try:
            pytest.main(["-q", "-p", "no:cacheprovider", *names], plugins=[Observer(root, file)])
        finally:
            os._exit(0)
    os.waitpid(child, 0)


def tests_of(known, file, line, around):
    """List the tests that run a line, the quickest first: of its function where the line is not seen, of its file where no function is (compiled code, module level)."""
    seconds = list(known["seconds"].items())
    places = (f"{file}:{line}", f"{file}:{around}") if around else ()
    found = next((known["lines"][place] for place in (*places, f"{file}:") if place in known["lines"]), [])
    return [name for name, _ in sorted((seconds[number] for number in found), key=lambda each: each[1])]
