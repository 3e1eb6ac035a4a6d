"""The running kernel as the engine asks it: the seam, the plan, single scans, the tag cache."""

from __future__ import annotations

import errno
import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from .binding import check, decode, encode, ffi, lib, new_problem, owned, raise_problem
from .callbacks import Hooks
from .filter import NativeFilter
from .table import Table

Fields = Mapping[str, str | int]
REFUSED = (errno.EPERM, errno.EACCES, errno.ENOSYS, errno.EOPNOTSUPP, errno.EBUSY)
"""What a seccomp filter or a security module says of an ioctl that it forbids."""
INTERFACES = {"auto": lib.AQ_AUTO, "ioctl": lib.AQ_IOCTL, "text": lib.AQ_TEXT}
_KERNEL_FIELDS = {
    "module": lib.AQ_K_MODULE,
    "function": lib.AQ_K_FUNCTION,
    "file": lib.AQ_K_FILE,
    "line": lib.AQ_K_LINE,
    "inaccurate": lib.AQ_K_INACCURATE,
    "min_size": lib.AQ_K_MIN_SIZE,
    "max_size": lib.AQ_K_MAX_SIZE,
}


def stdin_is_meant() -> bool | None:
    """Is standard input a pipe with something in it, or a file that looks like a listing? An idle
    pipe is waited for; None where nothing came."""
    return {1: True, -1: None}.get(lib.aq_stdin_is_meant(), False)


def looks_like_listing(fd: int) -> bool:
    """Does a tag, a header or a kernel's list come within 4 MiB of a file that was not read yet, or
    is it compressed? Nothing is read away."""
    return bool(lib.aq_looks_like_listing(fd))


def idle_pipe() -> str:
    """The warning where nothing came."""
    return decode(lib.aq_idle_pipe())


_METHODS = {lib.AQ_SEEK: "seek", lib.AQ_FILTER: "filter", lib.AQ_READ_TEXT: "text"}
_REASONS = {
    lib.AQ_R_TEXT_REQUESTED: "requested with --interface",
    lib.AQ_R_NO_IOCTL: "this kernel has no ioctl, or refuses it",
    lib.AQ_R_TEXT_CHEAPER: "reading the whole text is cheaper here",
    lib.AQ_R_TAGS_UNKNOWN: "the tags are not cached yet; the text lists them",
    lib.AQ_R_AMBIGUOUS: "only the text has the whole names",
    lib.AQ_R_KERNEL_FILTER: "the kernel filters and returns few tags",
    lib.AQ_R_LARGEST: "the largest tags had at least this size when last seen",
    lib.AQ_R_POSITIONS: "the positions of the matching tags are cached",
    lib.AQ_R_NO_MATCH: "no tag matches these names",
}


@dataclass(frozen=True)
class Plan:
    """How a question is answered. method: seek, filter or text; kernel: the fields of GET_AT's
    filter, and its mask; runs: (position, count) pairs; expected: tags the kernel will return, None
    if unknown; cost: nanoseconds, None if unknown; joined: some positions do not match; others: the
    alternatives, cheapest first."""

    method: str
    reason: str
    kernel: dict[str, str | int]
    mask: int
    runs: list[tuple[int, int]]
    expected: int | None
    cost: int | None
    joined: bool
    others: tuple[Plan, ...] = ()

    @property
    def ioctls(self) -> int | None:
        """How many GET_AT and GET_NEXT are expected; None if unknown."""
        if self.method == "text":
            return 0
        if self.expected is None:
            return None
        return self.expected if self.method == "seek" else self.expected + 1


class NativeSource:
    """An open source: a running kernel, or a saved listing that Text reads from `fd`."""

    def __init__(self, path: str | None, interface: str, held: int | None = None) -> None:
        """None: /proc/allocinfo; "-": standard input. held: a descriptor, taken over, that is read
        instead; path is what messages call it. Raises SourceError and its kinds."""
        problem = new_problem()
        name = ffi.NULL if path is None else ffi.new("char[]", encode(path))
        if held is None:
            native = lib.aq_source_open(name, INTERFACES[interface], problem)
        else:
            native = lib.aq_source_hold(held, name, problem)
        if native == ffi.NULL:
            raise_problem(problem)
        self._native: Any = native
        self.fd = int(lib.aq_source_fd(native))
        self.path = decode(lib.aq_source_path(native))
        self.live = bool(lib.aq_source_is_live(native))
        self.is_file = bool(lib.aq_source_is_file(native))
        self.has_ioctl = bool(lib.aq_source_has_ioctl(native))
        self.warning = decode(lib.aq_source_warning(native))

    def close(self) -> None:
        """Give the descriptor back. Closing twice is harmless."""
        native, self._native, self.fd = self._native, None, -1
        if native is not None:
            lib.aq_source_close(native)

    @property
    def closed(self) -> bool:
        """Was it closed?"""
        return self._native is None

    def rewind(self) -> None:
        """Begin again, if something was read. SourceError where that cannot be done."""
        problem = new_problem()
        if lib.aq_source_rewind(self._native, problem):
            raise_problem(problem)

    def content_id(self) -> int | None:
        """What changes when a module comes or goes; None without the ioctl. OSError."""
        content = ffi.new("uint64_t *")
        known = lib.aq_source_content_id(self._native, content)
        check(known)
        return int(content[0]) if known else None

    def read(
        self, filter: NativeFilter, hooks: Hooks, top: int = 0, first: int = 0
    ) -> tuple[Table, Any]:
        """(matching tags, aq_info) of a running kernel. top, first: how many are enough; 0: all."""
        table, info, problem = Table(), ffi.new("aq_info *"), new_problem()
        wanted = ffi.new("aq_wanted *", (top, first))
        failed = lib.aq_source_read(
            self._native, filter.native, wanted, hooks.native, table.native, info, problem
        )
        hooks.reraise()
        if failed:
            raise_problem(problem)
        return table, info

    def plan(self, filter: NativeFilter, hooks: Hooks, top: int = 0, first: int = 0) -> Plan:
        """How `read` would go about it now."""
        problem = new_problem()
        wanted = ffi.new("aq_wanted *", (top, first))
        native = lib.aq_source_plan(self._native, filter.native, wanted, hooks.native, problem)
        hooks.reraise()
        if native == ffi.NULL:
            raise_problem(problem)
        native = owned(native, lib.aq_plan_free)
        others: list[Plan] = []
        while (other := lib.aq_plan_other(native, len(others))) != ffi.NULL:
            others.append(_plan(other))
        return _plan(native, tuple(others))


def _plan(native: Any, others: tuple[Plan, ...] = ()) -> Plan:
    first, count = ffi.new("const uint32_t **"), ffi.new("const uint32_t **")
    runs = lib.aq_plan_runs(native, first, count)
    expected, cost = lib.aq_plan_expected(native), lib.aq_plan_cost(native)
    kernel = lib.aq_plan_kernel(native)
    return Plan(
        method=_METHODS[lib.aq_plan_method(native)],
        reason=_REASONS[lib.aq_plan_reason(native)],
        kernel={} if kernel == ffi.NULL else _fields(kernel),
        mask=0 if kernel == ffi.NULL else int(lib.aq_kfilter_mask(kernel)),
        runs=[(first[0][i], count[0][i]) for i in range(runs)],
        expected=None if expected < 0 else int(expected),
        cost=None if cost < 0 else int(cost),
        joined=bool(lib.aq_plan_joined(native)),
        others=others,
    )


def _fields(kernel: Any) -> dict[str, str | int]:
    """The fields that are set, by name."""
    name, number = ffi.new("const char **"), ffi.new("uint64_t *")
    fields: dict[str, str | int] = {}
    for word, field in _KERNEL_FIELDS.items():
        if lib.aq_kfilter_field(kernel, field, name, number):
            fields[word] = int(number[0]) if name[0] == ffi.NULL else decode(name[0])
    return fields


class KernelFilter:
    """The filter of GET_AT. Fields: module ("": built-in), function, file; line, inaccurate,
    min_size, max_size."""

    def __init__(self, fields: Fields) -> None:
        self.native = owned(lib.aq_kfilter_new(), lib.aq_kfilter_free)
        for name, value in fields.items():
            if isinstance(value, str):
                data = encode(value)
                check(lib.aq_kfilter_name(self.native, _KERNEL_FIELDS[name], data, len(data)))
            else:
                check(lib.aq_kfilter_number(self.native, _KERNEL_FIELDS[name], value))


def scan(fd: int, kernel: KernelFilter, table: Table) -> int:
    """Add to `table` what the kernel's filter lets through; returns the ioctls made.

    Names are as the kernel returns them, at most 63 bytes. OSError.
    """
    ioctls = ffi.new("uint64_t *")
    hooks = Hooks()
    result = lib.aq_scan(
        fd,
        kernel.native,
        NativeFilter().native,
        (1 << 8 * ffi.sizeof("size_t")) - 1,
        hooks.native,
        table.native,
        ioctls,
    )
    code = ffi.errno
    hooks.reraise()
    if result == lib.AQ_ERROR:
        check(-(code or errno.EIO))
    return int(ioctls[0])


def content_id(fd: int) -> int:
    """The content id by an open file. OSError: ENOTTY where the kernel has no ioctl."""
    content = ffi.new("uint64_t *")
    check(lib.aq_content_id(fd, content))
    return int(content[0])


def cache_directory() -> str | None:
    """Where the tag cache is kept: /run/allocq for root, else below XDG_RUNTIME_DIR; or None."""
    buffer = ffi.new("char[]", 4096)
    length = lib.aq_cache_directory(buffer, len(buffer))
    return decode(buffer, length) if length else None


def cache_fits(content: int) -> bool:
    """Is there a tag cache for this boot and content id that may be trusted?"""
    return bool(lib.aq_cache_fits(content, ffi.new("aq_costs *")))


def boot_id() -> str:
    """This boot's id, or an empty string."""
    buffer = ffi.new("char[]", 64)
    lib.aq_boot_id(buffer, len(buffer))
    return decode(buffer)


def root_command(argv: Sequence[str]) -> str:
    """`argv` as a shell command that runs it as root; "" if the program is not found."""
    words = [ffi.new("char[]", os.fsencode(word)) for word in argv]
    buffer = ffi.new("char[]", 4096)
    length = lib.aq_root_command(ffi.new("char *[]", [*words, ffi.NULL]), buffer, len(buffer))
    return decode(buffer, length)


def profiling_switch(allocinfo: str = "/proc/allocinfo") -> str | None:
    """What vm.mem_profiling beside this allocinfo says; None where it cannot be read."""
    buffer = ffi.new("char[]", 16)
    lib.aq_profiling_switch(os.fsencode(allocinfo), buffer, len(buffer))
    return decode(buffer) or None
