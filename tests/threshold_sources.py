"""Networks and inputs whose thresholds are calibrated, and the same thresholds by hand."""

import copy

import torch
from torch import nn

import ann2neo
from ann2neo.capture.calibration import calibrate
from ann2neo.capture.inputs import as_inputs
from ann2neo.capture.job import job_of
from ann2neo.capture.spikes.statistics import Statistics
from ann2neo.thresholds import MAX_BYTES

X = torch.randn(37, 6, generator=torch.Generator().manual_seed(0))
ON = torch.randn(101, 6, generator=torch.Generator().manual_seed(1))
DTYPES = [torch.float16, torch.bfloat16, torch.float32, torch.float64]


def record(model, inputs=X, **options):
    return ann2neo.record(model, inputs, progress=False, **options)


def perceptron():
    torch.manual_seed(0)
    return nn.Sequential(nn.Linear(6, 9), nn.ReLU(), nn.Linear(9, 5), nn.Sigmoid(), nn.Linear(5, 3))


def activations(model, upto, inputs=ON):
    """Activations of all inputs, by running the model up to a layer, (input, unit) in double precision."""
    with torch.no_grad():
        return copy.deepcopy(model).eval()[: upto + 1](inputs).reshape(len(inputs), -1).double().numpy()


def calibrated(model, rule, *, max_bytes=MAX_BYTES, units=None, inputs=X, steps=None):
    job = job_of(model, as_inputs(inputs), Statistics(units=None, steps=steps), steps=steps)
    return calibrate(job, rule, units=units, max_bytes=max_bytes, progress=False)
