"""Is the output shown by watch(1)?"""

from .binding import lib


def is_watched() -> bool:
    """Is standard output a pipe of watch(1), which shows it to a person?"""
    return bool(lib.aq_is_watched())
