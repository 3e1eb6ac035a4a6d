"""The command that a hint asks to be run as root works as it is printed."""

from __future__ import annotations

import os
import shlex
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
from command import unhurried
from hypothesis import given
from hypothesis import strategies as st

from allocq.commands.doctor import diagnose
from allocq.core.kernel import root_command
from allocq.host.root import as_root

# What Debian and Fedora set in /etc/sudoers.
SECURE_PATHS = (
    "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin",
    "/sbin:/bin:/usr/sbin:/usr/bin",
)
words = st.text(st.characters(exclude_characters="\0", exclude_categories=["Cs"]), max_size=20)


@unhurried
@given(st.lists(words, max_size=5))
def test_arguments_are_quoted_for_a_shell(argv: list[str]) -> None:
    assert shlex.split(root_command(["/bin/echo", *argv]))[2:] == argv


def test_a_shell_reads_it_back() -> None:
    argv = ["it's", "$HOME", "a b", "", "*", "-f", "fs/xfs/*", "\\", '"', "`id`", "a;b", "é"]
    command = root_command(["/usr/bin/printf", "<%s>", *argv]).removeprefix("sudo ")
    done = subprocess.run(["sh", "-c", command], capture_output=True, text=True, check=True)
    assert done.stdout == "".join(f"<{word}>" for word in argv)


@pytest.fixture
def program(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Installed where no secure_path looks, first on PATH."""
    place = tmp_path / "home of\tme/.local/bin"
    place.mkdir(parents=True)
    (place / "true-as-root").write_text("#!/bin/sh\nexit 0\n")
    (place / "true-as-root").chmod(0o755)
    monkeypatch.setenv("PATH", f"/nonexistent:{place}:{os.environ['PATH']}")
    return place / "true-as-root"


def test_what_sudo_would_not_find_has_its_full_path(program: Path) -> None:
    command = root_command([program.name, "-x"])
    assert shlex.split(command) == ["sudo", str(program), "-x"]
    for path in SECURE_PATHS:
        script = command.removeprefix("sudo ")
        assert subprocess.run(["sh", "-c", script], env={"PATH": path}).returncode == 0


def test_a_path_from_here_is_made_whole(program: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(program.parents[1])
    assert shlex.split(root_command([f"bin/{program.name}"]))[1] == str(program)


def test_what_sudo_finds_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    found = shutil.which("ls", path="/usr/sbin:/usr/bin:/sbin:/bin")
    assert found
    assert root_command(["ls", "-l"]) == "sudo ls -l"
    (tmp_path / "ls").symlink_to("/bin/cat")  # another one of that name comes first
    monkeypatch.setenv("PATH", f"{tmp_path}:/usr/bin:/bin")
    assert root_command(["ls"]) == f"sudo {tmp_path}/ls"


def test_what_cannot_be_named_is_not(monkeypatch: pytest.MonkeyPatch) -> None:
    assert root_command(["no-such-program"]) == ""
    assert root_command(["/bin/ls", "x" * 5000]) == ""
    monkeypatch.setenv("PATH", ".:bin")
    assert root_command(["ls"]) == ""


def test_python_names_itself(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "argv", ["/somewhere/allocq/__main__.py"])
    assert as_root(["query", "-c"]) == f"sudo {shlex.quote(sys.executable)} -m allocq query -c"
    monkeypatch.setattr(sys, "argv", ["ls"])
    assert as_root(["doctor"]) == "sudo ls doctor"


def test_doctor_prints_it() -> None:
    from test_doctor import NOTHING_READ, changed, state

    denied = changed(
        uid=1000, open_error="Permission denied", as_root="sudo /x/allocq doctor", **NOTHING_READ
    )
    assert diagnose.verdict(denied) == diagnose.CANNOT
    assert state(denied, "user")[1] == "sudo /x/allocq doctor"
