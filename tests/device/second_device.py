"""A second device without a card (`second_device.cpp`), and a plugin of pytest that moves every model that is recorded there: ``python -m pytest -p device.second_device TEST ...``."""

import functools
import traceback
import types
from pathlib import Path

import pytest
import torch
from torch.utils import cpp_extension

import ann2neo

NAME = "second"
TESTS = Path(__file__).parent.parent
KINDS = ("to_host", "to_device", "number", "operator")


def _module() -> types.ModuleType:
    """What torch asks of a device's module."""
    module = types.ModuleType(f"torch.{NAME}")
    for name, answer in {
        "is_available": True,
        "is_initialized": True,
        "_is_in_bad_fork": False,
        "device_count": 1,
        "current_device": 0,
    }.items():
        setattr(module, name, lambda answer=answer: answer)
    module.manual_seed_all = module.manual_seed = lambda seed: None
    module.get_rng_state, module.set_rng_state = (
        lambda device=None: torch.get_rng_state(),
        lambda state, device=None: None,
    )
    module._lazy_init = lambda: None
    module.get_amp_supported_dtype = lambda: [torch.bfloat16, torch.float16]
    return module


def register() -> torch.device:
    """Compile it, if that was not done, and make it known to torch: for the rest of the process."""
    torch.utils.rename_privateuse1_backend(NAME)
    torch._register_device_module(NAME, _module())
    source = Path(__file__).with_name("second_device.cpp")
    cpp_extension.load("second_device", [str(source)], extra_cflags=["-O0"], is_python_module=False)
    return torch.device(NAME, 0)


def counts() -> dict[str, int]:
    """Count what happened since the last time."""
    return {kind: torch.ops.second_device.count(place) for place, kind in enumerate(KINDS)}


def pytest_configure():
    """Move models before they are recorded, planned or calibrated."""
    device = register()
    for name in ("record", "plan", "export"):
        setattr(ann2neo, name, _moved(getattr(ann2neo, name), device))


def _moved(function, device):
    @functools.wraps(function)
    def there(model, *args, **options):
        if not isinstance(model, torch.nn.Module):
            return function(model, *args, **options)
        try:
            return function(model.to(device), *args, **options)
        finally:
            model.to("cpu")

    return there


@pytest.hookimpl(wrapper=True)
def pytest_runtest_call():
    """Leave out what the device cannot do, and models that make tensors elsewhere than on it."""
    try:
        return (yield)
    except BaseException as error:
        if _is_of_the_device(error):
            pytest.skip("not on this device")
        raise


MIXED = ("to be in the same device", "to be on the same device", "should be the same or input should be a MKLDNN")
MISSING = (
    "_thnn_fused",
    "_copy_from_and_resize",
    "histogram_cpu",
    "RegisterPrivateUse1HooksInterface",
    "Sparsesecond",
    "NestedTensorImpl",
)


def _is_of_the_device(error: BaseException | None) -> bool:
    """Whether an error, or one before it, is of an operator that the device has not, or of a test's own code that mixes devices."""
    while error is not None:
        text = str(error)
        # Functions are called by way of what watches them.
        through = ("torch", "functions.py")
        own = [
            path
            for frame in traceback.extract_tb(error.__traceback__)
            if not {*through} & {*(path := Path(frame.filename)).parts}
        ]
        mixed = any(one in text for one in MIXED) and own and own[-1].is_relative_to(TESTS)
        if mixed or any(name in text for name in MISSING):
            return True
        error = error.__cause__ or error.__context__
    return False


def pytest_terminal_summary(terminalreporter):
    """Say what ran there."""
    terminalreporter.write_line(f"operators on the second device: {counts()['operator']}")
