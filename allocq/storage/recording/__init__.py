"""A recording: what every tag held, over time. One SQLite database a day in a directory.

`writer` appends samples, `reader` gives them back, `thinning` makes old days smaller; `counters` is
how a sample is packed, `schema` what the databases look like.
"""
