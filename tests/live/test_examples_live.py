"""The examples of the man pages, on the running kernel."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
from test_man import EXAMPLES, prepare

# What these do takes most of a minute, and has live tests of its own.
LONG = ("allocq-bench.1", "allocq-verify.1")


@pytest.mark.parametrize("page", [page for page in EXAMPLES if EXAMPLES[page] and page not in LONG])
def test_the_examples_of_a_page_run(page: str, tmp_path: Path) -> None:
    tools, work = tmp_path / "bin", tmp_path / "work"
    tools.mkdir()
    work.mkdir()
    (tools / "allocq").write_text(f'#!/bin/sh\nexec {sys.executable} -I -m allocq "$@"\n')
    (tools / "allocq").chmod(0o755)
    prepare(work)
    env = {**os.environ, "PATH": f"{tools}:{os.environ['PATH']}"}
    for example in EXAMPLES[page]:
        if ("| jq " in example and not shutil.which("jq")) or "mount /" in example:
            continue
        done = subprocess.run(
            ["bash", "-o", "pipefail", "-c", example],
            capture_output=True,
            text=True,
            env=env,
            cwd=work,
        )
        # What an example looks for need not be on this kernel: 1 is an answer, too.
        assert done.returncode in (0, 1), (example, done)
        assert not re.search("^(allocq: (?!warning)|hint: )", done.stderr, re.MULTILINE), done
