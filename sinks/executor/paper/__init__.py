"""The paper venue, and its life beyond a process; docs/paper-venue.md."""
