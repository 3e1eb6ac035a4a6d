"""Tags as a tree: directory, file, function, line. Pure: columns in, nodes out.

Nothing here recurses: a saved text may hold a path with thousands of directories.
"""

from collections.abc import Iterator, Sequence

DIRECTORY, FILE, FUNCTION, LINE = "directory", "file", "function", "line"


_NONE: "dict[tuple[str, str], Node]" = {}


class Node:
    """What is below one place. bytes, calls: sums over its `tags` tags; slab: the bytes of slab
    pages among them; number: of a line; depth: 0 for the root."""

    __slots__ = (
        "bytes", "calls", "children", "depth", "kind", "name", "number", "parent", "slab", "tags",
    )  # fmt: skip

    def __init__(self, name: str, kind: str, parent: "Node | None", number: int = 0) -> None:
        self.name = name
        self.kind = kind
        self.parent = parent
        self.number = number
        self.depth: int = parent.depth + 1 if parent else 0
        self.bytes = self.calls = self.tags = self.slab = 0
        self.children: dict[tuple[str, str], Node] = {} if kind != LINE else _NONE

    def child(self, name: str, kind: str, nodes: "list[Node]", number: int = 0) -> "Node":
        """The child of that name, made if need be."""
        key = kind, name
        found = self.children.get(key)
        if found is None:
            found = self.children[key] = Node(name, kind, self, number)
            nodes.append(found)
        return found

    def way(self) -> "list[Node]":
        """The nodes from below the root down to this one."""
        nodes = []
        node: Node | None = self
        while node is not None and node.parent is not None:
            nodes.append(node)
            node = node.parent
        return nodes[::-1]


class Choice:
    """What of a tree is shown. depth: levels below the root; least: bytes, smaller nodes are left
    out; limit: the first so many children of each node; holding: leave out what holds nothing."""

    __slots__ = ("depth", "holding", "least", "limit", "sort")

    def __init__(
        self,
        depth: int | None = None,
        least: int | None = None,
        sort: str = "bytes",
        limit: int | None = None,
        holding: bool = False,
    ) -> None:
        self.depth = depth
        self.least = least
        self.sort = sort
        self.limit = limit
        self.holding = holding

    def passes(self, node: Node) -> bool:
        """Is it large enough to be shown?"""
        if self.holding and not (node.bytes or node.calls):
            return False
        return self.least is None or node.bytes >= self.least

    def large_enough(self, node: Node) -> list[Node]:
        """The children that could be shown, in order, whatever their number."""
        if not node.children or (self.depth is not None and node.depth >= self.depth):
            return []
        found = list(node.children.values())
        if self.holding or self.least is not None:
            found = [child for child in found if self.passes(child)]
        if len(found) < 2:
            return found
        if self.sort == "name":
            found.sort(key=lambda child: (child.kind, child.number, child.name))
        elif self.sort == "calls":
            found.sort(key=lambda child: (-child.calls, child.number, child.name))
        else:
            found.sort(key=lambda child: (-child.bytes, child.number, child.name))
        return found

    def children(self, node: Node) -> list[Node]:
        """The children that are shown, in order."""
        found = self.large_enough(node)
        return found if self.limit is None else found[: self.limit]


def split_path(file: str) -> list[str]:
    """The components of a path; an absolute one begins with `/`."""
    parts = [part for part in file.split("/") if part]
    return ["/", *parts] if file.startswith("/") else parts or [file]


def path_of(way: Sequence[Node]) -> str:
    """The path of the directories and the file on a way."""
    names = [node.name for node in way if node.kind in (DIRECTORY, FILE)]
    joined = "/".join(names)
    return joined[1:] if names[:1] == ["/"] and len(names) > 1 else joined


def build(
    files: Sequence[str],
    functions: Sequence[str],
    lines: Sequence[int],
    sizes: Sequence[int],
    calls: Sequence[int],
    slab: Sequence[bool],
) -> Node:
    """The root of the tree of these tags, one of each sequence a tag."""
    root = Node("", DIRECTORY, None)
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
                place = place.child(name, DIRECTORY, nodes)
            place = known[file] = place.child(base, FILE, nodes)
        leaf = place.child(function, FUNCTION, nodes).child(str(line), LINE, nodes, line)
        leaf.bytes += size
        leaf.calls += count
        leaf.tags += 1
        if is_slab:
            leaf.slab += size
    for node in reversed(nodes):
        above = node.parent
        assert above is not None
        above.bytes += node.bytes
        above.calls += node.calls
        above.tags += node.tags
        above.slab += node.slab
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
    """(names from the top, bytes) of what is in a shown node and in none of its shown children.

    Only what is above zero: together it is the root's sum where nothing is below zero.
    """
    for node in walk(root, choice):
        own = node.bytes
        if node.children:
            own -= sum(child.bytes for child in choice.children(node))
        if own > 0:
            yield [step.name for step in node.way()], own
