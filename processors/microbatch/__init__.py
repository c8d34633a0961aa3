"""The transport: one Faust event is one fetched batch."""
