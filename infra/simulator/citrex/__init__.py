"""A SIMULATED Citrex: an order venue with a ledger of its own. No real market, no real money."""
