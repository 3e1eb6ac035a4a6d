"""`allocq bench`: times cat, grep and awk against allocq."""
