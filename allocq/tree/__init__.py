"""Memory by directory, file, function and line."""
