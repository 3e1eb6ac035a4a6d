"""A dump as a listing: the text that /proc/allocinfo would have had, with a snapshot's metadata."""

from __future__ import annotations

import json
import time
from collections.abc import Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING

from ...core.text import header
from ...errors import FormatError, SourceError
from ...storage.snapshot import MARK, VERSION
from ...units import format_time
from . import facts
from .counters import Cpus
from .dump import Dump, check_vmlinux
from .meminfo import read_meminfo
from .memory import Memory, Unknown, Unreadable
from .program import Program
from .tags import Disabled, Found, Place, read_tags

if TYPE_CHECKING:
    from .memory import Kernel

INTERFACE = "vmcore"
_VERSION = "2.0"
_WORD = (1 << 64) - 1


@dataclass(frozen=True, slots=True)
class Listing:
    """A text in the snapshot format, and what to say of it."""

    text: bytes
    warnings: list[str]


def read_dump(fd: int, dump: Dump, vmlinux: str) -> Listing:
    """The tags of a dump that is open as `fd`. SourceError, FormatError."""
    check_vmlinux(vmlinux, dump)
    return listing_of(Program(fd, dump.path, vmlinux, dump.page_size), dump)


def listing_of(kernel: Kernel, dump: Dump) -> Listing:
    """The tags in a kernel's memory. SourceError, FormatError."""
    memory = Memory(kernel)
    try:
        kernel.symbol("alloc_tag_cttype")
    except Unknown:
        raise SourceError(
            f"{dump.path}: its kernel was built without CONFIG_MEM_ALLOC_PROFILING"
        ) from None
    try:
        cpus = Cpus.ask(memory)
        found = read_tags(memory, cpus)
    except Disabled:
        raise SourceError(
            f"{dump.path}: allocation profiling was disabled in this kernel until its next boot",
            "boot with sysctl.vm.mem_profiling=1",
        ) from None
    except Unknown as error:
        raise FormatError(
            f"{dump.path}: its kernel keeps the tags in a way that allocq does not know: {error}"
        ) from None
    except Unreadable as error:
        raise _lost(dump, f"the kernel's list of tags cannot be read ({error})") from None
    if not found.places:
        raise _lost(dump, _lost_words(found) or "its kernel has no tags")
    metadata = _metadata(memory, cpus, dump)
    metadata["interface"] = INTERFACE
    metadata["tags"] = str(len(found.places) + found.lost)
    head = f"# {MARK}: {VERSION}\n" + "".join(
        f"# {key}: {value}\n" for key, value in metadata.items()
    )
    text = header(_VERSION) + head.encode("utf-8", "surrogateescape") + b"".join(_lines(found))
    return Listing(text, list(_warnings(found, dump)))


def _lines(found: Found) -> Iterator[bytes]:
    """As alloc_tag_to_text() in mm/alloc_tag.c prints them."""
    for place, size, calls, partial in zip(
        found.places, found.bytes, found.calls, found.partial, strict=True
    ):
        yield b"%12d %8d %b%b\n" % (
            size,
            calls & _WORD,
            _subject(place),
            b"accurate:no " if place.inaccurate or partial else b"",
        )


def _subject(place: Place) -> bytes:
    module = b" [%b]" % place.module if place.module else b""
    return b"%b:%d%b func:%b " % (place.file, place.line, module, place.function)


def _metadata(memory: Memory, cpus: Cpus, dump: Dump) -> dict[str, str]:
    when = time.time() if dump.is_live else dump.crash_time or facts.seconds(memory)
    counting, meminfo = facts.profiling(memory), read_meminfo(memory, cpus)
    metadata = {
        "time": None if when is None else format_time(when),
        "host": facts.host(memory),
        "kernel": facts.release(memory) or dump.release,
        "boot-id": facts.boot_id(memory),
        "content-id": facts.content_id(memory),
        "possible-cpus": str(len(cpus.offsets)),
        "consistent": None if dump.is_live else "yes",
        "profiling": None if counting is None else "on" if counting else "off",
        "meminfo": json.dumps(meminfo.sizes, separators=(",", ":")) if meminfo.sizes else None,
        "free-on-cpus": None if meminfo.free_on_cpus is None else str(meminfo.free_on_cpus),
    }
    return {key: value for key, value in metadata.items() if value}


def _lost(dump: Dump, what: str) -> SourceError:
    if not dump.level:
        return SourceError(f"{dump.path}: {what}: damaged, or not in the dump")
    return SourceError(
        f"{dump.path}: {what}: makedumpfile left out its pages (-d {dump.level})",
        "use a makedumpfile that knows this kernel, or leave out less: -d 1",
    )


def _lost_words(found: Found) -> str:
    """What cannot be read, or an empty string."""
    words = []
    if found.lost:
        words.append(_number(found.lost, "tag"))
    if found.lost_modules:
        words.append(f"the tags of {_number(found.lost_modules, 'module')}")
    return f"{' and '.join(words)} cannot be read" if words else ""


def _warnings(found: Found, dump: Dump) -> Iterator[str]:
    left_out = f"left out by makedumpfile -d {dump.level}" if dump.level else "not in the dump"
    if words := _lost_words(found):
        yield f"{dump.path}: {words}: damaged, or {left_out}"
    if partial := sum(found.partial):
        yield (
            f"{dump.path}: {_number(partial, 'sum')} lack the counters of some CPUs, which cannot"
            f" be read ({left_out}); they are marked inaccurate"
        )


def _number(number: int, what: str) -> str:
    return f"{number:,} {what}{'' if number == 1 else 's'}"
