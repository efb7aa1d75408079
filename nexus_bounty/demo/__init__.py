"""The whole life of a bounty in a few seconds, with one lost answer and one crash on the way.

    report = await run_demo()                             # a mock Nexus in this process
    report = await run_demo("http://127.0.0.1:2026")      # the same on a real server

Every write is witnessed: what happened to it, and by what its outcome was proven.
"""

from __future__ import annotations

from nexus_bounty.demo.report import DemoReport, Write
from nexus_bounty.demo.story import DemoError, run_demo

__all__ = ["DemoError", "DemoReport", "Write", "run_demo"]
