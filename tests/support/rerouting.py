"""Leading this process's connections to a broker through a proxy, whatever address it tells."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from typing import Any

import pytest
from kafka.cluster import ClusterMetadata

from tests.support.tcp_proxy import TcpProxy

__all__ = ["rerouted"]


@contextlib.contextmanager
def rerouted(bootstrap_servers: list[str]) -> Iterator[TcpProxy]:
    """A proxy to the only one of *bootstrap_servers*; what connects inside goes through it."""
    (server,) = bootstrap_servers
    broker_metadata = ClusterMetadata.broker_metadata
    with TcpProxy(int(server.rpartition(":")[2])) as proxy, pytest.MonkeyPatch.context() as patch:

        def by_the_proxy(cluster: ClusterMetadata, broker_id: Any) -> Any:
            broker = broker_metadata(cluster, broker_id)
            return broker and broker._replace(port=proxy.port)

        patch.setattr(ClusterMetadata, "broker_metadata", by_the_proxy)
        yield proxy
