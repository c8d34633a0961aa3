"""Drift: how far live features are from those of the training."""

from __future__ import annotations

import math
from random import Random

import pytest

from processors.kernel.drift import BINS, DriftMeter, Reference


def metered(reference: Reference, values: list[list[float]]) -> float | None:
    meter = DriftMeter(reference, len(values))
    for vector in values:
        meter.add(vector)
    return meter.psi


def test_bins_hold_equal_shares_and_equal_values_fall_into_one() -> None:
    """A feature of few values has fewer bins; one of a single value has one."""
    reference = Reference.of([list(range(100)), [0.0] * 50 + [1.0] * 50, [7.0] * 100])

    assert reference.shares[0] == (0.1,) * BINS
    assert reference.edges[1:] == ((1.0,), ())
    assert reference.shares[1:] == ((0.5, 0.5), (1.0,))
    assert Reference.from_json(reference.to_json()) == reference


def test_the_same_distribution_is_no_drift_and_another_one_is() -> None:
    """0 for equal shares; well above the common 0.25 for a shift by one standard deviation."""
    random = Random(5)
    reference = Reference.of([[random.gauss() for _ in range(5_000)]])

    same = metered(reference, [[random.gauss()] for _ in range(1_500)])
    shifted = metered(reference, [[random.gauss() + 1] for _ in range(1_500)])

    assert same is not None
    assert shifted is not None
    assert 0 <= same < 0.05
    assert shifted > 0.5


def test_the_index_is_the_sum_over_bins_averaged_over_features() -> None:
    """Of (live - trained) * ln(live / trained); an empty bin counts as a share of 1e-4."""
    reference = Reference(edges=((0.0,), (0.0,)), shares=((0.5, 0.5), (0.25, 0.75)))

    psi = metered(reference, [[-1.0, -1.0]] + [[1.0, 1.0]] * 3)

    first = -0.25 * math.log(0.5) + 0.25 * math.log(1.5)
    assert psi == pytest.approx(first / 2)
    assert metered(reference, [[1.0, 1.0]]) == pytest.approx(
        ((1e-4 - 0.5) * math.log(1e-4 / 0.5) + 0.5 * math.log(2) + (1e-4 - 0.25) * math.log(1e-4 / 0.25)
         + 0.25 * math.log(1 / 0.75)) / 2
    )  # fmt: skip


def test_a_window_counts_when_it_is_full_and_until_the_next_is() -> None:
    """Before the first nothing is known."""
    meter = DriftMeter(Reference(edges=((0.0,),), shares=((0.5, 0.5),)), 2)
    found = []
    for value in (1.0, 1.0, 1.0, -1.0, 1.0):
        meter.add([value])
        found.append(meter.psi)

    assert found[0] is None
    assert found[1] == found[2] != found[3]
    assert found[3] == found[4] == 0.0


def test_what_another_model_counted_is_not_taken_over() -> None:
    """After a restart with other bins the window starts anew."""
    old = DriftMeter(Reference(edges=((0.0,),), shares=((0.5, 0.5),)), 2)
    old.add([1.0])
    new = DriftMeter(Reference(edges=((0.0, 1.0),), shares=((0.5, 0.25, 0.25),)), 2)
    new.restore(old.state())
    same = DriftMeter(Reference(edges=((0.0,),), shares=((0.5, 0.5),)), 2)
    same.restore(old.state())

    assert new.state() == [None, 0, [[0, 0, 0]]]
    assert same.state() == old.state()
