"""The machine: what it says of itself, its processes, caches and modules."""
