"""Workers that are killed, joined and left while the log grows publish what it says, once.

In the long form (FLASHMM_CHAOS=long) the log has ten million ticks, or CHAOS_TICKS of them.
"""

from __future__ import annotations

import os
import random
import time

import pytest

from tests.chaos.conftest import IS_LONG, Run, StartRun
from tests.chaos.log import Feed, made_ticks
from tests.chaos.oracle import read

pytestmark = [
    pytest.mark.kafka,
    pytest.mark.chaos,
    pytest.mark.slow,
    pytest.mark.timeout(10_800 if IS_LONG else 300),
]

TICKS = int(os.environ.get("CHAOS_TICKS", "10000000")) if IS_LONG else 15_000
PER_SECOND = 500 if IS_LONG else 16
LEAST_KILLS = 20 if IS_LONG else 2
LONGEST_LIFE_S = 8 if IS_LONG else 2
# Small batches, snapshots of many records, and seldom: most kills hit work that is not safe yet.
PACE = {
    "app": "tests.chaos.small_chunks",
    "FLASHMM_BATCH_MAX_RECORDS": "1000" if IS_LONG else "200",
    "FLASHMM_SNAPSHOT_INTERVAL_MS": "2000" if IS_LONG else "300",
}


def test_kills_and_rebalances_change_nothing(start_run: StartRun) -> None:
    """SIGKILL at random moments, a worker that joins and is killed, one that joins and leaves: bars equal the oracle's.

    All under load. Every record that is no tick is a dead letter with its position, and nothing else is.
    """
    run = start_run("kills.")
    moments = random.Random(7)
    kills = 0
    with Feed(run.settings, made_ticks(seed=5, count=TICKS, seconds=TICKS // PER_SECOND)) as feed:
        while kills < LEAST_KILLS or (IS_LONG and not feed.is_over):
            worker = run.start(**PACE)
            run.wait_for(worker)
            time.sleep(LONGEST_LIFE_S * moments.random())
            worker.kill()
            kills += 1
        worker = run.start(**PACE)
        joiner = run.start(**PACE)
        run.wait_for(joiner)
        joiner.kill()
        leaver = run.start(**PACE)
        run.wait_for(leaver)
        assert leaver.stop(grace_s=15) == 0
        feed.finish()
    run.drain(worker, timeout_s=3_600 if IS_LONG else 120)

    poison = run.check_bars()
    assert dead_letters(run) == poison
    assert len(poison) > 20
    print(f"{kills + 1} kills during {TICKS} ticks")


def dead_letters(run: Run) -> set[tuple[int, int]]:
    """Give the (partition, offset) of what was no tick."""
    letters = (letter for _, letter in read(run.settings, "ops.dead-letters") if letter is not None)
    return {(letter["source_partition"], letter["source_offset"]) for letter in letters}
