"""`allocq profiling`: turns the counting on and off, and says what that means."""

import dataclasses
import errno
import json
from collections.abc import Mapping

from ..errors import AccessError, AllocqError, InterfaceError, SourceError, UsageError
from ..host.profiling import PERSISTENT, SYSCTL, check_persistent, persistent_text, read_later, turn
from ..host.root import as_root
from ..options.commands import PROFILING_ACTIONS, PROFILING_FORMATS
from ..options.shared import COLORS, FOUND, NOTHING
from ..output.stream import Output, warn
from ..output.terminal import screen_of, wants_color
from ..storage.files import save
from .arguments import choice, text_or
from .doctor.diagnose import CONFIG, DEBUG, boot_with, boots_enabled, profiling_findings
from .doctor.doctor import finding_lines
from .doctor.facts import Profiling, gather_profiling

_MISSED = (
    "allocations made while it was off are not counted, and those freed while it was off still are"
)
ON = f"The kernel counts from now on: {_MISSED}. Compare with listings taken from now on."
OFF = f"The counters are frozen, and stay wrong after it is turned on again: {_MISSED}."
_PUBLIC = 0o644


def profiling_command(values: Mapping[str, object], fd: int = 1) -> int:
    """Run the command; returns 0. `status` returns 1 if the kernel does not count."""
    action = text_or(values, "action", "status")
    if action not in PROFILING_ACTIONS:
        raise UsageError(f"no action '{action}'", f"use one of: {', '.join(PROFILING_ACTIONS)}")
    format = choice("format", values.get("format"), PROFILING_FORMATS) or "table"
    color = choice("color", values.get("color"), COLORS) or "auto"
    _check_options(action, values)
    facts = gather_profiling()
    out = Output(fd)
    if action == "status":
        if format == "json":
            out.write(_as_json(facts))
        else:
            screen = screen_of(fd)
            painted = wants_color(color, screen.terminal)
            lines = finding_lines(profiling_findings(facts), painted, screen.width)
            out.write("".join(line + "\n" for line in lines).encode("utf-8", "backslashreplace"))
        out.release()
        return FOUND if counts(facts) else NOTHING
    on = action == "on"
    persist, dry = bool(values.get("persist")), bool(values.get("dry_run"))
    if persist:
        check_persistent()
    lines = ["Dry run: nothing is changed."] if dry else []
    lines.append(_switch(facts, on, persist, dry))
    if persist:
        try:
            lines += _persist(facts, on, dry)
        except AllocqError as error:
            error.hint = f"{SYSCTL} is {int(on)} now, but only until the next boot"
            raise
    out.write("".join(f"{line}\n" for line in lines).encode())
    out.release()
    for path in read_later() if persist else []:
        warn(f"{path} sets {SYSCTL} too, and is read after {PERSISTENT}")
    return FOUND


def _check_options(action: str, values: Mapping[str, object]) -> None:
    """UsageError for an option of another action."""
    if action != "status":
        if values.get("format") is not None:
            raise UsageError(f"--format is for status, not for {action}", "omit --format")
        return
    if values.get("persist"):
        raise UsageError("--persist needs an action", "use allocq profiling on or off")


def counts(facts: Profiling) -> bool:
    """Does the kernel count allocations now?"""
    return facts.mem_profiling == "1" and facts.file_mode is not None


def _switch(facts: Profiling, on: bool, persist: bool, dry: bool) -> str:
    """Set the switch if it is not set yet; says what that does."""
    value, before = str(int(on)), facts.mem_profiling
    if before == value and (counts(facts) or not on):
        return f"{SYSCTL} is already {value}."
    if before is None and facts.file_mode is None:
        raise _missing(facts)
    if why := _cannot(facts):
        raise InterfaceError(why, _hint(facts, on))
    if not dry:
        try:
            turn(on)
        except OSError as error:
            raise _refused(error, facts, on, persist) from None
    return f"{SYSCTL}: {before} -> {value}. {ON if on else OFF}"


def _persist(facts: Profiling, on: bool, dry: bool) -> list[str]:
    if not dry:
        save(PERSISTENT, [persistent_text(on)], force=True, mode=_PUBLIC)
    lines = [f"{PERSISTENT}: {SYSCTL} = {int(on)} at each boot."]
    if on:
        lines.append("To count from the start of each boot: " + boot_with(facts, "1"))
    else:
        lines.append("To save the memory that profiling takes too: " + boot_with(facts, "never"))
    return lines


def _missing(facts: Profiling) -> AllocqError:
    if facts.config is not None and facts.config.get(CONFIG) == "y":
        return SourceError(f"cannot read {SYSCTL}: /proc/sys is missing or hidden")
    return InterfaceError(
        "this kernel has no memory allocation profiling", "allocq doctor says what is missing"
    )


def _cannot(facts: Profiling) -> str:
    """Why the kernel will refuse, as far as that is known before it is asked."""
    if facts.config is not None and facts.config.get(DEBUG) == "y":
        return f"{SYSCTL} cannot be changed: the kernel was built with {DEBUG}"
    if boots_enabled(facts.boot_parameter or "") == "never":
        return (
            "profiling is disabled until the next boot: booted with sysctl.vm.mem_profiling=never"
        )
    if facts.mem_profiling == "0" and facts.file_mode is None:
        if boots_enabled(facts.boot_parameter or "") is None:
            return "profiling is disabled until the next boot"
        return "the kernel has shut down profiling until the next boot"
    return ""


def _hint(facts: Profiling, on: bool) -> str:
    return boot_with(facts, "1" if on else "0")


def _refused(error: OSError, facts: Profiling, on: bool, persist: bool) -> AllocqError:
    if error.errno in (errno.EACCES, errno.EPERM):
        words = ["profiling", "on" if on else "off", *(["--persist"] if persist else [])]
        again = as_root(words)
        return AccessError(f"cannot set {SYSCTL}: {error.strerror}", again)
    if error.errno == errno.EINVAL:
        return InterfaceError("profiling is disabled until the next boot", _hint(facts, on))
    if error.errno == errno.EROFS:
        return AccessError(
            f"cannot set {SYSCTL}: /proc/sys is read-only here", "run it outside of the container"
        )
    return SourceError(f"cannot set {SYSCTL}: {error.strerror}")


def _as_json(facts: Profiling) -> bytes:
    """One JSON object: whether the kernel counts, the findings, and the facts behind them."""
    document = {
        "counting": counts(facts),
        "findings": [dataclasses.asdict(finding) for finding in profiling_findings(facts)],
        "facts": dataclasses.asdict(facts),
    }
    written = json.dumps(document, indent=2, ensure_ascii=False) + "\n"
    return written.encode("utf-8", "surrogateescape").decode("utf-8", "replace").encode()
