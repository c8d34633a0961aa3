"""The worker's app with an exception planted in the bars stage, for the test of fail-stop."""

from __future__ import annotations

import os
from collections.abc import Sequence

from processors.app import app
from processors.kernel.pipeline import PartitionPipeline
from processors.kernel.steps import Step

__all__ = ["app"]

_AFTER = int(os.environ["PLANTED_AFTER_BATCHES"])
_bars = PartitionPipeline.bars
_calls = 0


def _failing(self: PartitionPipeline, steps: Sequence[Step]) -> None:
    global _calls
    _calls += 1
    if _calls > _AFTER:
        raise RuntimeError("planted")
    _bars(self, steps)


PartitionPipeline.bars = _failing  # type: ignore[method-assign]
