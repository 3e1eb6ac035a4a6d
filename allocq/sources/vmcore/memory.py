"""A kernel's memory, as its debug info describes it: the seam between drgn and all else here."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Literal, Protocol

_PAGES = 4096  # 16 MiB of pages of 4 KiB
_LONGEST_STRING = 4096
_HIGHEST_ERROR = 4095  # MAX_ERRNO: pointers from there on are errors


class Unreadable(Exception):
    """The bytes at this address are not in the dump, or it is no address."""

    def __init__(self, address: int) -> None:
        super().__init__(f"address {address:#x} cannot be read")
        self.address = address


class Unknown(Exception):
    """The debug info does not have something; str() names it."""


class Kernel(Protocol):
    """Memory and the debug info that describes it. read raises Unreadable, the others Unknown.

    word: bytes in a long and a pointer. order: `little` or `big`. page_size: in bytes.
    is_upper_half: the kernel's addresses have their highest bit set.
    """

    word: int
    order: Literal["little", "big"]
    page_size: int
    is_upper_half: bool

    def read(self, address: int, size: int) -> bytes: ...
    def symbol(self, name: str) -> int:
        """The address of a variable."""

    def field(self, name: str, member: str) -> int:
        """The address of a member of a variable, or of the first element of an array."""

    def length(self, name: str) -> int:
        """How many elements a variable has that is an array."""

    def offset(self, type: str, member: str) -> int:
        """Bytes from the beginning of a type to a member, `a.b` for one in another."""

    def size(self, type: str, member: str = "") -> int:
        """Bytes of a type, or of a member."""

    def constant(self, name: str) -> int:
        """The value of an enumerator."""


class Memory:
    """Values in a kernel's memory. Every method raises Unreadable; pages are kept once read."""

    def __init__(self, kernel: Kernel) -> None:
        self.kernel = kernel
        self._pages: dict[int, bytes] = {}

    def check(self, address: int) -> int:
        """The address, if it can be one of the kernel's data."""
        bits = 8 * self.kernel.word
        if not self.kernel.page_size <= address < (1 << bits) - _HIGHEST_ERROR or (
            self.kernel.is_upper_half and not address >> bits - 1
        ):
            raise Unreadable(address)
        return address

    def read(self, address: int, size: int) -> bytes:
        """`size` bytes, not kept."""
        self.check(address)
        return self.kernel.read(address, size)

    def small(self, address: int, size: int) -> bytes:
        """A few bytes, out of pages that are kept."""
        page_size = self.kernel.page_size
        at = address % page_size
        if at + size > page_size:
            first = page_size - at
            return self.small(address, first) + self.small(address + first, size - first)
        return self._page(address - at)[at : at + size]

    def _page(self, address: int) -> bytes:
        page = self._pages.get(address)
        if page is None:
            if len(self._pages) >= _PAGES:
                self._pages.clear()
            page = self._pages[address] = self.read(address, self.kernel.page_size)
        return page

    def unsigned(self, address: int, size: int) -> int:
        """A number of `size` bytes."""
        return int.from_bytes(self.small(address, size), self.kernel.order)

    def signed(self, address: int, size: int) -> int:
        """A number of `size` bytes that may be below zero."""
        return int.from_bytes(self.small(address, size), self.kernel.order, signed=True)

    def long(self, address: int) -> int:
        """A signed number as long as a word."""
        return self.signed(address, self.kernel.word)

    def pointer(self, address: int) -> int:
        """The pointer at an address."""
        return self.unsigned(address, self.kernel.word)

    def string(self, address: int) -> bytes:
        """The string at an address, without its NUL. Unreadable also where it is too long."""
        page_size = self.kernel.page_size
        pieces: list[bytes] = []
        left = _LONGEST_STRING
        while left > 0:
            room = min(page_size - address % page_size, left)
            piece = self.small(address, room)
            end = piece.find(b"\0")
            if end >= 0:
                return b"".join((*pieces, piece[:end]))
            pieces.append(piece)
            address, left = address + room, left - room
        raise Unreadable(address)

    def bits(self, address: int, size: int) -> Iterator[int]:
        """The numbers of the bits that are set in a bitmap of `size` bytes."""
        word = self.kernel.word
        for at in range(0, size, word):
            value = self.unsigned(address + at, min(word, size - at))
            while value:
                low = value & -value
                yield 8 * at + low.bit_length() - 1
                value ^= low
