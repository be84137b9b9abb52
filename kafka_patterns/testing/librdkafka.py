"""Finds and loads the librdkafka that the ``confluent-kafka`` wheel brings along.

Only the mock broker functions are declared here. They are exported but experimental, so a
missing one is reported with the name of the function and not as an ``AttributeError``.
"""

from __future__ import annotations

import ctypes
import ctypes.util
import importlib.util
from pathlib import Path
from typing import Any

from kafka_patterns.errors import ConfigurationError

__all__ = ["find_librdkafka", "load_librdkafka"]

_INSTALL_HINT = "run: pip install 'kafka-patterns[embedded]'"

_POINTER = ctypes.c_void_p
_TEXT = ctypes.c_char_p
_INT = ctypes.c_int
_INT16 = ctypes.c_int16
_INT32 = ctypes.c_int32
_INT64 = ctypes.c_int64
_SIZE = ctypes.c_size_t

_PROTOTYPES: dict[str, tuple[Any, list[Any]]] = {
    "rd_kafka_conf_new": (_POINTER, []),
    "rd_kafka_conf_set": (_INT, [_POINTER, _TEXT, _TEXT, _TEXT, _SIZE]),
    "rd_kafka_new": (_POINTER, [_INT, _POINTER, _TEXT, _SIZE]),
    "rd_kafka_destroy": (None, [_POINTER]),
    "rd_kafka_err2str": (_TEXT, [_INT]),
    "rd_kafka_mock_cluster_new": (_POINTER, [_POINTER, _INT]),
    "rd_kafka_mock_cluster_destroy": (None, [_POINTER]),
    "rd_kafka_mock_cluster_bootstraps": (_TEXT, [_POINTER]),
    "rd_kafka_mock_group_initial_rebalance_delay_ms": (None, [_POINTER, _INT32]),
    "rd_kafka_mock_topic_create": (_INT, [_POINTER, _TEXT, _INT, _INT]),
    "rd_kafka_mock_topic_delete": (_INT, [_POINTER, _TEXT]),
    "rd_kafka_mock_partition_delete_records": (_INT, [_POINTER, _TEXT, _INT32, _INT64]),
    "rd_kafka_mock_push_request_errors_array": (None, [_POINTER, _INT16, _SIZE, _POINTER]),
    "rd_kafka_mock_clear_request_errors": (None, [_POINTER, _INT16]),
    "rd_kafka_mock_partition_set_leader": (_INT, [_POINTER, _TEXT, _INT32, _INT32]),
    "rd_kafka_mock_coordinator_set": (_INT, [_POINTER, _TEXT, _TEXT, _INT32]),
    "rd_kafka_mock_broker_set_rtt": (_INT, [_POINTER, _INT32, _INT]),
    "rd_kafka_mock_broker_set_host_port": (None, [_POINTER, _INT32, _TEXT, _INT]),
}


def find_librdkafka() -> Path:
    """Return the path of the shared library inside the installed ``confluent-kafka``.

    Nothing is loaded or imported.

    :raises ConfigurationError: if ``confluent-kafka`` is not installed, or was built without
        its own librdkafka and the system has none either.
    """
    specification = importlib.util.find_spec("confluent_kafka")
    locations = specification.submodule_search_locations if specification else None
    if not locations:
        raise ConfigurationError(
            f"the embedded broker needs the package confluent-kafka; {_INSTALL_HINT}"
        )
    package = Path(next(iter(locations)))
    # Wheels for Linux keep their libraries beside the package, those for macOS inside it.
    for folder in (package.parent / "confluent_kafka.libs", package / ".dylibs"):
        for library in sorted(folder.glob("librdkafka*")):
            return library
    system_library = ctypes.util.find_library("rdkafka")
    if system_library is None:
        raise ConfigurationError(
            f"confluent-kafka in {package} has no librdkafka of its own, and the system has "
            f"none; {_INSTALL_HINT} from a wheel"
        )
    return Path(system_library)


def load_librdkafka() -> Any:
    """Load librdkafka into this process and declare the functions used here.

    :raises ConfigurationError: if it cannot be found or loaded, or lacks a function.
    """
    path = find_librdkafka()
    try:
        library = ctypes.CDLL(str(path))
    except OSError as error:
        raise ConfigurationError(
            f"cannot load librdkafka from {path}: {error}; {_INSTALL_HINT}"
        ) from error
    for name, (result, arguments) in _PROTOTYPES.items():
        try:
            function = getattr(library, name)
        except AttributeError as error:
            raise ConfigurationError(
                f"librdkafka in {path} has no {name}; {_INSTALL_HINT} --upgrade"
            ) from error
        function.restype = result
        function.argtypes = arguments
    return library
