"""What a snapshot says of itself: `# key: value` lines behind the kernel's two header lines."""

from ..errors import UsageError
from ..units import parse_count, parse_time

TYPE_CHECKING = False
if TYPE_CHECKING:
    from ..model import Info

MARK = "allocq-snapshot"


def parse(text: str) -> list[dict[str, str]]:
    """The keys and values of each snapshot in a text; other lines with a # are not ours."""
    found: list[dict[str, str]] = []
    for line in text.split("\n"):
        key, colon, value = line.removeprefix("#").strip().partition(":")
        if not colon:
            continue
        if key == MARK:
            found.append({})
        if found:
            found[-1].setdefault(key, value.strip())
    return found


def describe(info: "Info", text: str, headers: int, tags: int) -> None:
    """Fill `info` from a snapshot's own words; several together say nothing of all."""
    found = parse(text)
    if not found:
        return
    if len(found) > 1 or headers > 1:
        return
    notes = info.notes = found[0]
    info.kernel = notes.get("kernel")
    info.content_id = _count(notes.get("content-id", ""))
    info.consistent = {"yes": True, "no": False}.get(notes.get("consistent", ""))
    info.time = parse_time(notes.get("time", ""))
    if (said := _count(notes.get("tags", ""))) is not None and said != tags:
        info.consistent = False
        info.warnings.append(f"{info.path}: says it has {said} tags, has {tags}; it may be cut off")


def _count(text: str) -> int | None:
    try:
        return parse_count(text)
    except UsageError:
        return None
