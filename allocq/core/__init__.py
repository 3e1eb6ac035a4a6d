"""The engine in C, and the Python that calls it."""
