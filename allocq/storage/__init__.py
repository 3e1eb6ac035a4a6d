"""Files: written whole or not at all, compressed, and the metadata of a snapshot."""
