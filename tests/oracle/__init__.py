"""Plain programs that say what compiled code must give."""
