"""A Query answered: read, order, write. Returns the exit status."""

import errno
import posix

from .errors import AllocqError, OutputError
from .formats import NUMBER, SIZE, TEXT, Column, Shape, writer
from .source import Wanted, open_source, sample_path

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterable

    from .formats import Writer
    from .model import Filter
    from .query import Query, View
    from .source import Info, Live, Saved
    from .table import Table

FOUND, NOTHING, FAILED, CLOSED_PIPE, INTERRUPTED = 0, 1, 2, 141, 130
HELD = 16 << 20
ASKED = {
    "files": "file",
    "functions": "function",
    "modules": "module",
    "lines": "line",
    "regexps": "regexp",
    "excludes": "exclude",
}


class Output:
    """Standard output or its like. Bytes are held back until `release`, at most HELD of them.

    An answer that outgrows that is written as it comes, unless the caller can start over.
    """

    def __init__(self, fd: int = 1) -> None:
        self._fd = fd
        self._held: list[bytes] = []
        self._size = 0
        self._open = False

    @property
    def full(self) -> bool:
        """More than HELD bytes, none of them written yet."""
        return self._size > HELD and not self._open

    def write(self, data: bytes) -> None:
        """Add to the answer."""
        if self._open:
            self._put(data)
        else:
            self._held.append(data)
            self._size += len(data)

    def release(self) -> None:
        """Write what was held back, and from now on everything at once."""
        self._open = True
        held, self._held = b"".join(self._held), []
        self._put(held)

    def forget(self) -> None:
        """Drop what was held back."""
        self._held, self._size = [], 0

    def _put(self, data: bytes) -> None:
        view = memoryview(data)
        while view:
            try:
                view = view[posix.write(self._fd, view) :]
            except BrokenPipeError:
                raise
            except BlockingIOError:
                _wait_writable(self._fd)
            except OSError as error:
                raise OutputError(f"cannot write the answer: {error.strerror}") from None


def _wait_writable(fd: int) -> None:
    import select

    select.select((), (fd,), ())


def warn(text: str) -> None:
    """One line on standard error."""
    say(f"allocq: warning: {text}")


def say(line: str) -> None:
    """One line on standard error, with nothing in it that a terminal could act on."""
    from .formats.table import printable

    try:
        posix.write(2, (printable(line) + "\n").encode("utf-8", "backslashreplace"))
    except OSError:
        pass  # nobody is there to be told


def complain(error: AllocqError) -> int:
    """Say an error and its hint; returns the exit status."""
    say(f"allocq: {error}")
    if error.hint:
        say(f"hint: {error.hint}")
    return FAILED


def open_origin(query: "Query") -> "Live | Saved":
    """The source that a query names."""
    origin = query.origin
    path = sample_path() if origin.sample else origin.path
    return open_source(path, origin.interface)


def run_query(query: "Query", fd: int = 1) -> int:
    """Answer a query on a descriptor; returns the exit status. AllocqError, BrokenPipeError."""
    with open_origin(query) as source:
        if query.origin.explain:
            from .explain import explain

            return explain(query, source, Output(fd))
        found = _answer(query, source, Output(fd), posix.isatty(fd))
        for text in source.info.warnings:
            warn(text)
        return FOUND if found else NOTHING


def _answer(query: "Query", source: "Live | Saved", out: Output, terminal: bool) -> int:
    """Write the answer; returns how many tags matched, or 1 for "at least one" if quiet."""
    view = query.view
    if view.quiet or view.count:
        return _count(query, source, out)
    format = format_of(view, terminal)
    shape = shape_of(view, format, terminal)
    sort = sort_of(view, format)
    if view.group_by:
        return _groups(
            query, source, out, writer(format, shape, group_columns(view.group_by)), sort
        )
    write = writer(format, shape)
    if write.streams and sort == "none" and not view.reverse and not source.live:
        return _stream(query, source, out, write, shape)
    snapshot = source.read(query.filter, wanted_of(view, sort))
    order = None
    if sort != "none" or view.reverse or view.limit is not None:
        from .view import order_of

        order = order_of(snapshot.table, sort, view.reverse, view.limit)
    shape.version = snapshot.info.version or shape.version
    head = head_of(query.filter, snapshot.info) if format == "json" else {}
    out.write(write.begin(head, "tags"))
    for piece in write.tags(snapshot.table, order):
        out.write(piece)
    if not write.streams:
        tags, bytes_, calls = _sum(snapshot.table, order)
        total = {"tags": tags, "bytes": bytes_, "calls": calls}
        out.write(write.end(total, total_words(tags)))
    out.release()
    return len(snapshot)


def head_of(filter: "Filter", info: "Info") -> "dict[str, object]":
    """What a JSON document says in front of its list: the source and what was asked."""
    from .notes import format_time

    source = {
        "path": info.path,
        "interface": info.interface,
        "kernel": info.kernel,
        "content_id": info.content_id,
        "consistent": info.consistent,
        "time": None if info.time is None else format_time(info.time),
    }
    return {"source": source, "filter": asked(filter)}


def asked(filter: "Filter") -> "dict[str, object]":
    """What was asked for, under the names of its options."""
    return {ASKED.get(name, name): value for name, value in filter.items().items()}


def total_words(tags: int) -> str:
    """What stands beside the sums of a table."""
    return f"total of {tags} {'tag' if tags == 1 else 'tags'}"


def group_columns(by: str) -> "tuple[Column, ...]":
    """The columns of sums."""
    return (
        Column("bytes", SIZE),
        Column("calls", NUMBER),
        Column("tags", NUMBER),
        Column(by, TEXT),
    )


def format_of(view: "View", terminal: bool) -> str:
    """The format, the default resolved."""
    return view.format or ("table" if terminal else "procfs")


def sort_of(view: "View", format: str) -> str:
    """The order, the default resolved."""
    return view.sort or ("bytes" if format == "table" else "none")


def wanted_of(view: "View", sort: str) -> Wanted:
    """Which of the matching tags will be shown."""
    if view.quiet:
        return Wanted(first=1)
    if view.count or view.group_by or view.reverse or view.limit is None:
        return Wanted()
    if sort == "bytes":
        return Wanted(top=view.limit)
    # One at least: whether something matched is the exit status.
    return Wanted(first=max(view.limit, 1)) if sort == "none" else Wanted()


def _sum(table: "Table", order: "Iterable[int] | None") -> tuple[int, int, int]:
    """(tags, bytes, calls) of the rows that are shown."""
    if order is None:
        return len(table), *table.total()
    rows = list(order)
    sizes, calls = table.column("bytes"), table.column("calls")
    return len(rows), sum(sizes[i] for i in rows), sum(calls[i] for i in rows)


def _count(query: "Query", source: "Live | Saved", out: Output) -> int:
    if query.view.quiet and source.live:
        return len(source.read(query.filter, wanted_of(query.view, "none")))
    found = 0
    for batch in source.batches(query.filter):
        found += len(batch)
        if found and query.view.quiet:
            return found
    if not query.view.quiet:
        out.write(f"{found}\n".encode())
        out.release()
    return found


def _groups(query: "Query", source: "Live | Saved", out: Output, write: "Writer", sort: str) -> int:
    from .view import Group, add_groups, order_groups

    view = query.view
    groups: dict[str | None, Group] = {}
    for batch in source.batches(query.filter):
        add_groups(groups, batch, view.group_by or "file")
    shown = order_groups(list(groups.values()), sort, view.reverse, view.limit)
    out.write(write.begin(head_of(query.filter, source.info), "groups"))
    for piece in write.rows((g.bytes, g.calls, g.tags, g.key) for g in shown):
        out.write(piece)
    total = {
        "tags": sum(group.tags for group in shown),
        "bytes": sum(group.bytes for group in shown),
        "calls": sum(group.calls for group in shown),
    }
    out.write(write.end(total, "total"))
    out.release()
    return len(groups)


def _stream(
    query: "Query", source: "Live | Saved", out: Output, write: "Writer", shape: Shape
) -> int:
    """Write matches as they come. Nothing is written before the text has been found good, as far
    as it can be read twice or held back."""
    found = _pass(query, source, out, write, shape)
    if out.full:
        out.forget()
        out.release()
        found = _pass(query, source, out, write, shape)
    out.release()
    return found


def _pass(
    query: "Query", source: "Live | Saved", out: Output, write: "Writer", shape: Shape
) -> int:
    """Once through the text; what outgrows `out` is dropped where it can be read again."""
    found, limit = 0, query.view.limit
    again = source.repeatable and limit is None
    for batch in source.batches(query.filter):
        if not found:
            shape.version = source.info.version or shape.version
            out.write(write.begin({}, "tags"))
        order = None
        if limit is not None and found + len(batch) >= limit:
            order = range(limit - found)
        found += len(batch)
        if out.full and again:
            continue
        if out.full:
            out.release()
        for piece in write.tags(batch, order):
            out.write(piece)
        if order is not None:
            break
    if not found:
        shape.version = source.info.version or shape.version
        out.write(write.begin({}, "tags"))
    out.write(write.end(None, ""))
    return found


def shape_of(view: "View", format: str, terminal: bool) -> Shape:
    """The layout for a view on this terminal, or none."""
    header = format in ("table", "csv", "tsv") if view.header is None else view.header
    color = view.color == "always" or (
        view.color == "auto" and terminal and not posix.environ.get(b"NO_COLOR")
    )
    return Shape(header, view.bytes, color, terminal_width() if terminal else None)


def terminal_width() -> int:
    """Columns of the terminal on standard output; COLUMNS has the last word."""
    said = posix.environ.get(b"COLUMNS", b"")
    if said.isdigit() and len(said) < 6 and int(said) > 0:
        return int(said)
    try:
        return posix.get_terminal_size(1).columns or 80
    except OSError as error:
        assert error.errno in (errno.ENOTTY, errno.EINVAL, errno.EBADF)
        return 80


def query_command(values: "dict[str, object]") -> int:
    """`allocq query` on its slow way."""
    from .query import Query

    return run_query(Query(values))
