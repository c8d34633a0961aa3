"""The features stage as a Faust agent."""

from __future__ import annotations

from collections.abc import AsyncIterator

from processors.microbatch.task import Batch

__all__ = ["features"]


async def features(batches: AsyncIterator[Batch]) -> AsyncIterator[Batch]:
    """Compute the feature vector of every market at each 200 ms grid point."""
    async for batch in batches:
        batch.task.pipeline.features(batch.steps)
        yield batch
