"""`allocq verify`: checks that the ioctl and the text agree on the running kernel."""
