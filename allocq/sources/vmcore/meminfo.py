"""The numbers of /proc/meminfo from a kernel's memory, as fs/proc/meminfo.c adds them up."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass, field

from .counters import Cpus
from .memory import Memory, Unknown, Unreadable

_NODE, _ZONE = "struct pglist_data", "struct zone"
_MOST_INODES = 1 << 16
_MOST_PAGES = 1 << 51


@dataclass(slots=True)
class Meminfo:
    """sizes: bytes by name, without those that cannot be told. free_on_cpus: bytes on the lists of
    CPUs; None if unknown."""

    sizes: dict[str, int] = field(default_factory=dict)
    free_on_cpus: int | None = None


def read_meminfo(memory: Memory, cpus: Cpus) -> Meminfo:
    """What memory tells of /proc/meminfo, in its order."""
    reader = _Reader(memory, cpus)
    meminfo = Meminfo()
    for name, ask in _NUMBERS.items():
        if (size := _told(ask, reader)) is not None:
            meminfo.sizes[name] = max(0, size)
    meminfo.free_on_cpus = _told(_Reader.on_cpus, reader)
    return meminfo


def _told(ask: Callable[[_Reader], int | None], reader: _Reader) -> int | None:
    try:
        return ask(reader)
    except (Unknown, Unreadable):
        return None


class _Reader:
    """Counters of pages, in bytes."""

    def __init__(self, memory: Memory, cpus: Cpus) -> None:
        self.memory, self.kernel, self.cpus = memory, memory.kernel, cpus

    def pages(self, number: int) -> int:
        """Pages as bytes. Unreadable where they can be no memory."""
        if abs(number) > _MOST_PAGES:
            raise Unreadable(number)
        return number * self.kernel.page_size

    def atomic(self, name: str, at: int = 0) -> int:
        """A number in the array, or the variable, `name`. The kernel shows what is below zero as
        0."""
        return max(0, self.memory.long(self.kernel.symbol(name) + at * self.kernel.word))

    def zone(self, item: str) -> int:
        """Bytes of a counter of zones, summed by the kernel."""
        return self.pages(self.atomic("vm_zone_stat", self.kernel.constant(item)))

    def node(self, item: str) -> int:
        """Bytes of a counter of nodes, summed by the kernel."""
        return self.pages(self.atomic("vm_node_stat", self.kernel.constant(item)))

    def zones(self) -> Iterator[int]:
        """The zones of the nodes that are online."""
        kernel, memory = self.kernel, self.memory
        zones_at, size = kernel.offset(_NODE, "node_zones"), kernel.size(_ZONE)
        number = kernel.size(_NODE, "node_zones") // size
        for node in self._nodes():
            for each in range(number):
                zone = node + zones_at + each * size
                if memory.long(zone + kernel.offset(_ZONE, "present_pages")):
                    yield zone

    def _nodes(self) -> Iterator[int]:
        kernel, memory = self.kernel, self.memory
        try:
            nodes_at = kernel.symbol("node_data")
        except Unknown:
            yield kernel.symbol("contig_page_data")
            return
        size = kernel.size("nodemask_t")
        mask = kernel.symbol("node_states") + kernel.constant("N_ONLINE") * size
        for node in memory.bits(mask, size):
            if node < kernel.length("node_data"):
                yield memory.pointer(nodes_at + node * kernel.word)

    def available(self) -> int:
        """si_mem_available() in mm/show_mem.c."""
        kernel, memory = self.kernel, self.memory
        low_at = kernel.offset(_ZONE, "_watermark") + kernel.constant("WMARK_LOW") * kernel.word
        boost_at = kernel.offset(_ZONE, "watermark_boost")
        low = self.pages(
            sum(memory.long(zone + low_at) + memory.long(zone + boost_at) for zone in self.zones())
        )
        free = self.zone("NR_FREE_PAGES") - self.pages(self.atomic("totalreserve_pages"))
        cache = self.node("NR_ACTIVE_FILE") + self.node("NR_INACTIVE_FILE")
        slab = self.node("NR_SLAB_RECLAIMABLE_B") + self.node("NR_KERNEL_MISC_RECLAIMABLE")
        return free + cache - min(cache // 2, low) + slab - min(slab // 2, low)

    def on_cpus(self) -> int:
        """The `count` of /proc/zoneinfo, over all zones and CPUs."""
        kernel, memory = self.kernel, self.memory
        set_at = kernel.offset(_ZONE, "per_cpu_pageset")
        count_at = kernel.offset("struct per_cpu_pages", "count")
        mask = (1 << 8 * kernel.word) - 1
        pages = 0
        for zone in self.zones():
            at = memory.pointer(zone + set_at) + count_at
            pages += sum(memory.signed(at + cpu & mask, 4) for cpu in self.cpus.offsets)
        return self.pages(pages)

    def buffers(self) -> int:
        """nr_blockdev_pages() in block/bdev.c: the page cache of block devices."""
        kernel, memory = self.kernel, self.memory
        head = memory.pointer(kernel.symbol("blockdev_superblock"))
        head += kernel.offset("struct super_block", "s_inodes")
        link_at = kernel.offset("struct inode", "i_sb_list")
        mapping_at = kernel.offset("struct inode", "i_mapping")
        pages_at = kernel.offset("struct address_space", "nrpages")
        pages, link = 0, memory.pointer(head)
        for _ in range(_MOST_INODES):
            if link == head:
                return self.pages(pages)
            mapping = memory.pointer(link - link_at + mapping_at)
            pages += memory.long(mapping + pages_at)
            link = memory.pointer(link)
        raise Unreadable(head)

    def percpu(self) -> int:
        """pcpu_nr_pages() in mm/percpu.c."""
        units = self.memory.unsigned(self.kernel.symbol("pcpu_nr_units"), 4)
        return self.pages(self.atomic("pcpu_nr_populated") * units)

    def vmalloc(self) -> int:
        """A counter of nodes in newer kernels."""
        try:
            return self.node("NR_VMALLOC")
        except Unknown:
            return self.pages(self.atomic("nr_vmalloc_pages"))

    def huge(self) -> int | None:
        """hugetlb_report_meminfo(); None in a kernel without huge pages."""
        kernel, memory, type_ = self.kernel, self.memory, "struct hstate"
        try:
            at = kernel.symbol("hstates")
        except Unknown:
            return None
        number = memory.unsigned(kernel.symbol("hugetlb_max_hstate"), 4)
        if number > kernel.length("hstates"):
            raise Unreadable(at)
        total = 0
        for each in range(number):
            state = at + each * kernel.size(type_)
            order = memory.unsigned(state + kernel.offset(type_, "order"), 4)
            if order > 40:
                raise Unreadable(state)
            total += memory.long(state + kernel.offset(type_, "nr_huge_pages")) << order
        return self.pages(total)

    def slab(self) -> int:
        """Both kinds."""
        return self.node("NR_SLAB_RECLAIMABLE_B") + self.node("NR_SLAB_UNRECLAIMABLE_B")

    def stacks(self) -> int:
        """Counted in KiB."""
        kernel = self.kernel
        return 1024 * self.atomic("vm_node_stat", kernel.constant("NR_KERNEL_STACK_KB"))


def _cached(reader: _Reader) -> int:
    return reader.node("NR_FILE_PAGES") - _swap_cached(reader) - reader.buffers()


def _swap_cached(reader: _Reader) -> int:
    try:
        return reader.node("NR_SWAPCACHE")
    except Unknown:  # without CONFIG_SWAP
        return 0


_NUMBERS: dict[str, Callable[[_Reader], int | None]] = {
    "MemTotal": lambda reader: reader.pages(reader.atomic("_totalram_pages")),
    "MemFree": lambda reader: reader.zone("NR_FREE_PAGES"),
    "MemAvailable": _Reader.available,
    "Buffers": _Reader.buffers,
    "Cached": _cached,
    "SwapCached": _swap_cached,
    "AnonPages": lambda reader: reader.node("NR_ANON_MAPPED"),
    "Mapped": lambda reader: reader.node("NR_FILE_MAPPED"),
    "Shmem": lambda reader: reader.node("NR_SHMEM"),
    "Slab": _Reader.slab,
    "SReclaimable": lambda reader: reader.node("NR_SLAB_RECLAIMABLE_B"),
    "SUnreclaim": lambda reader: reader.node("NR_SLAB_UNRECLAIMABLE_B"),
    "KernelStack": _Reader.stacks,
    "PageTables": lambda reader: reader.node("NR_PAGETABLE"),
    "SecPageTables": lambda reader: reader.node("NR_SECONDARY_PAGETABLE"),
    "VmallocUsed": _Reader.vmalloc,
    "Percpu": _Reader.percpu,
    "Hugetlb": _Reader.huge,
}
