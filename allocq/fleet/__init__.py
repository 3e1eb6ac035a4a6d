"""The Parquet of many hosts: which files count, which samples, and the questions to them.

files, footers, samples and places say what is read; queries are Ibis expressions, the same for
every engine; engine runs them, in DuckDB in this process or on a Spark cluster.
"""
