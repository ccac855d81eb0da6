"""Calibrating threshold rules: the model runs over the inputs of a rule, and its activations are gathered as statistics."""

from ann2neo.capture.calibration.calibrating import Calibration, calibrate
from ann2neo.capture.calibration.recalling import recall

__all__ = ["Calibration", "calibrate", "recall"]
