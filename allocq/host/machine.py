"""Reads facts about this host from small files in /proc, /sys, /etc and /boot.

Nothing here raises: None means missing or unreadable. `root` is prepended to all paths.
"""

import os
import platform
import shutil
import zlib

_LARGEST, _PIECE = 8 << 20, 1 << 15
BOOT_PARAMETER = "sysctl.vm.mem_profiling"


def read_small(path: str, most: int = _LARGEST) -> bytes | None:
    """The beginning of a file, up to `most` bytes or a little more. Works for sysctl files too."""
    pieces: list[bytes] = []
    try:
        with open(path, "rb", buffering=0) as file:
            while len(pieces) * _PIECE < most and (piece := file.read(_PIECE)):
                pieces.append(piece)
    except OSError:
        return None
    return b"".join(pieces)


def read_line(path: str) -> str | None:
    """The content of a file as text, without surrounding whitespace."""
    data = read_small(path)
    return None if data is None else data.decode("utf-8", "replace").strip()


def possible_cpus(root: str = "") -> str | None:
    """The possible CPUs, over which counters are summed, as the kernel writes them: `0-3,8`."""
    return read_line(f"{root}/sys/devices/system/cpu/possible")


def count_cpus(ranges: str | None) -> int | None:
    """The number of CPUs in a list like `0-3,8`; None if it is not one."""
    if not ranges:
        return None
    count = 0
    for part in ranges.split(","):
        first, dash, last = part.partition("-")
        if not first.isdecimal() or (dash and not last.isdecimal()):
            return None
        count += int(last) - int(first) + 1 if dash else 1
    return count


def read_meminfo(proc: str = "/proc") -> dict[str, int]:
    """/proc/meminfo: bytes by name; what is no amount in kB is left out."""
    return parse_meminfo(read_line(f"{proc}/meminfo") or "")


def read_cpu_lists(proc: str = "/proc") -> int | None:
    """The bytes that CPUs keep free on lists of their own, which MemFree leaves out."""
    zones = read_line(f"{proc}/zoneinfo")
    return None if zones is None else parse_cpu_lists(zones) * os.sysconf("SC_PAGE_SIZE")


def parse_meminfo(text: str) -> dict[str, int]:
    """The text of /proc/meminfo: bytes by name; what is no amount in kB is left out."""
    amounts = {}
    for line in text.splitlines():
        name, _, value = line.partition(":")
        number, _, unit = value.strip().partition(" ")
        if unit == "kB" and number.isdecimal():
            amounts[name] = int(number) * 1024
    return amounts


def parse_cpu_lists(zoneinfo: str) -> int:
    """The pages of /proc/zoneinfo that are free, but kept on lists of the CPUs."""
    pages, in_list = 0, False
    for line in zoneinfo.splitlines():
        words = line.split()
        if words[:1] == ["cpu:"]:
            in_list = True
        elif in_list and words[:1] == ["count:"] and words[1:2] and words[1].isdecimal():
            pages += int(words[1])
            in_list = False
    return pages


def boot_parameter(root: str = "") -> str | None:
    """The value of BOOT_PARAMETER; "" if it is not given, None if unknown."""
    line = read_line(f"{root}/proc/cmdline")
    return None if line is None else find_parameter(line, BOOT_PARAMETER)


def find_parameter(cmdline: str, name: str) -> str:
    """The last value of a parameter, which is the effective one; "" if it is not given.

    As in kernel/params.c, - and _ are the same, and words after `--` are for init.
    """
    last = ""
    for word in cmdline.split():
        if word == "--":
            break
        key, equals, value = word.strip('"').partition("=")
        if equals and key.replace("-", "_") == name.replace("-", "_"):
            last = value.strip('"')
    return last


def config_paths(release: str, root: str = "") -> list[str]:
    """Where kernels and distributions keep the configuration of a kernel release."""
    return [
        f"{root}/proc/config.gz",
        f"{root}/boot/config-{release}",
        f"{root}/lib/modules/{release}/config",
        f"{root}/usr/lib/modules/{release}/config",
    ]


def kernel_config(release: str, root: str = "") -> tuple[str, dict[str, str]] | None:
    """(path, options of memory allocation profiling) of the kernel configuration.

    An option that is not set is `n`; an option unknown to the kernel is missing.
    """
    for path in config_paths(release, root):
        data = read_small(path)
        if data is None:
            continue
        if data[:2] == b"\x1f\x8b":
            try:
                data = zlib.decompressobj(31).decompress(data, _LARGEST)
            except zlib.error:
                continue
        return path, parse_config(data.decode("utf-8", "replace"))
    return None


def parse_config(text: str) -> dict[str, str]:
    """The options of memory allocation profiling, by full name."""
    options = {}
    for line in text.splitlines():
        if line.startswith("# ") and line.endswith(" is not set"):
            name, value = line[2 : -len(" is not set")], "n"
        else:
            name, _, value = line.partition("=")
        if name.startswith("CONFIG_MEM_ALLOC_PROFILING"):
            options[name] = value
    return options


def switch(name: str, root: str = "") -> str | None:
    """The value of a sysctl in /proc/sys/vm."""
    return read_line(f"{root}/proc/sys/vm/{name}")


def distribution() -> str | None:
    """The name of the distribution: `Debian GNU/Linux 12 (bookworm)`."""
    try:
        release = platform.freedesktop_os_release()
    except OSError:
        return None
    return release.get("PRETTY_NAME") or release.get("NAME")


def boot_editor(root: str = "") -> str | None:
    """What changes kernel parameters permanently: nixos, grubby, update-grub, grub2-mkconfig or
    None."""
    if os.path.exists(f"{root}/etc/NIXOS"):
        return "nixos"
    places = os.pathsep.join(root + place for place in ("/usr/sbin", "/usr/bin", "/sbin", "/bin"))
    tools = ("grubby", "update-grub", "grub2-mkconfig")
    return next((tool for tool in tools if shutil.which(tool, path=places)), None)
