"""What fuzzing has found, once more: without a fuzzer, under gcc's sanitizers."""

from __future__ import annotations

import os
import shutil
import subprocess
from pathlib import Path

import pytest

HERE = Path(__file__).resolve().parent
CASES = HERE / "cases"
HARNESSES = sorted(path.stem for path in (HERE / "corpus").glob("*.zip"))


def test_every_harness_has_a_corpus() -> None:
    import fuzz

    assert sorted(fuzz.SHARES) == HARNESSES


@pytest.mark.skipif(not shutil.which("cc"), reason="needs a C compiler")
@pytest.mark.parametrize("harness", HARNESSES)
def test_the_corpus_is_without_a_report(harness: str, tmp_path: Path) -> None:
    import fuzz

    program = tmp_path / harness
    sanitizers = ("-fsanitize=address,undefined", *fuzz.RECOVER)
    fuzz.build(harness, program, "cc", *sanitizers, str(HERE / "replay.c"))
    files = [str(path) for path in sorted((CASES / harness).glob("*"))]
    files += [str(path) for path in fuzz.unpack(harness, tmp_path / "corpus")]
    assert len(files) > 50
    with fuzz.scratch() as place:
        done = subprocess.run(
            [program, *files],
            cwd=place,
            capture_output=True,
            text=True,
            env={**os.environ, "ASAN_OPTIONS": "detect_leaks=1"},
        )
    assert (done.returncode, done.stdout) == (0, f"{len(files)}\n"), done.stderr
