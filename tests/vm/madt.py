"""An ACPI table that declares more possible CPUs than QEMU emulates.

A kernel counts as possible what the MADT (ACPI 6.5, 5.2.12) calls enabled, and with maxcpus=2 never
starts the rest. QEMU's own table has one entry for each CPU that it emulates, and those take its
time even where they do nothing; the kernel takes a newer table from the front of the initrd
(Documentation/admin-guide/acpi/initrd_table_override.rst).
"""

from __future__ import annotations

import struct

import cpio

MOST_CPUS = 255
_LAPIC, _IOAPIC, _OVERRIDE, _NMI = 0, 1, 2, 4
_NAME = "kernel/firmware/acpi/madt.aml"


def madt(cpus: int) -> bytes:
    """The table of a q35 machine with `cpus` CPUs, at most MOST_CPUS."""
    entries = [struct.pack("<BBBBI", _LAPIC, 8, cpu, cpu, 1) for cpu in range(cpus)]
    entries.append(struct.pack("<BBBBII", _IOAPIC, 12, 0, 0, 0xFEC00000, 0))
    # The timer is on pin 2, edge-triggered; what PCI uses is level-triggered, active high.
    for source, pin, flags in ((0, 2, 0), (5, 5, 13), (9, 9, 13), (10, 10, 13), (11, 11, 13)):
        entries.append(struct.pack("<BBBBIH", _OVERRIDE, 10, 0, source, pin, flags))
    entries.append(struct.pack("<BBBHB", _NMI, 6, 0xFF, 0, 1))
    body = struct.pack("<II", 0xFEE00000, 1) + b"".join(entries)
    size = 36 + len(body)
    # A table replaces one with the same signature and OEM's table if its OEM revision is higher.
    head = struct.pack("<4sIBB6s8sI4sI", b"APIC", size, 1, 0, b"BOCHS ", b"BXPC    ", 2, b"BXPC", 1)
    table = bytearray(head + body)
    table[9] = -sum(table) & 0xFF
    return bytes(table)


def initrd(cpus: int) -> bytes:
    """An archive with only the table."""
    return cpio.archive({_NAME: (cpio.FILE, madt(cpus))})
