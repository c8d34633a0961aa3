"""The quoting stage as a Faust agent."""

from __future__ import annotations

from collections.abc import AsyncIterator

from processors.microbatch.task import Batch

__all__ = ["quoting"]


async def quoting(batches: AsyncIterator[Batch]) -> AsyncIterator[Batch]:
    """Decide the quotes of every quoted market five times a second, under the market's risk rules."""
    async for batch in batches:
        batch.task.pipeline.quote(batch.steps)
        yield batch
