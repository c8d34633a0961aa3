"""The last record of a market holds from its time on; a market never changes its group."""

from __future__ import annotations

from dataclasses import replace

import pytest

from schemas.enums import InstrumentSource
from schemas.errors import ConfigurationError
from schemas.instrument_table import InstrumentTable, changes
from schemas.instruments import Instruments
from schemas.records import Instrument

NOW_US = 1_700_000_000_000_000


@pytest.fixture
def instrument() -> Instrument:
    found = Instruments.load().get("sim-citrex", "SEI/USDC-PERP")
    assert found is not None
    return found


def test_a_record_holds_from_its_time_on(instrument: Instrument) -> None:
    """What is to come does not hold yet, and what held stays known to a clock that is behind."""
    later = replace(instrument, tick=2 * instrument.tick, ts_effective=NOW_US)
    table = InstrumentTable([instrument, later])

    assert table.at(instrument.market, NOW_US - 1) == instrument
    assert table.at(instrument.market, NOW_US) == later
    assert table.last(instrument.market) == later
    assert list(table) == [later]


def test_before_the_first_record_nothing_holds(instrument: Instrument) -> None:
    """A market that nobody spoke of, or not for that time, has no instrument: nobody quotes it."""
    table = InstrumentTable([replace(instrument, ts_effective=NOW_US)])

    assert table.at(instrument.market, NOW_US - 1) is None
    assert table.at(("nowhere", "SEI/USDC"), NOW_US) is None


def test_the_last_record_overrules_what_was_to_come(instrument: Instrument) -> None:
    """A change that was announced is taken back by a record of an earlier or the same time."""
    announced = replace(instrument, tick=2 * instrument.tick, ts_effective=NOW_US + 10)
    now = replace(instrument, lot=2 * instrument.lot, ts_effective=NOW_US)
    table = InstrumentTable([instrument, announced, now])

    assert table.at(instrument.market, NOW_US + 20) == now


def test_a_repeated_record_changes_nothing(instrument: Instrument) -> None:
    """A venue is asked again and again; what it says holds from when it was said first."""
    table = InstrumentTable([instrument])

    assert not table.take(replace(instrument, ts_effective=NOW_US))
    assert table.at(instrument.market, NOW_US) == instrument


def test_another_group_is_refused(instrument: Instrument) -> None:
    """The record that would move a market to another partition is counted, and the one before holds."""
    table = InstrumentTable([instrument])

    assert not table.take(replace(instrument, group="BTC", ts_effective=NOW_US))
    assert table.refused == 1
    assert table.at(instrument.market, NOW_US) == instrument


def test_only_what_changed_is_written(instrument: Instrument) -> None:
    """A first record holds for all time; a change from now on; what is the same is not written again."""
    other = replace(instrument, symbol="X/USDC-PERP")
    table = InstrumentTable([instrument])

    assert changes(table, [instrument, other], NOW_US) == [other]
    assert changes(table, [replace(instrument, lot=1)], NOW_US) == [replace(instrument, lot=1, ts_effective=NOW_US)]


def test_a_file_does_not_overrule_what_a_venue_says_of_itself(instrument: Instrument) -> None:
    """Fees, minima and margin stay the venue's; the file's tick counts."""
    told = replace(instrument, maker_fee_ppm=7, initial_margin_ppm=100_000, source=InstrumentSource.VENUE)
    table = InstrumentTable([told])

    assert changes(table, [instrument], NOW_US) == []
    (written,) = changes(table, [replace(instrument, tick=2 * instrument.tick)], NOW_US)
    assert written == replace(told, tick=2 * instrument.tick, ts_effective=NOW_US)


def test_a_file_that_changes_a_group_is_refused(instrument: Instrument) -> None:
    """The message names both groups and says what to do."""
    with pytest.raises(ConfigurationError, match=r"group 'SEI'.*says 'BTC'.*fixed for life"):
        changes(InstrumentTable([instrument]), [replace(instrument, group="BTC")], NOW_US)
