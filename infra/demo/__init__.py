"""The whole platform as one supervised demonstration: its processes, its summary and its live view."""
