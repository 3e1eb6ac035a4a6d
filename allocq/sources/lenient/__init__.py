"""Listings in texts that are not strictly /proc/allocinfo: logs, pastes, allocq's own answers.

The engine reads a text strictly first; what it refuses comes here. Every parser is pure: text in,
values out. What they find is written as the kernel's own lines and goes through the engine again.
"""
