"""Processes of the scenarios: ``python -m tests.reliability.programs.x '{...}'``."""

from __future__ import annotations

import json
import sys
from typing import Any

__all__ = ["arguments"]


def arguments() -> dict[str, Any]:
    """What the scenario gave this program: one JSON object on the command line."""
    given: dict[str, Any] = json.loads(sys.argv[1])
    return given
