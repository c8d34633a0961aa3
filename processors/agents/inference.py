"""The inference stage as a Faust agent."""

from __future__ import annotations

import time
from collections.abc import AsyncIterator, Callable

from processors.kernel.steps import GridStep
from processors.microbatch.task import Batch

__all__ = ["make_inference"]


def make_inference(observe: Callable[[str, int], None]) -> Callable[[AsyncIterator[Batch]], AsyncIterator[Batch]]:
    """Make the agent's function; `observe` is told the time of one prediction, in microseconds."""

    async def inference(batches: AsyncIterator[Batch]) -> AsyncIterator[Batch]:
        """Run the TorchScript model on warm features; without a model, quotes are model-free."""
        async for batch in batches:
            started = time.perf_counter_ns()
            batch.task.pipeline.infer(batch.steps)
            made = sum(len(step.predictions) for step in batch.steps if isinstance(step, GridStep))
            if made:
                observe("inference", (time.perf_counter_ns() - started) // (1_000 * made))
            yield batch

    return inference
