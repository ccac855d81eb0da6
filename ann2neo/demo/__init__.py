"""The demo: small networks on real digits are recorded, analyzed and shared, with a report. Only this package and `capture` use torch."""

from ann2neo.extras import require

require("torch", to="The demo", extra="demo")
require("sklearn", to="The demo", extra="demo")
require("nixio", to="The demo", extra="demo")
require("nwbinspector", to="The demo", extra="demo")

from ann2neo.demo.run import run_demo  # noqa: E402

__all__ = ["run_demo"]
