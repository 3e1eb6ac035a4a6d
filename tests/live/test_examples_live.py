"""The examples of the man pages, on the running kernel."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
from test_man import EXAMPLES, run_examples

# What these do takes most of a minute, or has another kernel, and has live tests of its own.
APART = ("allocq-bench.1", "allocq-stacks.1", "allocq-verify.1")
SHIM = '#!/bin/sh\nexec "$PYTHON" -I -m allocq "$@"\n'


@pytest.mark.parametrize(
    "page", [page for page in EXAMPLES if EXAMPLES[page] and page not in APART]
)
def test_the_examples_of_a_page_run(page: str, tmp_path: Path) -> None:
    # What takes the whole screen is tested on an emulated terminal.
    examples = [
        example
        for example in EXAMPLES[page]
        if "mount /" not in example and ("allocq top" not in example or " -b" in example)
    ]
    assert examples
    for example, done in run_examples(examples, tmp_path, SHIM):
        # What an example looks for need not be on this kernel: 1 is an answer, too.
        assert done.returncode in (0, 1), (example, done)
        assert not re.search(
            "^(allocq: (?!warning|since |from )|hint: )", done.stderr, re.MULTILINE
        ), done
