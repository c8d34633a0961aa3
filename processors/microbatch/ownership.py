"""One set of stages publishes to an output topic: a lease in `state.snapshots`, under `owner|<topic>`.

Two groups with different stage sets would both publish what their sets have in common, twice. A worker announces its
set for every topic that it publishes to and renews the lease; one that finds another set's living lease refuses to
start. Workers of the same set share it.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping, Sequence

from processors.kernel.pipeline import Stage
from schemas.errors import ConfigurationError

__all__ = ["LEASE_US", "announcements", "refuse_other_owner"]

LEASE_US = 10_000_000

_OUTPUTS: Mapping[Stage, Sequence[str]] = {
    Stage.NORMALISE: ("market.trades", "market.quotes", "market.books"),
    Stage.BARS: ("market.bars",),
    Stage.FEATURES: ("signals.features",),
    Stage.INFERENCE: ("signals.predictions",),
    Stage.QUOTING: ("trading.quotes",),
}


def announcements(stages: Iterable[Stage], stage_set: str, now_us: int) -> list[tuple[bytes, bytes]]:
    """Give the (key, value) records that renew the lease of every topic that these stages publish to."""
    body = json.dumps({"stage_set": stage_set, "until_us": now_us + LEASE_US}).encode()
    return [(f"owner|{topic}".encode(), body) for stage in sorted(stages) for topic in _OUTPUTS[stage]]


def refuse_other_owner(
    records: Iterable[tuple[bytes, bytes]], stages: Iterable[Stage], stage_set: str, now_us: int
) -> None:
    """Check the announcements, in log order, for another set's living lease.

    Raises:
        ConfigurationError: another set of stages publishes to one of our topics.
    """
    ours = {f"owner|{topic}".encode() for stage in stages for topic in _OUTPUTS[stage]}
    leases = {key: value for key, value in records if key in ours}
    for key, value in sorted(leases.items()):
        lease = json.loads(value)
        if lease["stage_set"] != stage_set and lease["until_us"] > now_us:
            topic = key.decode().partition("|")[2]
            raise ConfigurationError(
                "FLASHMM_STAGES",
                f"{topic} is published by workers of the stages {lease['stage_set']}",
                "Run the same stages, stop those workers and wait 10 s, or set FLASHMM_TOPIC_PREFIX",
            )
