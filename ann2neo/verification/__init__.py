"""Verifying that the rows of a layer are the inputs: the first batch is run again, and layers that do not follow are left out or refused."""

from ann2neo.verification.verdict import Verdict, together

__all__ = ["Verdict", "together"]
