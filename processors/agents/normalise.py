"""The normalise stage as a Faust agent."""

from __future__ import annotations

from collections.abc import AsyncIterator

from processors.microbatch.task import Batch

__all__ = ["normalise"]


async def normalise(batches: AsyncIterator[Batch]) -> AsyncIterator[Batch]:
    """Judge ticks: duplicates, order, spikes, age; keep books; publish trades, quotes and books."""
    async for batch in batches:
        batch.steps = batch.task.pipeline.normalise(batch.ticks)
        yield batch
