"""Judges the facts about a machine: good, not good or unknown, and the fix."""

from dataclasses import dataclass

from ...host.installation import PACKAGERS
from ...host.machine import BOOT_PARAMETER, count_cpus
from ...host.tracefs import TraceFacts
from ...units import format_size
from .facts import Cache, Cost, Facts, Profiling, Recorder

GOOD, NOT_GOOD, UNKNOWN = "good", "not good", "unknown"
READY, LESS, CANNOT = 0, 1, 2
VERDICTS = {
    READY: "ready for the ioctl",
    LESS: "works with limitations",
    CANNOT: "cannot work here",
}
CONFIG = "CONFIG_MEM_ALLOC_PROFILING"
_DEFAULT = f"{CONFIG}_ENABLED_BY_DEFAULT"
DEBUG = f"{CONFIG}_DEBUG"
_BUILD = (
    "boot a kernel built with it:"
    " scripts/config -e MEM_ALLOC_PROFILING -e MEM_ALLOC_PROFILING_ENABLED_BY_DEFAULT"
)
_NEWER = "boot a kernel that has the ioctl (Linux 7.3 or later)"
_ALLOW = (
    "a seccomp filter or a security module blocks it: allow ioctl() on /proc/allocinfo, or run"
    " allocq outside of the container"
)
_DMESG = "dmesg | grep -i 'allocation profiling\\|allocation tag'"


@dataclass(frozen=True)
class Finding:
    """One line of the report. mend: the fix, a command or an instruction; empty if none."""

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
    """Why the verdict is not READY; empty if it is."""
    if facts.file_mode is None:
        return "/proc/allocinfo does not exist"
    if facts.tags is None:
        return "cannot read /proc/allocinfo"
    reasons = []
    if facts.content_id is None or facts.ioctl_error:
        lacks = "the ioctl is refused" if facts.ioctl_refused else "this kernel has no ioctl"
        reasons.append(f"{lacks}; the text gives the same answers")
    if facts.mem_profiling == "0":
        reasons.append("the counters are frozen")
    return ", and ".join(reasons)


def findings(facts: Facts) -> list[Finding]:
    """All findings in the order of the report."""
    return [
        _software(facts),
        Finding("installed", GOOD, facts.installation),
        Finding("kernel", GOOD, " ".join(filter(None, (facts.kernel, facts.machine)))),
        Finding("distribution", *_known(facts.distribution)),
        _user(facts),
        *profiling_findings(facts),
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
        _recorder(facts.recorder),
        _stacks(facts.tracing),
    ]  # fmt: skip


def profiling_findings(facts: Profiling) -> list[Finding]:
    """The findings about the switch: what was built, booted and set."""
    return [_config(facts), _parameter(facts), _switch(facts), _compressed(facts)]


def _recorder(recorder: Recorder | None) -> Finding:
    item = "recorder"
    if recorder is None or recorder.running is None:
        return Finding(item, UNKNOWN, "")
    if not recorder.running and recorder.age is None:
        return Finding(item, GOOD, f"none in {recorder.folder}")
    state = "running" if recorder.running else "not running"
    if recorder.age is None:
        return Finding(item, NOT_GOOD, f"{state}, but without a sample in {recorder.folder}")
    value = f"{state}, last sample {_age(max(0, round(recorder.age)))} old, in {recorder.folder}"
    return Finding(item, GOOD if recorder.running else UNKNOWN, value)


def _stacks(tracing: TraceFacts | None) -> Finding:
    item = "call stacks"
    if tracing is None:
        return Finding(item, UNKNOWN, "")
    if tracing.why:
        state = UNKNOWN if tracing.denied else NOT_GOOD
        return Finding(item, state, tracing.why, "" if tracing.denied else tracing.fix)
    value = "allocq stacks can watch allocations"
    value += " and frees" if tracing.synthetic else ", but no frees (CONFIG_SYNTH_EVENTS)"
    if tracing.left:
        dead = "a killed one has" if tracing.left == 1 else f"{tracing.left} killed ones have"
        value += f"; {dead} left triggers behind, which the next run removes"
        return Finding(item, NOT_GOOD, value, "allocq stacks alloc_pipe_info --for 1s")
    return Finding(item, GOOD, value)


def _age(seconds: int) -> str:
    for unit, size in (("d", 86400), ("h", 3600), ("m", 60)):
        if seconds >= 2 * size:
            return f"{seconds // size} {unit}"
    return f"{seconds} s"


def _known(value: object, words: str = "") -> tuple[str, str]:
    return (UNKNOWN, "") if value is None else (GOOD, f"{value} {words}".strip())


def _software(facts: Facts) -> Finding:
    missing = [name for name, version in facts.versions.items() if version is None]
    value = ", ".join(f"{name} {version or 'missing'}" for name, version in facts.versions.items())
    mend = ""
    if missing:
        mend = PACKAGERS.get(facts.installation, f"python3 -m pip install {' '.join(missing)}")
    return Finding("software", NOT_GOOD if missing else GOOD, value, mend)


def _user(facts: Facts) -> Finding:
    if facts.uid == 0:
        return Finding("user", GOOD, "root")
    if facts.tags is not None:
        return Finding("user", GOOD, f"uid {facts.uid}, can read /proc/allocinfo")
    value = f"uid {facts.uid}; only root can read /proc/allocinfo"
    if facts.file_mode is None:
        return Finding("user", UNKNOWN, value)
    return Finding("user", NOT_GOOD, value, facts.as_root)


def _config(facts: Profiling) -> Finding:
    item = "kernel config"
    if facts.config is None:
        return Finding(item, UNKNOWN, "not found in /proc, /boot or /lib/modules")
    if facts.config.get(CONFIG) != "y":
        return Finding(item, NOT_GOOD, f"{CONFIG} is not set ({facts.config_path})",
                       _BUILD)  # fmt: skip
    on = [name for name in (CONFIG, _DEFAULT, DEBUG) if facts.config.get(name) == "y"]
    return Finding(item, GOOD, ", ".join(f"{name}=y" for name in on) + f" ({facts.config_path})")


def boots_enabled(parameter: str) -> str | None:
    """How the kernel reads the boot parameter: on, off, never, or None if it rejects the value.

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


def boots_off(facts: Profiling) -> bool:
    """Is it certain that profiling was off when the kernel began?"""
    meant = boots_enabled(facts.boot_parameter or "")
    if meant is None and facts.boot_parameter is not None and facts.config:
        return facts.config.get(_DEFAULT) == "n"
    return meant == "off"


def _parameter(facts: Profiling) -> Finding:
    item = "boot parameter"
    given = facts.boot_parameter
    mend = boot_with(facts, "1")
    if given is None:
        return Finding(item, UNKNOWN, "cannot read /proc/cmdline")
    if not given:
        default = facts.config.get(_DEFAULT) if facts.config else None
        there = facts.config is None or facts.config.get(CONFIG) == "y"
        if facts.file_mode is None and there and default != "y":
            return Finding(item, NOT_GOOD if default else UNKNOWN,
                           f"no {BOOT_PARAMETER}: profiling is disabled until the next boot"
                           + ("" if default else " on many kernels"), mend)  # fmt: skip
        needed = "not needed" if there else "it would have no effect"
        return Finding(item, GOOD, f"no {BOOT_PARAMETER}; {needed}")
    value = f"{BOOT_PARAMETER}={given}"
    meant = boots_enabled(given)
    if meant == "never":
        return Finding(item, NOT_GOOD, f"{value}: disabled until the next boot", mend)
    if meant is None:
        return Finding(item, NOT_GOOD, f"{value}: the kernel rejects this value", mend)
    if meant == "off":
        return Finding(item, NOT_GOOD, f"{value}: off until turned on", mend)
    return Finding(item, GOOD, value)


def boot_with(facts: Profiling, value: str) -> str:
    """What sets the boot parameter from the next boot on: a command if possible."""
    parameter = f"{BOOT_PARAMETER}={value}"
    if facts.boot_editor == "grubby":
        return f"sudo grubby --update-kernel=ALL --args={parameter} && sudo reboot"
    if facts.boot_editor == "update-grub":
        line = f'GRUB_CMDLINE_LINUX="$GRUB_CMDLINE_LINUX {parameter}"'
        return (
            f"echo '{line}' | sudo tee /etc/default/grub.d/allocq.cfg"
            " && sudo update-grub && sudo reboot"
        )
    if facts.boot_editor == "grub2-mkconfig":
        return (
            f"add {parameter} to GRUB_CMDLINE_LINUX in /etc/default/grub, then"
            " sudo grub2-mkconfig -o /boot/grub2/grub.cfg && sudo reboot"
        )
    if facts.boot_editor == "nixos":
        return f'boot.kernelParams = [ "{parameter}" ]; in configuration.nix, then rebuild and boot'
    return f"boot with {parameter} on the kernel's command line"


def _switch(facts: Profiling) -> Finding:
    item, switch = "vm.mem_profiling", facts.mem_profiling
    if switch is None:
        config = facts.config.get(CONFIG) if facts.config else None
        if config == "y" or facts.file_mode is not None:
            return Finding(item, UNKNOWN, "cannot be read")
        return Finding(item, NOT_GOOD, "this kernel does not have it")
    if switch == "1" and boots_off(facts):
        return Finding(item, NOT_GOOD, "1: counting, but not since boot: what was allocated before"
                       " profiling was turned on is not counted",
                       boot_with(facts, "1"))  # fmt: skip
    if switch == "1":
        return Finding(item, GOOD, "1: counting")
    if facts.file_mode is None:
        return Finding(item, NOT_GOOD, f"{switch}: disabled until the next boot",
                       boot_with(facts, "1"))  # fmt: skip
    value = f"{switch}: the counters are frozen"
    if facts.config and facts.config.get(DEBUG) == "y":
        return Finding(
            item, NOT_GOOD, f"{value}; {DEBUG} makes it read-only", boot_with(facts, "1")
        )
    if boots_enabled(facts.boot_parameter or "") == "never":  # older kernels have the file even so
        return Finding(item, NOT_GOOD, value, boot_with(facts, "1"))
    return Finding(item, NOT_GOOD, value, "sudo sysctl vm.mem_profiling=1")


def _compressed(facts: Profiling) -> Finding:
    item, value = "compressed mode", facts.mem_profiling_compressed
    if value == "1":
        return Finding(item, GOOD, "on: page tag references are stored in page flags")
    if value == "0":
        return Finding(item, GOOD, f"off; {BOOT_PARAMETER}=1,compressed costs less memory")
    if facts.mem_profiling is not None:
        return Finding(item, GOOD, "not supported by this kernel, or not shown")
    return Finding(item, UNKNOWN, "")


def _file(facts: Facts) -> Finding:
    item = "/proc/allocinfo"
    if facts.file_mode is None:
        if facts.mem_profiling is None:
            mend = _BUILD if facts.config is None else ""
            return Finding(item, NOT_GOOD, "missing: the kernel was built without it", mend)
        if boots_enabled(facts.boot_parameter or "") in ("on", "off"):
            value = "missing: the kernel has shut down profiling"
            return Finding(item, NOT_GOOD, value, _DMESG)
        value = "missing: profiling is disabled until the next boot"
        return Finding(item, NOT_GOOD, value, boot_with(facts, "1"))
    if facts.open_error:
        mend = "" if facts.uid == 0 else facts.as_root
        return Finding(item, NOT_GOOD, f"mode {facts.file_mode:04o}: {facts.open_error}", mend)
    if facts.read_error:
        return Finding(item, NOT_GOOD, f"opens, but reading it fails: {facts.read_error}", _DMESG)
    return Finding(item, GOOD, f"mode {facts.file_mode:04o}, opens and reads")


def _format(facts: Facts) -> Finding:
    if facts.text_cost is None:
        return Finding("format version", UNKNOWN, "")
    if facts.format_version is None:
        return Finding("format version", NOT_GOOD, "the text has no version line")
    return Finding("format version", GOOD, facts.format_version)


def _ioctl(facts: Facts) -> Finding:
    if facts.ioctl_refused:
        value = f"refused ({facts.ioctl_error}): the text is read instead"
        return Finding("ioctl", NOT_GOOD, value, _ALLOW)
    if facts.ioctl_error:
        return Finding(
            "ioctl", NOT_GOOD, f"{facts.ioctl_error}; queries read the text instead", _NEWER
        )
    if facts.content_id is None:
        return Finding("ioctl", UNKNOWN, "")
    return Finding("ioctl", GOOD, "answers CONTENT_ID, GET_AT and GET_NEXT")


def _tags(facts: Facts) -> Finding:
    if facts.tags is None:
        return Finding("tags", UNKNOWN, "")
    state, note = GOOD, f"{facts.tags}"
    if facts.ioctl_cost is not None and facts.ioctl_cost.tags != facts.tags:
        state, note = NOT_GOOD, f"{note} in the text, {facts.ioctl_cost.tags} through the ioctl"
        return Finding("tags", state, note, "allocq verify")
    return Finding("tags", state if facts.tags else NOT_GOOD, note)


def _cpus(facts: Facts) -> Finding:
    count = count_cpus(facts.possible_cpus)
    if count is None:
        return Finding("possible CPUs", UNKNOWN, facts.possible_cpus or "")
    value = f"{count} ({facts.possible_cpus}); each counter is summed over all of them"
    return Finding("possible CPUs", GOOD, value)


def _inaccurate(facts: Facts) -> Finding:
    item, count = "inaccurate counters", facts.inaccurate
    if count is None:
        return Finding(item, UNKNOWN, "")
    if not count:
        return Finding(item, GOOD, "none")
    value = f"{count}: the kernel missed some allocations there"
    return Finding(item, NOT_GOOD, value, "allocq query --inaccurate lists them")


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
    item = "tag cache"
    if cache.path is None:
        return Finding(item, GOOD, "none: XDG_RUNTIME_DIR is not set")
    folder = cache.path.rpartition("/")[0]
    remove = f"sudo rm -r {folder}"
    if cache.error:
        return Finding(item, NOT_GOOD, f"{cache.path}: {cache.error}", remove)
    if _not_private(cache.directory_owner, cache.directory_mode, uid):
        value = f"{folder}, uid {cache.directory_owner}, mode {cache.directory_mode:04o}"
        return Finding(item, NOT_GOOD, f"{value}: not private, so not used", remove)
    if not cache.exists:
        return Finding(item, GOOD, f"{cache.path} does not exist yet; the first query creates it")
    value = (
        f"{cache.path}, uid {cache.owner}, mode {cache.mode:04o}, {format_size(cache.bytes or 0)}"
    )
    if _not_private(cache.owner, cache.mode, uid):
        return Finding(
            item, NOT_GOOD, f"{value}: not private, so not used", f"sudo rm {cache.path}"
        )
    if content is None:
        return Finding(item, GOOD, f"{value}: not needed without the ioctl")
    if not cache.fits:
        return Finding(item, GOOD, f"{value}: outdated; the next query rebuilds it")
    return Finding(item, GOOD, f"{value}: valid")


def _not_private(owner: int | None, mode: int | None, uid: int) -> bool:
    """Does it exist without being private to this user?"""
    return mode is not None and (owner != uid or mode & 0o077 != 0)
