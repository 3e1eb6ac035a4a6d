"""What a snapshot says of itself: `# key: value` lines behind the kernel's two header lines."""

from .errors import UsageError

TYPE_CHECKING = False
if TYPE_CHECKING:
    from .source import Info

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
    from .units import parse_count

    try:
        return parse_count(text)
    except UsageError:
        return None


def parse_time(text: str) -> float | None:
    """Seconds since 1970 for `2026-11-23T06:20:37.123456Z`, else None."""
    from datetime import datetime

    try:
        return datetime.fromisoformat(text.replace("Z", "+00:00")).timestamp()
    except (ValueError, OverflowError):
        return None


def format_time(seconds: float) -> str:
    """UTC with microseconds: `2026-11-23T06:20:37.123456Z`."""
    from time import gmtime, strftime

    whole, micro = divmod(round(seconds * 1_000_000), 1_000_000)
    return strftime("%Y-%m-%dT%H:%M:%S", gmtime(whole)) + f".{micro:06d}Z"
