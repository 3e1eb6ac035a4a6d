"""Whether the ioctl of the running kernel agrees with its own text."""
