"""The two listings that are compared: opened, read, and what they say of themselves set side by
side."""

from ..errors import UsageError
from ..model import OPTION_NAMES, Filter, asked
from ..output.json import head_of
from ..sources.source import open_source

TYPE_CHECKING = False
if TYPE_CHECKING:
    from ..core.table import Table
    from ..model import Info

_NOTES = ("host", "kernel", "boot-id", "filter")


class Side:
    """One listing. name: how to speak of it; notes: what it says of itself, empty if nothing."""

    __slots__ = ("info", "name", "notes", "table")

    def __init__(self, name: str, info: "Info", table: "Table", notes: dict[str, str]) -> None:
        self.name = name
        self.info = info
        self.table = table
        self.notes = notes

    @property
    def filter(self) -> "Filter | None":
        """The filter that the listing was saved with; None without one, or with several."""
        text = self.notes.get("filter", "")
        return read_noted(text) if text else None

    def narrow(self, filter: Filter) -> None:
        """Drop the tags that do not match."""
        from ..core.scan import Check

        Check(filter).apply(self.table)


def read_side(
    path: "str | None", filter: Filter, interface: str = "auto", noted: bool = True
) -> Side:
    """Read a saved listing, or the running kernel for None. SourceError, FormatError.

    noted: say of the running kernel what a snapshot would say of itself.
    """
    with open_source(path, interface) as source:
        snapshot = source.read(filter)
        notes = snapshot.info.notes
        if source.live and noted:
            from .snapshot import live_notes

            notes = live_notes(snapshot.info)
        return Side(path or "the running kernel", snapshot.info, snapshot.table, notes)


def read_noted(text: str) -> "Filter | None":
    """The Filter of a snapshot's `filter` note; None for a list of several and for what is not
    known."""
    from json import loads

    names = {option: field for field, option in OPTION_NAMES.items()}
    try:
        values = {names.get(name, name): value for name, value in loads(text).items()}
        if "lines" in values:
            values["lines"] = [(low, high) for low, high in values["lines"]]
        return Filter(**values)
    except (AttributeError, TypeError, ValueError, UsageError):
        return None


def level(before: Side, after: Side) -> list[str]:
    """Apply each side's own filter to the other; returns what there is to say about it."""
    if before.notes.get("filter") == after.notes.get("filter"):
        return []
    said = []
    for side, other in ((before, after), (after, before)):
        text = side.notes.get("filter")
        if not text:
            continue
        filter = side.filter
        if filter is None:
            said.append(f"{side.name} holds only what its filter let through: {text}")
            continue
        other.narrow(filter)
        said.append(f"{other.name} is filtered as {side.name} was when it was saved: {text}")
    return said


def differences(before: Side, after: Side) -> list[str]:
    """What makes the two hard to compare, in words."""
    said = []
    for key, words in (
        ("host", "the hosts differ"),
        ("kernel", "the kernels differ, and lines move between kernels (--ignore-lines)"),
        ("boot-id", "the system was booted in between: every counter began anew"),
    ):
        one, two = before.notes.get(key), after.notes.get(key)
        if one and two and one != two:
            if key == "boot-id":
                same = before.notes.get("host") == after.notes.get("host")
                said.append(words if same else "the boots differ")
            else:
                said.append(f"{words}: {one}, {two}")
    for side in (before, after):
        if side.notes.get("consistent") == "no":
            said.append(f"modules came or went while {side.name} was read; it may be torn")
    seconds = elapsed(before, after)
    if seconds is not None and seconds < 0:
        said.append(f"{before.name} is younger than {after.name}")
    return said


def elapsed(before: Side, after: Side) -> "float | None":
    """Seconds from one to the other; None where a time is not known."""
    if before.info.time is None or after.info.time is None:
        return None
    return after.info.time - before.info.time


def heading(
    before: Side, after: Side, filter: Filter, seconds: "float | None"
) -> dict[str, object]:
    """What a JSON document says in front of its list."""
    head: dict[str, object] = {}
    for name, side in (("before", before), ("after", after)):
        source = head_of(filter, side.info)["source"]
        assert isinstance(source, dict)
        head[name] = {
            **source,
            "host": side.notes.get("host"),
            "boot_id": side.notes.get("boot-id"),
        }
    return {**head, "seconds": seconds, "filter": asked(filter)}
