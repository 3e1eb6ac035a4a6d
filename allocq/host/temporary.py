"""Where files that outgrow memory go."""

import os


def temporary_directory() -> str:
    """The first of TMPDIR, /tmp and /var/tmp that is a directory and can be written to; else /tmp.
    Unlike tempfile's it tries none with a file, which a signal would leave behind, and is never
    the current directory."""
    places = (os.environ.get("TMPDIR", ""), "/tmp", "/var/tmp")
    usable = (
        place
        for place in places
        if os.path.isabs(place) and os.path.isdir(place) and os.access(place, os.W_OK | os.X_OK)
    )
    return next(usable, "/tmp")
