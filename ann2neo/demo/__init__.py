"""The demo: small networks on real digits, all three verbs, one report. Only this package and `capture` use torch."""

from ann2neo.demo.run import run_demo

__all__ = ["run_demo"]
