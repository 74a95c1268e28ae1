"""Clients that spread keys over nodes by themselves. `servers` are pairs of a host and a port."""

import pylibmc
from pymemcache.client.hash import HashClient


def with_pylibmc(servers, weights=None, **behaviors):
    """Returns a client with the ring of libmemcached. It takes a dead node out of the ring."""
    weights = weights or [1] * len(servers)
    names = [f"{host}:{port}:{weight}" for (host, port), weight in zip(servers, weights, strict=True)]
    return pylibmc.Client(
        names,
        behaviors={
            "ketama_weighted": True,
            "tcp_nodelay": True,
            "connect_timeout": 1000,  # ms
            "_poll_timeout": 1000,  # the wait for a reply; the default is 5 s
            "retry_timeout": 1,  # seconds until a node that failed is asked again
            # After two errors the node is out of the ring. It is tried again a second later.
            "auto_eject": True,
            "failure_limit": 2,
            "dead_timeout": 1,
        }
        | behaviors,
    )


def with_pymemcache(servers):
    """Returns a client with rendezvous hashing. It takes a dead node out for `dead_timeout`."""
    return HashClient(
        servers,
        timeout=1,
        connect_timeout=1,
        no_delay=True,
        retry_attempts=1,
        retry_timeout=0.2,
        dead_timeout=1,
    )
