"""From a torch model and its inputs to packed spikes."""

from ann2neo.capture.inputs import Inputs
from ann2neo.capture.recorder import RecordOptions, export, plan, record

__all__ = ["Inputs", "RecordOptions", "export", "plan", "record"]
