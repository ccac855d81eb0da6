"""Elephant without its side effects: imported late, and silent where what it warns of is documented here."""

from __future__ import annotations

import contextlib
import io
import warnings
from collections.abc import Iterator


@contextlib.contextmanager
def quiet_elephant() -> Iterator[None]:
    """Ignore Elephant's warnings and messages, and leave the process-wide filter of warnings as it was."""
    with warnings.catch_warnings(), contextlib.redirect_stdout(io.StringIO()):
        # Its import adds a filter of its own in front, so that ours has to come after it.
        import elephant.spike_train_correlation
        import elephant.statistics  # noqa: F401

        warnings.simplefilter("ignore")
        yield
