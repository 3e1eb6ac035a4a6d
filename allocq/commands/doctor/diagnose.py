"""What a machine's facts mean for allocq: each one good, not good or unknown, and the fix."""

from dataclasses import dataclass

from ...host.machine import BOOT_PARAMETER, count_cpus
from ...units import format_size
from .facts import Cache, Cost, Facts

GOOD, NOT_GOOD, UNKNOWN = "good", "not good", "unknown"
READY, LESS, CANNOT = 0, 1, 2
VERDICTS = {
    READY: "ready for the ioctl",
    LESS: "works with less",
    CANNOT: "cannot work here",
}
_CONFIG = "CONFIG_MEM_ALLOC_PROFILING"
_DEFAULT = f"{_CONFIG}_ENABLED_BY_DEFAULT"
_DEBUG = f"{_CONFIG}_DEBUG"
_BUILD = (
    "boot a kernel built with it:"
    " scripts/config -e MEM_ALLOC_PROFILING -e MEM_ALLOC_PROFILING_ENABLED_BY_DEFAULT"
)
_NEWER = "boot a kernel that has the ioctl (Linux 7.3 or later)"
_DMESG = "dmesg | grep -i 'allocation profiling\\|allocation tag'"


@dataclass(frozen=True)
class Finding:
    """One line of the report. mend: a command, or what to do where no command does it; or empty."""

    item: str
    state: str
    value: str
    mend: str = ""


def verdict(facts: Facts) -> int:
    """READY, LESS or CANNOT; also the exit status."""
    if facts.tags is None:
        return CANNOT
    if facts.content_id is None or facts.ioctl_error or facts.mem_profiling == "0":
        return LESS
    return READY


def reason(facts: Facts) -> str:
    """Why it is not READY, in a few words; empty if it is."""
    if facts.file_mode is None:
        return "there is no /proc/allocinfo"
    if facts.tags is None:
        return "/proc/allocinfo cannot be read"
    reasons = []
    if facts.content_id is None or facts.ioctl_error:
        reasons.append("this kernel has no ioctl; the text gives the same answers")
    if facts.mem_profiling == "0":
        reasons.append("the counters stand still")
    return ", and ".join(reasons)


def findings(facts: Facts) -> list[Finding]:
    """The whole report, in the order to be read."""
    return [
        _software(facts),
        Finding("kernel", GOOD, " ".join(filter(None, (facts.kernel, facts.machine)))),
        Finding("distribution", *_known(facts.distribution)),
        _user(facts),
        _config(facts),
        _parameter(facts),
        _switch(facts),
        _compressed(facts),
        _file(facts),
        _format(facts),
        _ioctl(facts),
        Finding("content id", *_known(facts.content_id)),
        _tags(facts),
        Finding("modules", *_known(facts.modules, "with tags")),
        _cpus(facts),
        _inaccurate(facts),
        _cost("cost of the text", facts.text_cost, "reads"),
        _cost("cost of the ioctl", facts.ioctl_cost, "calls"),
        _cost("cost of one file", facts.file_cost, "calls", facts.file),
        _cache(facts.cache, facts.uid, facts.content_id),
    ]  # fmt: skip


def _known(value: object, words: str = "") -> tuple[str, str]:
    return (UNKNOWN, "") if value is None else (GOOD, f"{value} {words}".strip())


def _software(facts: Facts) -> Finding:
    missing = [name for name, version in facts.versions.items() if version is None]
    value = ", ".join(f"{name} {version or 'missing'}" for name, version in facts.versions.items())
    mend = f"python3 -m pip install {' '.join(missing)}" if missing else ""
    return Finding("software", NOT_GOOD if missing else GOOD, value, mend)


def _user(facts: Facts) -> Finding:
    if facts.uid == 0:
        return Finding("user", GOOD, "root")
    if facts.tags is not None:
        return Finding("user", GOOD, f"uid {facts.uid}, and may read it")
    if facts.file_mode is None:
        return Finding("user", UNKNOWN, f"uid {facts.uid}; the file is for root where it exists")
    return Finding("user", NOT_GOOD, f"uid {facts.uid}; the file is for root", "sudo allocq doctor")


def _config(facts: Facts) -> Finding:
    item = "kernel's config"
    if facts.config is None:
        return Finding(item, UNKNOWN, "neither /proc/config.gz nor /boot has it")
    if facts.config.get(_CONFIG) != "y":
        return Finding(item, NOT_GOOD, f"{_CONFIG} is not set ({facts.config_path})",
                       _BUILD)  # fmt: skip
    on = [name for name in (_CONFIG, _DEFAULT, _DEBUG) if facts.config.get(name) == "y"]
    return Finding(item, GOOD, ", ".join(f"{name}=y" for name in on) + f" ({facts.config_path})")


def boots_enabled(parameter: str) -> str | None:
    """What the kernel makes of the parameter: on, off, never, or None where it refuses it.

    setup_early_mem_profiling() in mm/alloc_tag.c, kstrtobool() in lib/kstrtox.c.
    """
    if parameter.startswith("never"):
        return "never"
    value, comma, rest = parameter.partition(",")
    if comma and rest != "compressed":
        return None
    if value[:1] in tuple("eEyYtT1") or value[:2].lower() == "on":
        return "on"
    if value[:1] in tuple("dDnNfF0") or value[:2].lower() == "of":
        return "off"
    return None


def _parameter(facts: Facts) -> Finding:
    item = "boot parameter"
    given = facts.boot_parameter
    mend = _boot_with(facts, "1")
    if given is None:
        return Finding(item, UNKNOWN, "/proc/cmdline cannot be read")
    if not given:
        default = facts.config.get(_DEFAULT) if facts.config else None
        there = facts.config is None or facts.config.get(_CONFIG) == "y"
        if facts.file_mode is None and there and default != "y":
            return Finding(item, NOT_GOOD if default else UNKNOWN,
                           f"no {BOOT_PARAMETER}; without it profiling is off for good"
                           + ("" if default else " on many kernels"), mend)  # fmt: skip
        needed = "none is needed" if there else "it would change nothing"
        return Finding(item, GOOD, f"no {BOOT_PARAMETER}; {needed}")
    value = f"{BOOT_PARAMETER}={given}"
    meant = boots_enabled(given)
    if meant == "never":
        return Finding(item, NOT_GOOD, f"{value}: off for good until the next boot", mend)
    if meant is None:
        return Finding(item, NOT_GOOD, f"{value}: the kernel does not understand it", mend)
    if meant == "off":
        return Finding(item, NOT_GOOD, f"{value}: off until it is switched on", mend)
    return Finding(item, GOOD, value)


def _boot_with(facts: Facts, value: str) -> str:
    """The command that makes the next boot use a value."""
    parameter = f"{BOOT_PARAMETER}={value}"
    if facts.boot_editor == "grubby":
        return f"sudo grubby --update-kernel=ALL --args={parameter} && sudo reboot"
    if facts.boot_editor == "update-grub":
        line = f'GRUB_CMDLINE_LINUX="$GRUB_CMDLINE_LINUX {parameter}"'
        return (
            f"echo '{line}' | sudo tee /etc/default/grub.d/allocq.cfg"
            " && sudo update-grub && sudo reboot"
        )
    return f"boot with {parameter} on the kernel's command line"


def _switch(facts: Facts) -> Finding:
    item, switch = "vm.mem_profiling", facts.mem_profiling
    if switch is None:
        config = facts.config.get(_CONFIG) if facts.config else None
        if config == "y" or facts.file_mode is not None:
            return Finding(item, UNKNOWN, "cannot be read")
        return Finding(item, NOT_GOOD, "this kernel has no such switch")
    if switch == "1":
        return Finding(item, GOOD, "1: counting")
    if facts.file_mode is None:
        return Finding(item, NOT_GOOD, f"{switch}: off, and cannot be switched on in this boot",
                       _boot_with(facts, "1"))  # fmt: skip
    value = f"{switch}: the counters stand still"
    if facts.config and facts.config.get(_DEBUG) == "y":
        return Finding(
            item, NOT_GOOD, f"{value}; {_DEBUG} locks the switch", _boot_with(facts, "1")
        )
    return Finding(item, NOT_GOOD, value, "sudo sysctl vm.mem_profiling=1")


def _compressed(facts: Facts) -> Finding:
    item, value = "compressed mode", facts.mem_profiling_compressed
    if value == "1":
        return Finding(item, GOOD, "on: page references are kept in page flags")
    if value == "0":
        return Finding(item, GOOD, f"off; {BOOT_PARAMETER}=1,compressed costs less memory")
    if facts.mem_profiling is not None:
        return Finding(item, GOOD, "this kernel has none, or does not show it")
    return Finding(item, UNKNOWN, "")


def _file(facts: Facts) -> Finding:
    item = "/proc/allocinfo"
    if facts.file_mode is None:
        if facts.mem_profiling is None:
            mend = _BUILD if facts.config is None else ""
            return Finding(item, NOT_GOOD, "not there: the kernel was built without it", mend)
        if boots_enabled(facts.boot_parameter or "") in ("on", "off"):
            value = "not there: the kernel has shut its profiling down"
            return Finding(item, NOT_GOOD, value, _DMESG)
        value = "not there: profiling is off for good in this boot"
        return Finding(item, NOT_GOOD, value, _boot_with(facts, "1"))
    if facts.open_error:
        mend = "" if facts.uid == 0 else "sudo allocq doctor"
        return Finding(item, NOT_GOOD, f"mode {facts.file_mode:04o}: {facts.open_error}", mend)
    if facts.read_error:
        return Finding(item, NOT_GOOD, f"opens, but: {facts.read_error}", _DMESG)
    return Finding(item, GOOD, f"mode {facts.file_mode:04o}, opens and reads")


def _format(facts: Facts) -> Finding:
    if facts.text_cost is None:
        return Finding("format version", UNKNOWN, "")
    if facts.format_version is None:
        return Finding("format version", NOT_GOOD, "the text does not begin with one")
    return Finding("format version", GOOD, facts.format_version)


def _ioctl(facts: Facts) -> Finding:
    if facts.ioctl_error:
        return Finding("ioctl", NOT_GOOD, f"{facts.ioctl_error}: the text is read instead", _NEWER)
    if facts.content_id is None:
        return Finding("ioctl", UNKNOWN, "")
    return Finding("ioctl", GOOD, "answers CONTENT_ID, GET_AT and GET_NEXT")


def _tags(facts: Facts) -> Finding:
    if facts.tags is None:
        return Finding("tags", UNKNOWN, "")
    state, note = GOOD, f"{facts.tags}"
    if facts.ioctl_cost is not None and facts.ioctl_cost.tags != facts.tags:
        state, note = NOT_GOOD, f"{note} in the text, {facts.ioctl_cost.tags} by the ioctl"
        return Finding("tags", state, note, "allocq verify")
    return Finding("tags", state if facts.tags else NOT_GOOD, note)


def _cpus(facts: Facts) -> Finding:
    count = count_cpus(facts.possible_cpus)
    if count is None:
        return Finding("possible CPUs", UNKNOWN, facts.possible_cpus or "")
    value = f"{count} ({facts.possible_cpus}): every counter is summed over them"
    return Finding("possible CPUs", GOOD, value)


def _inaccurate(facts: Facts) -> Finding:
    item, count = "inaccurate counters", facts.inaccurate
    if count is None:
        return Finding(item, UNKNOWN, "")
    if not count:
        return Finding(item, GOOD, "none is known to miss something")
    value = f"{count} known to miss something"
    return Finding(item, NOT_GOOD, value, "allocq query --inaccurate names them")


def _cost(item: str, cost: Cost | None, calls: str, what: str | None = None) -> Finding:
    if cost is None:
        return Finding(item, UNKNOWN, "")
    size = "" if cost.bytes is None else f", {format_size(cost.bytes)}"
    of = f" of {what}" if what else ""
    value = f"{_milliseconds(cost.seconds)}: {cost.tags} tags{of} in {cost.calls} {calls}{size}"
    return Finding(item, GOOD, value)


def _milliseconds(seconds: float) -> str:
    return f"{seconds * 1000:.3g} ms" if seconds < 1 else f"{seconds:.1f} s"


def _cache(cache: Cache, uid: int, content: int | None) -> Finding:
    item = "names cache"
    if cache.path is None:
        return Finding(item, GOOD, "none: XDG_RUNTIME_DIR is not set")
    folder = cache.path.rpartition("/")[0]
    remove = f"sudo rm -r {folder}"
    if cache.error:
        return Finding(item, NOT_GOOD, f"{cache.path}: {cache.error}", remove)
    if _strange(cache.directory_owner, cache.directory_mode, uid):
        value = f"{folder} is of uid {cache.directory_owner}, mode {cache.directory_mode:04o}"
        return Finding(item, NOT_GOOD, f"{value}: not used", remove)
    if not cache.exists:
        return Finding(item, GOOD, f"{cache.path} is not there yet; the first query makes it")
    value = (
        f"{cache.path}, uid {cache.owner}, mode {cache.mode:04o}, {format_size(cache.bytes or 0)}"
    )
    if _strange(cache.owner, cache.mode, uid):
        return Finding(item, NOT_GOOD, f"{value}: not used", f"sudo rm {cache.path}")
    if content is None:
        return Finding(item, GOOD, f"{value}: not needed without the ioctl")
    if not cache.fits:
        return Finding(item, GOOD, f"{value}: modules have changed; the next query makes it anew")
    return Finding(item, GOOD, f"{value}: fits")


def _strange(owner: int | None, mode: int | None, uid: int) -> bool:
    """Is it there, but not private to this user?"""
    return mode is not None and (owner != uid or mode & 0o077 != 0)
