"""The sqlite3 module of Python, which some builds of it lack."""

from ...errors import SourceError

try:
    import sqlite3 as sqlite3
except ImportError:
    raise SourceError(
        "this Python has no sqlite3, which recordings need",
        "install the package that has it, or use another Python",
    ) from None
