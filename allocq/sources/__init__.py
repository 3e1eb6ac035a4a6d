"""Sources of tags: the running kernel and saved listings."""
