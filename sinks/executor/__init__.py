"""The order executor: targets in, orders journalled, sent through one port, and booked into positions."""
