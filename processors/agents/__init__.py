"""Thin Faust agents around the kernel: one a stage."""
