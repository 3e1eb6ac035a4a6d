"""What there is to say about a listing that was not read strictly: one line."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime

from .listing import Kind, Listing, Skipped


def note(
    path: str, shown: Sequence[Listing], listings: int, skipped: Skipped, ending: str = ""
) -> str:
    """One line, "" where there is nothing to say. shown: what was chosen; listings: how many there
    are; ending: what is wrong with the last line."""
    last = shown[-1]
    parts = [_which(shown, listings)] if listings > 1 else []
    if last.kind is Kind.LOG:
        parts = [*_log_words(last), *parts]
    else:
        if any(listing.rounded for listing in shown):
            parts.append(f"sizes are rounded{_powers(shown)}")
        if any(listing.moved for listing in shown):
            parts.append("the counters are not in front: the first number is taken as the size")
        if any(listing.cut_names for listing in shown):
            parts.append("long names were cut for a terminal")
        if skipped.count:
            lines = "1 line that is" if skipped.count == 1 else f"{skipped.count} lines that are"
            where = f"line {skipped.line}: " if skipped.line else ""
            first = "" if skipped.count == 1 else "the first is "
            parts.append(f"skipped {lines} not a tag, {first}{where}'{skipped.first}'")
    if ending and last.number == listings:
        parts.append(ending)
    if not parts:
        return ""
    member = f": {last.member}" if last.member else ""
    line = f": line {last.line}" if last.kind is Kind.LOG else ""
    return f"{path}{member}{line}: {'; '.join(parts)}"


def _powers(shown: Sequence[Listing]) -> str:
    if any(listing.guessed for listing in shown):
        return ", units taken as powers of 1024"
    return ", in powers of 1000 (k)" if any(listing.kilo for listing in shown) else ""


def _which(shown: Sequence[Listing], listings: int) -> str:
    if len(shown) > 1:
        return f"the tags of all {listings} listings together"
    last = shown[0]
    when = f", {last.time}" if last.time and last.kind is not Kind.LOG else ""
    where = "" if last.kind is Kind.LOG else f" (line {last.line}{when})"
    return f"this is listing {last.number} of {listings}{where}; --listing chooses another"


def _log_words(listing: Listing) -> list[str]:
    when = f" of {listing.time}" if listing.time else ", which does not say when it was printed"
    profiling = {
        "on": "profiling was on",
        "off": "profiling was off, so the counters were frozen",
        None: "it does not say whether profiling was on",
    }[listing.profiling]
    words = [
        f"the kernel's list{when}: its ten largest tags at most, sizes rounded to three digits;"
        f" {profiling}"
    ]
    if listing.mixed:
        words.append("mixed with the list of another CPU: some tags may be in the wrong one")
    return words


def default_of(listings: Sequence[Listing]) -> Listing:
    """The listing that is meant where none is named: the last. In an archive a listing with its
    header comes before what a log has."""
    whole = [each for each in listings if each.member and each.kind is Kind.LISTING]
    return whole[-1] if whole else listings[-1]


def metadata_warnings(path: str, listing: Listing) -> list[str]:
    """What a snapshot's metadata warn of."""
    warnings = []
    tags = listing.metadata.get("tags", "")
    if tags.isdecimal() and int(tags) != listing.tags:
        warnings.append(
            f"{path}: says it has {tags} tags but has {listing.tags}; it may be truncated"
        )
    if listing.metadata.get("profiling") == "off":
        warnings.append(f"{path}: profiling was off when it was saved: the counters were frozen")
    return warnings


def sums_words(sums: str) -> str:
    """What a text holds that is no listing."""
    if sums == "changes":
        return "the changes of allocq diff"
    if sums == "memory":
        return "the sums of allocq memory"
    if sums == "a tree":
        return "the sums of allocq tree"
    return f"sums per {sums}" if sums != "something" else "sums"


def time_of(text: str) -> float | None:
    """Seconds since 1970 for a snapshot's time."""
    try:
        return datetime.fromisoformat(text.replace("Z", "+00:00")).timestamp() if text else None
    except (ValueError, OverflowError):
        return None
