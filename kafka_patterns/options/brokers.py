"""Addresses of brokers: ``host:port``."""

from __future__ import annotations

import ipaddress
import re
from collections.abc import Iterable
from typing import Any

from kafka_patterns.options.kinds import Kind, unfit
from kafka_patterns.options.problems import shown

__all__ = ["broker_list"]

_EXPECTS = '"host:port" texts in a list, or one text with commas'
_ADDRESS = re.compile(r"(?P<host>\[[^\[\]]*\]|[^:\[\]]*):(?P<port>[0-9]{1,5})")
_HOST_NAME = re.compile(r"[A-Za-z0-9_]([A-Za-z0-9_.-]*[A-Za-z0-9_.])?")
_HIGHEST_PORT = 65_535


def broker_list() -> Kind:
    """One or more addresses, stored as a tuple of texts."""
    return Kind(_read, str)


def _read(value: Any) -> tuple[str, ...]:
    entries = [value] if isinstance(value, str) else value
    if isinstance(entries, (bytes, dict)) or not isinstance(entries, Iterable):
        raise unfit(_EXPECTS, value)
    addresses = [address for entry in entries for address in _addresses(entry)]
    if not addresses:
        raise ValueError(f"must be {_EXPECTS}; it names no broker")
    return tuple(addresses)


def _addresses(entry: Any) -> list[str]:
    if not isinstance(entry, str):
        raise unfit(_EXPECTS, entry)
    return [_checked(address.strip()) for address in entry.split(",") if address.strip()]


def _checked(address: str) -> str:
    if "@" in address or "/" in address:
        # Not shown: what stands before an @ is often a password.
        raise ValueError(f"must be {_EXPECTS}, not a URL; credentials belong into client.sasl")
    match = _ADDRESS.fullmatch(address)
    if match is None:
        raise ValueError(f"must be {_EXPECTS}, not {shown(address)}{_advice(address)}")
    _check_host(match["host"], address)
    if not 1 <= int(match["port"]) <= _HIGHEST_PORT:
        raise ValueError(f"has a port outside 1-{_HIGHEST_PORT} in {shown(address)}")
    return address


def _check_host(host: str, address: str) -> None:
    if host.startswith("["):
        try:
            ipaddress.IPv6Address(host[1:-1])
        except ValueError:
            raise ValueError(f"has no IPv6 address in the brackets of {shown(address)}") from None
    elif not _HOST_NAME.fullmatch(host):
        raise ValueError(f"has no valid host name in {shown(address)}")


def _advice(address: str) -> str:
    if address.count(":") > 1 and "[" not in address:
        return '; an IPv6 address goes into brackets: "[::1]:9092"'
    if ":" not in address:
        return f'; with a port it is "{address}:9092"'
    return ""
