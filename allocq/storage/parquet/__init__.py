"""Parquet: the tags of many hosts over time, in files that every query engine reads alike.

`schema` is the contract, `arrow` puts tags into Arrow's columns, `hour` those of an hour in the
order of the files, `folder` writes them into a partitioned directory, `compaction` joins them.
Only `arrow` needs the extra of that name.
"""
