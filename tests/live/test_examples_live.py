"""The examples of the man pages, on the running kernel."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
from test_man import ENDLESS, EXAMPLES, run_examples

# These take a minute, or need another kernel or an object store; they have tests of their own.
APART = ("allocq-bench.1", "allocq-ship.1", "allocq-stacks.1", "allocq-verify.1")
# What mounts, takes the whole screen, or runs until a signal has tests of its own, too.
ELSEWHERE = rf"mount /|allocq top (?!.*-b)|{ENDLESS}"
SHIM = '#!/bin/sh\nexec "$PYTHON" -I -m allocq "$@"\n'


@pytest.mark.parametrize(
    "page", [page for page in EXAMPLES if EXAMPLES[page] and page not in APART]
)
def test_the_examples_of_a_page_run(page: str, tmp_path: Path) -> None:
    examples = [example for example in EXAMPLES[page] if not re.search(ELSEWHERE, example)]
    assert examples
    for example, done in run_examples(examples, tmp_path, SHIM):
        # What an example looks for need not be on this kernel: 1 is an answer, too.
        assert done.returncode in (0, 1), (example, done)
        assert not re.search(
            "^(allocq: (?!warning|since |from )|hint: )", done.stderr, re.MULTILINE
        ), done
