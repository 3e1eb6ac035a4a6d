"""Generators of files from allocq/declarations, one module per kind of file."""
