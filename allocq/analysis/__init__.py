"""Sorting, summing and comparing tags, without I/O."""
