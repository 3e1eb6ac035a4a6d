"""The ioctl timed against cat, grep and awk on this machine."""
