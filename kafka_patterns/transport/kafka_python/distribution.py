"""Which distribution gave us the ``kafka`` package.

kafka-python and kafka-python-ng write into the same folder: the one installed last wins, in
parts, and what runs then is neither.
"""

from __future__ import annotations

from importlib import metadata

from kafka_patterns.errors import ConfigurationError

__all__ = ["check_distribution"]

_WANTED = "kafka-python-ng"
_RIVAL = "kafka-python"


def check_distribution() -> None:
    """Refuse to start on a mixed or foreign ``kafka`` package.

    :raises ConfigurationError: says what to uninstall and install.
    """
    if _installed(_RIVAL) is not None:
        raise ConfigurationError(
            f"{_RIVAL} {_installed(_RIVAL)} is installed and overwrites files of {_WANTED} "
            f"(both own the import name 'kafka'): run `pip uninstall {_RIVAL} {_WANTED}`, then "
            f"`pip install {_WANTED}`"
        )
    if _installed(_WANTED) is None:
        raise ConfigurationError(f"{_WANTED} is not installed: run `pip install {_WANTED}`")


def _installed(distribution: str) -> str | None:
    try:
        return metadata.version(distribution)
    except metadata.PackageNotFoundError:
        return None
