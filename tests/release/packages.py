"""deb and rpm, from a wheel: what is in it is put where a distribution has it.

/usr/lib/allocq is a prefix of its own, as a virtual environment is: bin/allocq, and python3 beside
it, which is the distribution's; lib/python3/site-packages with allocq and the packages that it
needs. Distributions have them too old (Debian 12: typer 0.7, no orjson), each at another version.
A compiled one is there once for each Python, side by side, so the package outlives an upgrade of
the distribution. For machines without wheels of them, the distribution's packages are needed.
"""

from __future__ import annotations

import gzip
import json
import re
import shutil
import textwrap
import zipfile
from collections.abc import Sequence
from datetime import UTC, datetime
from email import message_from_string
from email.message import Message
from email.utils import format_datetime
from pathlib import Path, PurePosixPath

from .index import download_locked
from .machines import Machine, Machinery
from .tree import ROOT, settle
from .wheels import run

HERE = Path(__file__).resolve().parent
PRIVATE = PurePosixPath("usr/lib/allocq")
SITE = PRIVATE / "lib" / "python3" / "site-packages"
UNITS = PurePosixPath("usr/lib/systemd/system")
UNIT_KINDS = (".service", ".timer", ".socket", ".path", ".target")
KINDS = ("deb", "rpm")
DOCUMENTS = ("/usr/share/man/", "/usr/share/doc/")
# rpm leaves directories behind that no package owns; these may be there without another package.
OWNED = {"allocq", "bash-completion", "fish", "zsh"}
MAINTAINER = "the allocq authors <root@localhost>"
COMMON = {"Apache-2.0": "Apache License", "MPL-2.0": "Mozilla Public License Version 2.0"}
OVERRIDES = """\
# It starts without a loader, and works in a rescue system.
allocq: statically-linked-binary [usr/lib/allocq/bin/allocq]
# They are the bytes that the package index has, which can be compared.
allocq: unstripped-binary-or-object [usr/lib/allocq/lib/python3/site-packages/*]
allocq: unusual-interpreter python [usr/lib/allocq/lib/python3/site-packages/*]
# No helper is needed that a small root may not have, and no other Python is meant.
allocq: maintainer-script-calls-systemctl *
allocq: command-with-path-in-maintainer-script *
# It is not in Debian's archive.
allocq: initial-upload-closes-no-bugs *
# The authors have no address.
allocq: bogus-mail-host *
allocq: bogus-mail-host-in-debian-changelog *
allocq: root-in-contact *
"""
RPMLINT = """\
CompressExtension = 'gz'
Filters = [
  # A rpmlint that is not of an rpm distribution knows no license.
  'invalid-license',
  # It starts without a loader, and works in a rescue system.
  'statically-linked-binary /usr/lib/allocq/bin/allocq',
  # They are the bytes that the package index has, which can be compared.
  'non-executable-script /usr/lib/allocq/lib/python3/site-packages/',
  'unstripped-binary-or-object /usr/lib/allocq/lib/python3/site-packages/',
  'files-duplicate /usr/lib/allocq/lib/python3/site-packages/',
  # What it needs of Python's packages it brings along.
  'python-missing-require',
  # It is a license, which rpm lists as one.
  'not-listed-as-documentation /usr/share/doc/allocq/copyright',
  'spelling-error .*allocinfo',
  # Python is what the package requires.
  'dangling-relative-symlink /usr/lib/allocq/bin/python3 ',
  # nfpm gives links no mode; the kernel has none for them either.
  'zero-perms /usr/(lib/allocq/)?bin/[a-z0-9]+ 0$',
  # SHA256SUMS is for all files of the release; the authors have no key, and the project no page.
  'no-signature',
  'no-url-tag',
]
"""
COMPILED = ("cffi", "orjson")
LICENSES = {
    "Apache Software License": "Apache-2.0",
    "BSD License": "BSD-3-Clause",
    "MIT License": "MIT",
    "Mozilla Public License 2.0 (MPL 2.0)": "MPL-2.0",
}
"""What a wheel without a license expression may be classified as."""
# typer's own helpers and cffi's compiler are of no use to a program that is built.
LEFT_OUT = (
    "cffi/",
    "cffi-*/entry_points.txt",
    "typer-*/entry_points.txt",
    "*/RECORD",
    "*/REQUESTED",
)


def download(machinery: Machinery, machine: Machine) -> list[Path]:
    """The wheels of what allocq needs, for this machine and each Python."""
    locked = parse_lock((HERE / "vendored.txt").read_text())
    wheels = set()
    for python in machine.pythons or ("3.11",):
        place = machinery.cache / "vendored" / f"{machine.name}-{python}"
        names = [name for name in locked if machine.pythons or name not in COMPILED]
        lock = "".join(locked[name] for name in names)
        words = [f"--platform={name}" for name in machine.platforms("gnu")]
        words.append(f"--python-version={python}")
        wheels |= set(download_locked(machinery.python, place, lock, words))
    return sorted({wheel.name: wheel for wheel in wheels}.values())


def parse_lock(text: str) -> dict[str, str]:
    """Each package's lines of vendored.txt, by its name."""
    blocks = re.split(r"^(?=[\w-]+==)", text, flags=re.MULTILINE)[1:]
    return {block.partition("==")[0]: block for block in blocks}


def license_of(wheel: Path) -> str:
    """The SPDX expression that its metadata has or amounts to; all, where it names several."""
    declared = metadata_of(wheel)["License-Expression"]
    classifiers = metadata_of(wheel).get_all("Classifier", [])
    named = {LICENSES.get(each.rpartition(" :: ")[2], "") for each in classifiers} - {""}
    return declared or " AND ".join(sorted(named))


def metadata_of(wheel: Path) -> Message:
    with zipfile.ZipFile(wheel) as archive:
        (name,) = [each for each in archive.namelist() if each.endswith(".dist-info/METADATA")]
        return message_from_string(archive.read(name).decode())


def lay_out(machinery: Machinery, machine: Machine, wheel: Path, kind: str, root: Path) -> None:
    """The files of the package below `root`."""
    site = root / SITE
    site.mkdir(parents=True)
    for needed in download(machinery, machine):
        with zipfile.ZipFile(needed) as archive:
            for name in archive.namelist():
                if not left_out(name):
                    archive.extract(name, site)
    with zipfile.ZipFile(wheel) as archive:
        for name in archive.namelist():
            place = placed(name, kind)
            if place is None or left_out(name):
                continue
            path = root / place
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_bytes(archive.read(name))
    (info,) = site.glob("allocq-*.dist-info")
    (info / "INSTALLER").write_text(f"{kind}\n")
    program = root / PRIVATE / "bin" / "allocq"
    program.chmod(0o755)
    (program.parent / "python3").symlink_to("../../../bin/python3")
    (root / "usr" / "bin").mkdir()
    (root / "usr" / "bin" / "allocq").symlink_to("../lib/allocq/bin/allocq")
    for page in (root / "usr" / "share" / "man").rglob("*.[0-9]"):
        pack(page)
    documents(machinery, root, kind)
    settle(root, machinery.epoch)


def left_out(name: str) -> bool:
    path = PurePosixPath(name)
    return name.startswith("cffi/") or any(path.match(glob) for glob in LEFT_OUT)


def placed(name: str, kind: str) -> PurePosixPath | None:
    """Where a file of the wheel belongs; None: nowhere."""
    _, _, rest = name.partition(".data/")
    if not rest:
        return SITE / name
    what, _, rest = rest.partition("/")
    if what == "scripts":
        return PRIVATE / "bin" / rest
    path = PurePosixPath("usr") / rest
    if path.suffix in UNIT_KINDS:
        return UNITS / path.name
    if kind == "deb" and path.parent.name == "site-functions":
        return PurePosixPath("usr/share/zsh/vendor-completions") / path.name
    return path


def pack(path: Path) -> None:
    """PATH.gz for PATH, the same bytes each time."""
    path.with_name(f"{path.name}.gz").write_bytes(gzip.compress(path.read_bytes(), 9, mtime=0))
    path.unlink()


def documents(machinery: Machinery, root: Path, kind: str) -> None:
    """Changelog, copyright and lintian's overrides, where the distribution's rules have them."""
    folder = root / "usr" / "share" / "doc" / "allocq"
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "copyright").write_text(
        f"allocq, and what is installed with it below /{PRIVATE}:\n" + licenses(root / SITE)
    )
    if kind == "rpm":
        return
    changelog = folder / "changelog.Debian"
    changelog.write_text(debian_changelog(machinery.epoch))
    pack(changelog)
    overrides = root / "usr" / "share" / "lintian" / "overrides"
    overrides.mkdir(parents=True)
    (overrides / "allocq").write_text(OVERRIDES)


def licenses(site: Path) -> str:
    """The license texts of all packages; those that Debian has are named."""
    texts = []
    for info in sorted(site.glob("*.dist-info")):
        for path in sorted((info / "licenses").rglob("*")):
            if path.is_file():
                text = path.read_text().strip()
                common = next((name for name in COMMON if COMMON[name] in text[:300]), None)
                if common:
                    text = f"On Debian systems, /usr/share/common-licenses/{common} has the text."
                texts.append(f"\n{info.name.removesuffix('.dist-info')}, {path.name}\n\n{text}\n")
    return "\n".join(texts)


def debian_changelog(epoch: int) -> str:
    """The newest version's changes, as deb-changelog(5) has them."""
    version, items = newest_changes()
    lines = "".join(
        textwrap.fill(item, 76, initial_indent="  * ", subsequent_indent="    ") + "\n"
        for item in items
    )
    date = format_datetime(datetime.fromtimestamp(epoch, UTC))
    return f"allocq ({version}-1) unstable; urgency=medium\n\n{lines}\n -- {MAINTAINER}  {date}\n"


def rpm_changelog(epoch: int) -> str:
    """The same, as nfpm reads it."""
    version, items = newest_changes()
    changes = [{"note": item} for item in items]
    entry = {"semver": f"{version}-1", "date": iso(epoch), "packager": MAINTAINER}
    return json.dumps([{**entry, "changes": changes}])


def newest_changes() -> tuple[str, list[str]]:
    """The version that the changelog begins with, and what changed."""
    text = (ROOT / "man" / "prose" / "allocq-changes.7.mdoc").read_text()
    first = text.partition("\n.Ss ")[2].partition("\n.El\n")[0]
    version, _, rest = first.partition("\n")
    plain = re.sub(r"^\.[A-Z][a-z] ", "", rest.replace("\\-", "-"), flags=re.MULTILINE)
    items = [" ".join(item.split()) for item in re.split(r"^\.It\b", plain, flags=re.MULTILINE)]
    return version, items[1:]


def make_package(
    machinery: Machinery, machine: Machine, wheel: Path, kind: str, output: Path
) -> Path:
    """The deb or rpm for one machine."""
    work = machinery.scratch / f"{kind}-{machine.name}"
    root = work / "root"
    lay_out(machinery, machine, wheel, kind, root)
    units = sorted(path.name for path in (root / UNITS).glob("*"))
    for name, text in scripts(kind, units).items():
        (work / name).write_text(text)
    version = wheel.name.split("-")[1]
    config = {
        "name": "allocq",
        "arch": machine.deb if kind == "deb" else machine.rpm,
        "platform": "linux",
        "version": version,
        "version_schema": "none",
        "release": "1",
        "section": "utils",
        "priority": "optional",
        "maintainer": MAINTAINER,
        "description": description(root, kind),
        "license": license_terms([wheel, *download(machinery, machine)]),
        "mtime": iso(machinery.epoch),
        "depends": dependencies(machine, kind),
        # The unit's reload is `kill`, which is in what every rpm distribution begins with.
        "recommends": ["procps"] if kind == "deb" else [],
        "contents": contents(root, kind),
        "rpm": {"buildhost": "localhost", "group": "Applications/System"},
        "scripts": {name: str(work / name) for name in scripts(kind, units)},
    }
    if kind == "rpm":
        (work / "changelog.yaml").write_text(rpm_changelog(machinery.epoch))
        config["changelog"] = str(work / "changelog.yaml")
    path = output / file_name(machine, version, kind)
    (work / "nfpm.yaml").write_text(json.dumps(config, indent=1))
    words = ["package", "--config", str(work / "nfpm.yaml"), "--packager", kind]
    run(machinery, [machinery.tools / "bin" / "nfpm", *words, "--target", str(path)])
    shutil.rmtree(work)
    return path


def file_name(machine: Machine, version: str, kind: str) -> str:
    if kind == "deb":
        return f"allocq_{version}-1_{machine.deb}.deb"
    return f"allocq-{version}-1.{machine.rpm}.rpm"


def dependencies(machine: Machine, kind: str) -> list[str]:
    """What the distribution must have: Python, and what is not brought along."""
    newest = machine.pythons[-1:] and f"3.{int(machine.pythons[-1].split('.')[1]) + 1}"
    if kind == "deb":
        bounds = ["python3 (>= 3.11)", *([f"python3 (<< {newest})"] if newest else [])]
        others = [] if newest else ["python3-cffi-backend (>= 1.16)", "python3-orjson (>= 3.9)"]
        return [f"libc6 (>= {machine.glibc})", *bounds, *others]
    bounds = ["python3 >= 3.11", *([f"python3 < {newest}"] if newest else [])]
    others = [] if newest else ["python3-cffi >= 1.16", "python3-orjson >= 3.9"]
    # For the scripts; deb's are essential packages.
    return [f"glibc >= {machine.glibc}", "/bin/sh", "findutils", *bounds, *others]


def license_terms(wheels: Sequence[Path]) -> str:
    """The SPDX expression of all of it together."""
    terms = {license_of(wheel) for wheel in wheels} - {""}
    return " AND ".join(sorted(f"({each})" if " OR " in each else each for each in terms))


def contents(root: Path, kind: str) -> list[dict[str, object]]:
    """Every file, link and directory of the package for nfpm, which adds no others."""
    entries: list[dict[str, object]] = []
    for path in sorted(root.rglob("*")):
        place = f"/{path.relative_to(root)}"
        if path.is_symlink():
            entries.append({"src": str(path.readlink()), "dst": place, "type": "symlink"})
        elif path.is_dir():
            if not OWNED.isdisjoint(place.split("/")):
                entries.append({"dst": place, "type": "dir", "file_info": {"mode": 0o755}})
        else:
            mode = path.stat().st_mode & 0o777
            entry = {"src": str(path), "dst": place, "file_info": {"mode": mode}}
            if kind == "rpm" and place.startswith(DOCUMENTS):
                entry["type"] = "license" if path.name == "copyright" else "doc"
            entries.append(entry)
    return entries


def description(root: Path, kind: str) -> str:
    """The summary, and what the package is."""
    (metadata,) = (root / SITE).glob("allocq-*.dist-info/METADATA")
    summary = re.search(r"^Summary: (.*)$", metadata.read_text(), re.MULTILINE)
    assert summary is not None
    short = summary[1].partition(":")[0]
    # The one distribution's rules are against a capital letter, the other's for it.
    first = short[0].lower() if kind == "deb" else short[0]
    return (
        f"{first}{short[1:]}\n"
        "allocq reads /proc/allocinfo, the memory allocation profile of Linux, and\n"
        "filters, sums, records and compares what is in it."
    )


def iso(epoch: int) -> str:
    return datetime.fromtimestamp(epoch, UTC).strftime("%Y-%m-%dT%H:%M:%SZ")


_COMPILE = f"/usr/bin/python3 -I -m compileall -q /{SITE} || true\n"
_CLEAN = f"find /{PRIVATE} -name __pycache__ -prune -exec rm -rf {{}} +\n"


def scripts(kind: str, units: list[str]) -> dict[str, str]:
    """What is run around installing and removing, by nfpm's name for it.

    No unit is started or enabled: whoever wants a recorder says so.
    """
    names = " ".join(units)
    running = "[ -d /run/systemd/system ]"
    removing, upgraded = ('[ "$1" = remove ]', '[ -n "$2" ]') if kind == "deb" else (
        '[ "$1" = 0 ]', '[ "$1" -gt 1 ]')  # fmt: skip
    configuring = '[ "$1" = configure ] || exit 0\n' if kind == "deb" else ""
    reload = f"if {running}; then\n\tsystemctl daemon-reload || true\n"
    restart = f"\tif {upgraded}; then systemctl try-restart {names} || true; fi\n"
    disable = (
        f"if {removing} && command -v systemctl >/dev/null; then\n"
        f"\tif {running}; then systemctl stop {names} || true; fi\n"
        f"\tsystemctl --no-reload disable {names} >/dev/null 2>&1 || true\nfi\n"
    )
    after = f"if {running}; then systemctl daemon-reload || true; fi\n"
    forget = f"if {removing.replace('remove', 'purge')}; then rm -rf /var/lib/allocq; fi\n"
    gone = f"if {removing}; then rm -rf /run/allocq; fi\n"
    start = "#!/bin/sh\nset -e\n"
    return {
        "postinstall": start
        + configuring
        + _CLEAN
        + _COMPILE
        + (f"{reload}{restart}fi\n" if units else ""),
        # An rpm's comes after the other version's postinstall.
        "preremove": start
        + (disable if units else "")
        + (_CLEAN if kind == "deb" else f"{removing} || exit 0\n{_CLEAN}"),
        "postremove": start + gone + (after if units else "") + (forget if kind == "deb" else ""),
    }
