"""The bars stage as a Faust agent."""

from __future__ import annotations

from collections.abc import AsyncIterator

from processors.microbatch.task import Batch

__all__ = ["bars"]


async def bars(batches: AsyncIterator[Batch]) -> AsyncIterator[Batch]:
    """Build M1, M5, M15, H1, H4 and D1 bars: partial, final and corrected."""
    async for batch in batches:
        batch.task.pipeline.bars(batch.steps)
        yield batch
