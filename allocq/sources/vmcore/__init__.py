"""The tags in the memory of a kernel that has stopped: crash dumps, and /proc/kcore.

Only `program` imports drgn, and only for a dump; the rest reads memory through `memory.Kernel`.
"""
