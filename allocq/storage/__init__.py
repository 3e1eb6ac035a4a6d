"""Atomic file writes, compression, and the snapshot format."""
