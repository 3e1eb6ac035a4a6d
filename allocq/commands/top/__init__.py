"""`allocq top`: a live view of what grows, and the replay of a recording."""
