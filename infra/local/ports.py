"""Ports on the loopback address for services that this machine runs."""

from __future__ import annotations

import random
import socket

from schemas.errors import ConfigurationError, ServiceUnavailable

__all__ = ["LOOPBACK", "choose_port", "free_port", "is_free"]

LOOPBACK = "127.0.0.1"
# Below Linux's ephemeral range: an outgoing connection could hold a port in it when the service wants to bind.
_LOWEST, _HIGHEST = 20_000, 32_767
_ATTEMPTS = 200
_SETTINGS = {
    "kafka": "FLASHMM_KAFKA_BOOTSTRAP",
    "registry": "FLASHMM_REGISTRY_URL",
    "redis": "REDIS_URL",
    "influx": "INFLUXDB_URL",
}


def is_free(port: int) -> bool:
    """Say whether a service could listen on a loopback port now."""
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((LOOPBACK, port))
        except OSError:
            return False
    return True


def free_port() -> int:
    """Find a free loopback port outside the ephemeral range.

    Raises:
        ServiceUnavailable: none was found.
    """
    # The system's own randomness: two stacks started at once, or after the same seed, must not choose alike.
    chooser = random.SystemRandom()
    for _ in range(_ATTEMPTS):
        port = chooser.randint(_LOWEST, _HIGHEST)
        if is_free(port):
            return port
    raise ServiceUnavailable("port", LOOPBACK, f"no free port between {_LOWEST} and {_HIGHEST}", fix="Stop something")


def choose_port(service: str, wanted: int | None) -> int:
    """Give the wanted port, or a free one where none is wanted.

    Raises:
        ConfigurationError: the wanted port is in use.
    """
    if wanted is None:
        return free_port()
    if not is_free(wanted):
        raise ConfigurationError(
            _SETTINGS.get(service, service),
            f"port {wanted} on {LOOPBACK} is in use",
            "Stop what listens there, or choose another port",
        )
    return wanted
