"""How much memory the worker has at an even rate, over minutes."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from infra.bench.ground import Ground
from infra.bench.latency import start_pacer
from infra.bench.worker import Sample, Workers

__all__ = ["memory", "memory_result"]

_READY_S = 60.0
_MEGABYTE = 2**20


def memory(
    ground: Ground, rate: int, seconds: float, markets: int, say: Callable[[str], None], **settings: Any
) -> list[dict[str, object]]:
    """Run a worker at an even rate and watch its memory; gives one result."""
    say(f"memory at {rate:,} ticks/s for {seconds:g} s")
    run = ground.run("memory", keeps_outputs=False)
    with Workers(run, **settings) as workers:
        workers.wait_owned(_READY_S)
        before = len(workers.samples)
        pacer = start_pacer(run, rate, seconds, markets)
        while pacer.is_alive:
            workers.poll()
        return [{**memory_result(workers.samples[before:]), "ticks_per_s": rate}]


def memory_result(samples: Sequence[Sample]) -> dict[str, object]:
    """Say how resident memory went: at the start, in the middle, at the end, and its slope in the second half.

    Each of the three is the mean of a tenth of the time: what a batch takes comes and goes.
    """
    megabytes = np.array([sample.rss / _MEGABYTE for sample in samples])
    minutes = np.array([(sample.time_s - samples[0].time_s) / 60 for sample in samples])
    half, tenth = len(samples) // 2, max(1, len(samples) // 10)
    slope = np.polyfit(minutes[half:], megabytes[half:], 1)[0]
    return {
        "name": "memory",
        "seconds": round(samples[-1].time_s - samples[0].time_s, 1),
        "rss_start_mb": round(float(megabytes[:tenth].mean()), 1),
        "rss_middle_mb": round(float(megabytes[half : half + tenth].mean()), 1),
        "rss_end_mb": round(float(megabytes[-tenth:].mean()), 1),
        "rss_greatest_mb": round(float(megabytes.max()), 1),
        "rss_mb_per_minute": round(float(slope), 2),
    }
