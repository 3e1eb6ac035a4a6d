"""Generators of files from allocq/options, one module per kind of file."""
