"""The kernel's structs have the same layout on all machines: the asserts hold for each.

Nothing is linked or run. Kernel headers of the other machine are not needed either: those that
allocq/core/abi.h includes lead to the asm-generic ones there, as they do here.
"""

from __future__ import annotations

import re
import shutil
import subprocess
from pathlib import Path

import pytest

NATIVE = Path(__file__).parents[1] / "allocq" / "core"
# include/uapi/asm-generic/ioctl.h; powerpc, mips, sparc, alpha and parisc number ioctls otherwise.
NUMBERS = """
#include "abi.h"
_Static_assert(sizeof(void *) == POINTER, "this is another machine");
_Static_assert(ALLOCINFO_IOC_CONTENT_ID == 0x8008a600, "content id");
_Static_assert(ALLOCINFO_IOC_GET_AT == 0xc1d0a601, "get at");
_Static_assert(ALLOCINFO_IOC_GET_NEXT == 0x80e0a602, "get next");
"""
# name, bytes of a pointer, compilers with the flags that make them compile for it
MACHINES = [
    ("this one, 64 bits", 8, ["gcc -m64", "clang -m64"]),
    ("i386", 4, ["gcc -m32", "i686-linux-gnu-gcc", "clang --target=i386-linux-gnu"]),
    ("x32", 4, ["gcc -mx32", "clang --target=x86_64-linux-gnux32"]),
    ("arm64", 8, ["aarch64-linux-gnu-gcc", "clang --target=aarch64-linux-gnu"]),
    ("arm64, big-endian", 8, ["clang --target=aarch64_be-linux-gnu"]),
    ("arm", 4, ["arm-linux-gnueabihf-gcc", "clang --target=armv7-linux-gnueabihf"]),
    ("riscv64", 8, ["riscv64-linux-gnu-gcc", "clang --target=riscv64-linux-gnu"]),
    ("riscv32", 4, ["clang --target=riscv32-linux-gnu"]),
    ("s390x", 8, ["s390x-linux-gnu-gcc", "clang --target=s390x-linux-gnu"]),
]
ASM = ("bitsperlong.h", "ioctl.h", "int-ll64.h", "posix_types.h", "types.h")


@pytest.fixture
def asm(tmp_path: Path) -> Path:
    """<asm/…> of a machine without peculiarities of its own."""
    (tmp_path / "asm").mkdir()
    for name in ASM:
        (tmp_path / "asm" / name).write_text(f"#include <asm-generic/{name}>\n")
    return tmp_path


def compiler_for(name: str, asm: Path) -> list[str]:
    """The first of the machine's compilers that is there and knows it."""
    empty = asm / "empty.c"
    empty.write_text("")
    for words in next(machine[2] for machine in MACHINES if machine[0] == name):
        argv = [*words.split(), "-fsyntax-only"]
        if shutil.which(argv[0]) and not subprocess.run([*argv, empty], stderr=-3).returncode:
            return argv
    pytest.skip(f"no compiler for {name} (clang has most)")


def check(
    compiler: list[str], asm: Path, text: str, abi: str = ""
) -> subprocess.CompletedProcess[str]:
    source = asm / "x.c"
    source.write_text(text)
    if abi:
        (asm / "abi.h").write_text(abi)
    words = ["-std=gnu11", "-Wall", "-Wextra", "-Werror", "-isystem", str(asm), "-iquote"]
    words += [str(asm if abi else NATIVE), "-idirafter", "/usr/include", str(source)]
    return subprocess.run([*compiler, *words], capture_output=True, text=True)


@pytest.mark.parametrize(("name", "pointer"), [machine[:2] for machine in MACHINES])
def test_the_layout_and_the_numbers_are_the_same(name: str, pointer: int, asm: Path) -> None:
    compiler = [*compiler_for(name, asm), f"-DPOINTER={pointer}"]
    done = check(compiler, asm, NUMBERS)
    assert done.returncode == 0, done.stderr


@pytest.mark.parametrize("name", ["this one, 64 bits", "i386", "arm64", "arm"])
def test_the_asserts_would_find_another_layout(name: str, asm: Path) -> None:
    compiler = compiler_for(name, asm)
    abi = (NATIVE / "abi.h").read_text()
    assert check(compiler, asm, '#include "abi.h"\n', abi).returncode == 0
    for good, bad in [
        ("\t__u64 lineno;", "\t__u32 lineno;"),
        ("#define ALLOCINFO_STR_SIZE 64", "#define ALLOCINFO_STR_SIZE 56"),
        ("\t__u8 pad[7];\n} __attribute__((aligned(8)));", "} __attribute__((packed));"),
        ("\t__u64 min_size;\n\t__u64 max_size;", "\t__u64 max_size;\n\t__u64 min_size;"),
        (
            "\t__u64 pos;\n\tstruct allocinfo_filter filter;",
            "\tstruct allocinfo_filter filter;\n\t__u64 pos;",
        ),
    ]:
        assert good in abi
        done = check(compiler, asm, '#include "abi.h"\n', abi.replace(good, bad))
        assert done.returncode != 0, bad
        assert re.search("static.assert(ion)? failed", done.stderr), done.stderr
