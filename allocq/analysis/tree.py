"""Builds a tree of tags: directory, file, function, line.

Nothing here recurses, because a saved listing may contain paths with thousands of directories. A
path has at most LEVELS levels, because every node may be written with its whole path.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Self

LEVELS = 64


class NodeKind(StrEnum):
    """The level of a node."""

    DIRECTORY = "directory"
    FILE = "file"
    FUNCTION = "function"
    LINE = "line"


@dataclass(slots=True, eq=False)
class Node:
    """A node. bytes, calls: sums over its `tags` tags; slab, slab_calls: of slab pages among
    them; underflowed: how many of its tags are left out of these, their counters below zero;
    below: the bytes and calls of those; number: the line number of a line; depth: 0 for the root.
    """

    name: str
    kind: NodeKind
    parent: Self | None
    number: int = 0
    depth: int = field(init=False)
    bytes: int = 0
    calls: int = 0
    tags: int = 0
    slab: int = 0
    slab_calls: int = 0
    underflowed: int = 0
    below: tuple[int, int] = (0, 0)
    children: dict[tuple[NodeKind, str], Self] = field(default_factory=dict, repr=False)

    def __post_init__(self) -> None:
        self.depth = self.parent.depth + 1 if self.parent else 0

    @property
    def counters(self) -> tuple[int, int]:
        """(bytes, calls) to show: of what is left out where there is nothing else."""
        return self.below if self.tags == self.underflowed else (self.bytes, self.calls)

    def counted(self, once: bool) -> tuple[int, int]:
        """The same, once: without slab pages, where there is anything else."""
        if once and self.slab < self.bytes:
            return self.bytes - self.slab, self.calls - self.slab_calls
        return self.counters

    def has_only_pages(self) -> bool:
        """Is all of its memory that of slab pages?"""
        return 0 < self.slab == self.bytes

    def child(self, name: str, kind: NodeKind, nodes: list[Self], number: int = 0) -> Self:
        """The child of that name; a new child is also appended to `nodes`."""
        node = self.children.get((kind, name))
        if node is None:
            node = self.children[kind, name] = type(self)(name, kind, self, number)
            nodes.append(node)
        return node

    def path(self) -> list[Self]:
        """The nodes from the root, which is left out, down to this one."""
        nodes = []
        node: Self | None = self
        while node is not None and node.parent is not None:
            nodes.append(node)
            node = node.parent
        return nodes[::-1]


@dataclass(frozen=True, slots=True)
class Choice:
    """What to show of a tree. depth: levels below the root; least: hide nodes with fewer bytes;
    limit: children to show per node; holding: hide nodes that hold nothing; once: sort by what is
    counted without slab pages."""

    depth: int | None = None
    least: int | None = None
    sort: str = "bytes"
    limit: int | None = None
    holding: bool = False
    once: bool = False

    def passes(self, node: Node) -> bool:
        """Is the node large enough to show?"""
        if self.holding and not (node.bytes or node.calls or node.underflowed):
            return False
        return self.least is None or node.bytes >= self.least

    def large_enough(self, node: Node) -> list[Node]:
        """The children that are large enough to show, sorted, without the limit."""
        if not node.children or (self.depth is not None and node.depth >= self.depth):
            return []
        children = [child for child in node.children.values() if self.passes(child)]
        if self.sort == "name":
            children.sort(key=lambda child: (child.kind, child.number, child.name))
        elif self.sort == "calls":
            children.sort(key=lambda child: self._key(child, child.calls, 1))
        else:
            children.sort(key=lambda child: self._key(child, child.bytes, 0))
        return children

    def _key(self, child: Node, value: int, at: int) -> tuple[int, int, str]:
        # Underflowed counters are not in sums, and so come last.
        value = child.counted(True)[at] if self.once and child.slab else value
        return -value, child.number, child.name

    def children(self, node: Node) -> list[Node]:
        """The children to show, sorted."""
        return self.large_enough(node)[: self.limit]


def split_path(file: str) -> list[str]:
    """The components of a path; the first is `/` if it is absolute. The last of LEVELS components
    is the rest of the path."""
    parts = [part for part in file.split("/") if part]
    if len(parts) > LEVELS:
        parts[LEVELS - 1 :] = ["/".join(parts[LEVELS - 1 :])]
    return ["/", *parts] if file.startswith("/") else parts or [file]


def path_of(nodes: Sequence[Node]) -> str:
    """The path of the directories and the file among `nodes`."""
    names = [node.name for node in nodes if node.kind in (NodeKind.DIRECTORY, NodeKind.FILE)]
    joined = "/".join(names)
    return joined[1:] if names[:1] == ["/"] and len(names) > 1 else joined


def build(
    files: Sequence[str],
    functions: Sequence[str],
    lines: Sequence[int],
    sizes: Sequence[int],
    calls: Sequence[int],
    slab: Sequence[int],
) -> Node:
    """The root of the tree of tags, given by column."""
    root = Node("", NodeKind.DIRECTORY, None)
    nodes: list[Node] = []
    known: dict[str, Node] = {}
    for file, function, line, size, count, is_slab in zip(
        files, functions, lines, sizes, calls, slab, strict=True
    ):
        place = known.get(file)
        if place is None:
            place = root
            *directories, base = split_path(file)
            for name in directories:
                place = place.child(name, NodeKind.DIRECTORY, nodes)
            place = known[file] = place.child(base, NodeKind.FILE, nodes)
        parent = place.child(function, NodeKind.FUNCTION, nodes)
        leaf = parent.child(str(line), NodeKind.LINE, nodes, line)
        leaf.tags += 1
        if size < 0 or count < 0:
            leaf.underflowed += 1
            leaf.below = leaf.below[0] + size, leaf.below[1] + count
            continue
        leaf.bytes += size
        leaf.calls += count
        if is_slab:
            leaf.slab += size
            leaf.slab_calls += count
    for node in reversed(nodes):
        above = node.parent
        assert above is not None
        above.bytes += node.bytes
        above.calls += node.calls
        above.tags += node.tags
        above.slab += node.slab
        above.slab_calls += node.slab_calls
        above.underflowed += node.underflowed
        above.below = above.below[0] + node.below[0], above.below[1] + node.below[1]
    return root


def walk(root: Node, choice: Choice) -> Iterator[Node]:
    """The shown nodes below the root, each before its children."""
    stack = choice.children(root)[::-1]
    while stack:
        node = stack.pop()
        yield node
        if node.children:
            stack += choice.children(node)[::-1]


def fold(root: Node, choice: Choice) -> Iterator[tuple[list[str], int]]:
    """(names from the top, bytes) of each shown node, without the bytes of its shown children.

    Only positive values, as flame graph tools need; without underflowed counters they add up to the
    root.
    """
    for node in walk(root, choice):
        own = node.bytes
        if node.children:
            own -= sum(child.bytes for child in choice.children(node))
        if own > 0:
            yield [step.name for step in node.path()], own
