"""From a torch model and its inputs to packed spikes."""

from ann2neo.capture.inputs import Inputs
from ann2neo.capture.passes import Passes
from ann2neo.capture.planning import plan
from ann2neo.capture.populations import Sample
from ann2neo.capture.recorder import RecordOptions, export, record
from ann2neo.capture.steps import Steps

__all__ = ["Inputs", "Passes", "RecordOptions", "Sample", "Steps", "export", "plan", "record"]
