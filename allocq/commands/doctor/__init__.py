"""`allocq doctor`: reports what this kernel supports and how to fix problems."""
