"""Generates the man pages, completions, core/flags.h, and the options and picture of the README.

python tests/generate.py            write what is not current
python tests/generate.py --check    write nothing, name it, exit with 1
"""

from __future__ import annotations

import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(ROOT))

from generators import bash, fish, front, man, picture, readme, zsh  # noqa: E402

from allocq import __version__  # noqa: E402


def made() -> dict[Path, str]:
    """The content of each generated file."""
    files = {
        Path("man", name): text for name, text in man.pages(ROOT / "man/prose", __version__).items()
    }
    files[Path("completions/allocq.bash")] = bash.completion()
    files[Path("completions/_allocq")] = zsh.completion()
    files[Path("completions/allocq.fish")] = fish.completion()
    files[Path("allocq/core/flags.h")] = front.header(__version__)
    files[Path("man/screen.svg")] = picture.svg(ROOT)
    files[Path("README.md")] = readme.with_table((ROOT / "README.md").read_text())
    return files


def left_over(files: dict[Path, str]) -> list[Path]:
    """Pages and completions that are no longer declared."""
    found = [*(ROOT / "man").glob("allocq*.[0-9]"), *(ROOT / "completions").glob("*")]
    return sorted({path.relative_to(ROOT) for path in found} - set(files))


def main(argv: list[str]) -> int:
    """Write or check; returns the exit status."""
    if argv not in ([], ["--check"]):
        print(__doc__, file=sys.stderr)
        return 2
    files = made()
    stale = [
        path
        for path, text in files.items()
        if not (ROOT / path).exists() or (ROOT / path).read_text() != text
    ]
    surplus = left_over(files)
    if argv:
        for path in stale + surplus:
            print(f"{path} is not current: python tests/generate.py")
        return 1 if stale or surplus else 0
    for path in stale:
        (ROOT / path).parent.mkdir(exist_ok=True)
        (ROOT / path).write_text(files[path])
    for path in surplus:
        (ROOT / path).unlink()
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
