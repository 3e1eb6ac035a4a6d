"""How to run this program again as root."""

import sys
from collections.abc import Sequence
from os.path import basename

from ..core.kernel import root_command


def as_root(argv: Sequence[str]) -> str:
    """The shell command that runs allocq with these words as root; "" if allocq is not found.

    sudo does not search the user's PATH, so the program has its full path where that is needed.
    """
    program = sys.argv[0]
    if basename(program) == "__main__.py":
        return root_command([sys.executable, "-m", "allocq", *argv])
    return root_command([program, *argv])
