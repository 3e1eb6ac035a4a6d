"""`allocq fleet`: questions to the Parquet of many hosts."""
