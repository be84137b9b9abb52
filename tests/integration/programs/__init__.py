"""Programs that tests run as processes of their own: ``python -m tests.integration.programs.x``."""

from __future__ import annotations

import json
import sys
from typing import Any

__all__ = ["arguments", "tell"]


def arguments() -> dict[str, Any]:
    """What the test gave this program: one JSON object on the command line."""
    given: dict[str, Any] = json.loads(sys.argv[1])
    return given


def tell(*words: object) -> None:
    """Print one line at once: those of several threads never mix."""
    print(" ".join(map(str, words)) + "\n", end="", flush=True)
