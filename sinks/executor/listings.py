"""The markets that an executor may trade: those of the quoted venues that have an instrument and a book. Pure."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping

from schemas.errors import ConfigurationError
from schemas.instrument_table import InstrumentTable
from schemas.instruments import partition_for
from schemas.records import Instrument, Market
from sinks.executor.port import Listing

__all__ = ["LiveListings"]

_KEPT = 4


class LiveListings(Mapping[Market, Listing]):
    """Listings that change with `reference.instruments`: a change counts from the next look on.

    Which markets there are is settled at the start, where their positions and orders are restored; one that appears
    later is traded after the next start.

    Args:
        venues: The quoted venues.

    Raises:
        ConfigurationError: no market of them has an instrument in force and a book.
    """

    def __init__(self, table: InstrumentTable, venues: Iterable[str], partitions: int, now_us: int) -> None:
        self._table = table
        quoted = sorted(set(venues))
        found = [table.at(instrument.market, now_us) for instrument in table if instrument.venue in quoted]
        self._listings = {
            instrument.market: Listing(instrument, partition_for(instrument.group.encode(), partitions))
            for instrument in found
            if instrument is not None and instrument.has_book
        }
        if not self._listings:
            problem = f"reference.instruments has no instrument with a book of {', '.join(quoted) or 'no venue'}"
            raise ConfigurationError(
                "FLASHMM_QUOTED_VENUES", problem, "Name a venue, or run `flashmm instruments load`"
            )

    def __getitem__(self, market: Market) -> Listing:
        return self._listings[market]

    def __iter__(self) -> Iterator[Market]:
        return iter(self._listings)

    def __len__(self) -> int:
        return len(self._listings)

    def take(self, instrument: Instrument) -> bool:
        """Take a record of the topic; False where it is of a market that has to wait for the next start."""
        self._table.take(instrument)
        return instrument.market in self._listings

    def advance(self, now_us: int) -> None:
        """Let hold what is in force now."""
        for market, listing in self._listings.items():
            instrument = self._table.at(market, now_us)
            if instrument is not None and instrument is not listing.instrument:
                earlier = (*listing.earlier, listing.instrument)[-_KEPT:]
                self._listings[market] = Listing(instrument, listing.partition, earlier)
