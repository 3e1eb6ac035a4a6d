"""`allocq profiling` without a kernel: what is said of refusals, and what sysctl.d holds."""

from __future__ import annotations

import dataclasses
import errno
from pathlib import Path

import pytest
from command import here, refused
from test_doctor import CONFIG, DEBUG, DEFAULT, READY_FACTS, changed, state

from allocq.commands import profiling
from allocq.commands.doctor.diagnose import GOOD, NOT_GOOD
from allocq.commands.doctor.facts import Facts
from allocq.errors import AccessError, AllocqError, OutputError
from allocq.host.machine import boot_editor
from allocq.host.profiling import PERSISTENT, SWITCH, check_persistent, persistent_text, read_later
from allocq.host.profiling import turn as really_turn


def said(facts: Facts, monkeypatch: pytest.MonkeyPatch, number: int | None = None) -> AllocqError:
    """What `profiling on` raises on such a machine, where the kernel answers `number`."""

    def turn(on: bool) -> None:
        assert number is not None, "the kernel is not asked"
        raise OSError(number, "as the kernel says")

    monkeypatch.setattr(profiling, "gather_profiling", lambda: facts)
    monkeypatch.setattr(profiling, "turn", turn)
    with pytest.raises(AllocqError) as raised:
        profiling.profiling_command({"action": "on"})
    return raised.value


OFF = {"mem_profiling": "0", "boot_parameter": "0"}


def test_a_debug_kernel_is_not_asked(monkeypatch: pytest.MonkeyPatch) -> None:
    error = said(changed(**OFF, config={CONFIG: "y", DEBUG: "y"}), monkeypatch)
    assert DEBUG in str(error) and "sysctl.vm.mem_profiling=1" in error.hint


def test_a_debug_kernel_that_hides_its_configuration(monkeypatch: pytest.MonkeyPatch) -> None:
    error = said(changed(**OFF, config=None), monkeypatch, errno.EACCES)
    assert isinstance(error, AccessError) and "as the kernel says" in str(error)


def test_support_that_is_gone(monkeypatch: pytest.MonkeyPatch) -> None:
    gone = changed(mem_profiling="0", boot_parameter="1", file_mode=None)
    assert "shut down" in str(said(gone, monkeypatch))
    off = changed(mem_profiling="0", boot_parameter="", config=None, file_mode=None)
    assert "disabled until the next boot" in str(said(off, monkeypatch))
    assert "until the next boot" in str(said(changed(**OFF), monkeypatch, errno.EINVAL))


def test_no_such_switch(monkeypatch: pytest.MonkeyPatch) -> None:
    none = changed(mem_profiling=None, file_mode=None, config={CONFIG: "n"})
    assert "no memory allocation profiling" in str(said(none, monkeypatch))
    hidden = changed(mem_profiling=None, file_mode=None)
    assert "/proc/sys" in str(said(hidden, monkeypatch))


@pytest.mark.parametrize("number", [errno.EROFS, errno.EIO, errno.ENOENT, errno.EPERM])
def test_other_refusals_are_one_line(number: int, monkeypatch: pytest.MonkeyPatch) -> None:
    error = said(changed(**OFF), monkeypatch, number)
    assert "vm.mem_profiling" in str(error) and "\n" not in str(error) + error.hint


def test_an_unknown_action() -> None:
    refused(here("profiling", "maybe"), "no action 'maybe'")
    refused(here("profiling", ""), "no action ''")


def test_options_of_another_action() -> None:
    refused(here("profiling", "on", "-o", "json"), "--format is for status, not for on")
    for words in ((), ("status",)):
        refused(here("profiling", *words, "--persist"), "--persist needs an action")


def test_a_switch_that_is_set_but_not_kept_is_said(monkeypatch: pytest.MonkeyPatch) -> None:
    """The file cannot be written, and the kernel counts by then."""
    turned = []

    def save(*_: object, **__: object) -> None:
        raise OutputError("cannot write it: Read-only file system")

    monkeypatch.setattr(profiling, "gather_profiling", lambda: changed(**OFF))
    monkeypatch.setattr(profiling, "check_persistent", lambda: None)
    monkeypatch.setattr(profiling, "turn", turned.append)
    monkeypatch.setattr(profiling, "save", save)
    with pytest.raises(OutputError) as raised:
        profiling.profiling_command({"action": "on", "persist": True})
    assert turned == [True]
    assert raised.value.hint == "vm.mem_profiling is 1 now, but only until the next boot"


@pytest.mark.parametrize(
    ("word", "shown"),
    [("\udcff", "\\xff"), ("a'b", "a'b"), ("a\nb", "a\\x0ab"), ("\x1b[1m", "\\x1b[1m"), ("é", "é")],
)
def test_an_unknown_action_is_shown_as_other_commands_show_words(word: str, shown: str) -> None:
    refused(here("profiling", word), f"no action '{shown}'")
    refused(here("query", "--sample", "--color", word), f"invalid value '{shown}' for --color")


@pytest.mark.parametrize(
    ("parameter", "default", "late"),
    [
        ("", "y", False), ("", "n", True), ("1", "n", False), ("0", "y", True),
        ("0,compressed", "y", True), ("bad", "y", False), ("bad", "n", True), (None, "n", False),
    ],
)  # fmt: skip
def test_counting_that_began_after_boot(parameter: str | None, default: str, late: bool) -> None:
    facts = changed(boot_parameter=parameter, config={CONFIG: "y", DEFAULT: default})
    assert state(facts, "vm.mem_profiling")[0] == (NOT_GOOD if late else GOOD)


@pytest.mark.parametrize(
    ("editor", "words"),
    [
        ("grubby", "--args=sysctl.vm.mem_profiling=1"),
        ("update-grub", "/etc/default/grub.d/allocq.cfg"),
        ("grub2-mkconfig", "sudo grub2-mkconfig -o /boot/grub2/grub.cfg"),
        ("nixos", 'boot.kernelParams = [ "sysctl.vm.mem_profiling=1" ]'),
        (None, "boot with sysctl.vm.mem_profiling=1"),
    ],
)
def test_the_boot_loader_that_is_there(editor: str | None, words: str) -> None:
    facts = changed(boot_parameter="never", mem_profiling="0", file_mode=None, boot_editor=editor)
    assert words in state(facts, "boot parameter")[1]


def test_boot_editors_are_found(tmp_path: Path) -> None:
    root = str(tmp_path)
    (tmp_path / "usr/sbin").mkdir(parents=True)
    (tmp_path / "etc").mkdir()
    assert boot_editor(root) is None
    for name in ("grub2-mkconfig", "update-grub", "grubby"):  # each before those that came earlier
        (tmp_path / "usr/sbin" / name).touch(0o755)
        assert boot_editor(root) == name
    (tmp_path / "etc/NIXOS").touch()
    assert boot_editor(root) == "nixos"


def test_the_switch_is_read_again(tmp_path: Path) -> None:
    path = Path(f"{tmp_path}{SWITCH}")
    path.parent.mkdir(parents=True)
    path.write_text("0\n")
    really_turn(True, str(tmp_path))
    assert path.read_text() == "1\n"
    path.unlink()
    path.symlink_to("/dev/null")
    with pytest.raises(AllocqError, match="after 1 was written"):
        really_turn(True, str(tmp_path))


@pytest.mark.parametrize(
    ("name", "text", "named"),
    [
        ("etc/sysctl.d/95-x.conf", "vm.mem_profiling=0", True),
        ("usr/lib/sysctl.d/99-x.conf", "-vm/mem_profiling = 1", True),
        ("etc/sysctl.conf", " vm.mem_profiling = 0\n", True),
        ("etc/sysctl.d/50-x.conf", "vm.mem_profiling=0", False),
        ("etc/sysctl.d/95-x.conf", "# vm.mem_profiling=0\nvm.swappiness=1", False),
        ("etc/sysctl.d/95-x.txt", "vm.mem_profiling=0", False),
    ],
)
def test_files_that_win_are_named(tmp_path: Path, name: str, text: str, named: bool) -> None:
    path = tmp_path / name
    path.parent.mkdir(parents=True)
    path.write_text(text)
    assert read_later(str(tmp_path)) == ([str(path)] if named else [])


def test_of_two_files_of_one_name_the_first_counts(tmp_path: Path) -> None:
    for folder, text in (("etc", "vm.swappiness=1"), ("usr/lib", "vm.mem_profiling=0")):
        path = tmp_path / folder / "sysctl.d" / "95-x.conf"
        path.parent.mkdir(parents=True)
        path.write_text(text)
    assert read_later(str(tmp_path)) == []


def test_only_what_allocq_wrote_is_replaced(tmp_path: Path) -> None:
    root, path = str(tmp_path), Path(f"{tmp_path}{PERSISTENT}")
    path.parent.mkdir(parents=True)
    check_persistent(root)
    path.write_bytes(persistent_text(True))
    check_persistent(root)
    for make in (lambda: path.write_text("vm.mem_profiling=1\n"), path.mkdir,
                 lambda: path.symlink_to("/dev/null")):  # fmt: skip
        if path.is_dir():
            path.rmdir()
        else:
            path.unlink()
        make()
        with pytest.raises(OutputError, match="not written by allocq"):
            check_persistent(root)


def test_the_facts_of_the_switch_are_those_of_doctor() -> None:
    names = {field.name for field in dataclasses.fields(profiling.Profiling)}
    assert names < {field.name for field in dataclasses.fields(READY_FACTS)}
