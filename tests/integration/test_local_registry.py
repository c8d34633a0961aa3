"""Both registries of the embedded stack, through confluent-kafka's own client."""

from __future__ import annotations

from schemas.registry import Registry


def test_registering_gives_an_id_that_a_lookup_finds(registry_url: str) -> None:
    """The deploy step and the start of a process agree, however often a schema is registered."""
    with Registry(registry_url) as registry:
        first = registry.register("market.trades-value", 1)

        assert registry.register("market.trades-value", 1) == first
        assert registry.schema_id("market.trades-value", 1) == first
