"""Moves the samples of a recording to a directory or an object store as Parquet, an hour a file.

`hours` finds what is to be shipped, `ledger` remembers what was, `directory` and `objects` take the
files, `ship` does it all.
"""
