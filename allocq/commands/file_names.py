"""Bare words that may be meant as files: how they look, and why one is not a saved listing."""

from __future__ import annotations

import os
import re
import stat
from collections.abc import Iterable
from errno import ENOENT, ENOTDIR

_SAVED = re.compile(r"\.(?:txt|log|gz|zst|xz|bz2|zip|tar|tgz|json|jsonl|csv|tsv)$")


def is_file_name(word: str) -> bool:
    """Is it spelled as a file of this machine, and not as a name in kernel source?"""
    spelled = word.startswith(("/", "./", "../", "~/")) or bool(_SAVED.search(word))
    return spelled and not re.search("[*?[]", word)


def why_no_listing(word: str) -> str:
    """Why a bare word was not taken for a saved listing; "" if it does not look like one."""
    if not ("/" in word or "." in word) or "\0" in word:
        return ""
    try:
        mode = os.stat(word).st_mode
    except OSError as error:
        if error.errno in (ENOENT, ENOTDIR):
            return f"there is no file {word} either"
        return f"{word}: {error.strerror}"
    except ValueError:
        return ""
    if stat.S_ISDIR(mode):
        return f"{word} is a directory, not a saved listing"
    return f"--source {quoted(word)} reads it as a saved listing"


def missing_file(words: Iterable[str]) -> str:
    """The first word that is spelled as a file but is not there; "" if there is none."""
    return next((word for word in words if is_file_name(word) and not os.path.exists(word)), "")


def quoted(word: str) -> str:
    """As the shell takes it."""
    import shlex  # a message in hand is worth a millisecond; an answer is not

    return shlex.quote(word)
