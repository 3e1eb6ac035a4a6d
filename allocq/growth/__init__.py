"""What grew: snapshots, diffs between two, and the leak gate."""
