"""What a release is made of. tests/build-release --check tries the whole of it."""

from __future__ import annotations

import hashlib
import importlib.metadata
import json
import os
import re
import shutil
import subprocess
import sys
import tomllib
import zipfile
from pathlib import Path, PurePosixPath

import pytest
from release import index, packages, sbom, tree, units
from release.machines import LIBCS, MACHINES, Machine, Machinery, machine_called
from release.roots import Root, left_behind
from release.wheels import unversioned

import allocq
from allocq.analysis import stacks
from allocq.host import installation as where
from allocq.options.commands import COMMANDS
from allocq.storage import snapshot
from allocq.storage.parquet import schema as parquet
from allocq.storage.recording import schema as recording

ROOT = Path(__file__).resolve().parents[1]
EPOCH = 1_764_000_000
X86 = machine_called("x86_64")
NEEDED = ("click", "typer", "typing-extensions", "cffi", "orjson")


def wheel_of(folder: Path, name: str, version: str, files: dict[str, str]) -> Path:
    path = folder / f"{name.replace('-', '_')}-{version}-py3-none-any.whl"
    info = f"{name.replace('-', '_')}-{version}.dist-info"
    metadata = f"Metadata-Version: 2.4\nName: {name}\nVersion: {version}\nSummary: Show it: all\n"
    with zipfile.ZipFile(path, "w") as archive:
        for place, text in {
            f"{info}/METADATA": metadata + "License-Expression: MIT\n",
            f"{info}/RECORD": "",
            f"{info}/licenses/LICENSE": f"The license of {name}",
            **files,
        }.items():
            archive.writestr(place, text)
    return path


@pytest.fixture
def machinery(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Machinery:
    """Without tools; what packages bring along is made here."""
    index = tmp_path / "index"
    index.mkdir()
    wheels = [wheel_of(index, name, "1.0", {f"{name}/__init__.py": ""}) for name in NEEDED]
    for module in (packages, sbom):
        monkeypatch.setattr(module, "download", lambda machinery, machine: wheels)
    return Machinery(tmp_path / "tools", tmp_path / "cache", tmp_path / "scratch", EPOCH)


@pytest.fixture
def released(tmp_path: Path) -> Path:
    """A wheel with a file of each kind that pyproject.toml installs, whatever there is by now."""
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())
    data = project["tool"]["setuptools"]["data-files"]
    files = {
        f"allocq-{allocq.__version__}.data/data/{place}/{path.name}": path.read_text()
        for place, globs in data.items()
        for pattern in globs
        for path in ROOT.glob(pattern)
    }
    files[f"allocq-{allocq.__version__}.data/scripts/allocq"] = "program"
    files["allocq/__init__.py"] = ""
    return wheel_of(tmp_path, "allocq", allocq.__version__, files)


def test_the_version_is_in_one_place() -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())
    assert project["project"]["dynamic"] == ["version", "dependencies"]
    assert project["tool"]["setuptools"]["dynamic"]["version"] == {"attr": "allocq.__version__"}
    assert importlib.metadata.version("allocq") == allocq.__version__
    lines = subprocess.run(
        ["git", "-C", str(ROOT), "grep", "-lF", allocq.__version__, "--", "allocq", "*.toml"],
        capture_output=True, text=True,
    ).stdout.split()  # fmt: skip
    # flags.h is generated from it.
    assert not lines or set(lines) <= {"allocq/__init__.py", "allocq/core/flags.h"}


def test_the_changelog_begins_with_this_version() -> None:
    version, items = packages.newest_changes()
    assert version == allocq.__version__
    assert items and all(item.endswith(".") and "\\" not in item for item in items)
    text = packages.debian_changelog(EPOCH)
    assert text.startswith(f"allocq ({version}-1) unstable; urgency=medium\n\n  * ")
    assert text.endswith(">  Mon, 24 Nov 2025 16:00:00 +0000\n")
    if shutil.which("dpkg-parsechangelog"):
        done = subprocess.run(
            ["dpkg-parsechangelog", "-l-"], input=text, capture_output=True, text=True
        )
        assert (done.returncode, done.stderr) == (0, "")


@pytest.mark.parametrize("kind", packages.KINDS)
def test_a_package_has_all_that_the_wheel_has(
    machinery: Machinery, released: Path, kind: str, tmp_path: Path
) -> None:
    root = tmp_path / "root"
    packages.lay_out(machinery, X86, released, kind, root)
    there = {f"/{path.relative_to(root)}" for path in root.rglob("*") if not path.is_dir()}
    site = f"/{packages.SITE}"
    with zipfile.ZipFile(released) as archive:
        names = archive.namelist()
    for name in names:
        path = PurePosixPath(name)
        if path.suffix in packages.UNIT_KINDS:
            assert f"/usr/lib/systemd/system/{path.name}" in there
        elif "/man/" in name:
            assert f"/usr/{name.partition('/data/')[2]}.gz" in there
        elif "/data/" in name and path.parent.name != "site-functions":
            assert f"/usr/{name.partition('/data/')[2]}" in there
    assert f"{site}/allocq/__init__.py" in there
    zsh = "vendor-completions" if kind == "deb" else "site-functions"
    assert f"/usr/share/zsh/{zsh}/_allocq" in there
    for name in NEEDED:
        # Of cffi, only what C calls.
        assert (f"{site}/{name}/__init__.py" in there) == (name != "cffi")
        assert f"The license of {name}" in (root / "usr/share/doc/allocq/copyright").read_text()
    assert not [path for path in there if path.endswith("/RECORD")]
    assert (
        root / packages.SITE / f"allocq-{allocq.__version__}.dist-info/INSTALLER"
    ).read_text() == f"{kind}\n"
    links = [root / "usr/bin/allocq", root / packages.PRIVATE / "bin/python3"]
    assert [str(link.readlink()) for link in links] == [
        "../lib/allocq/bin/allocq",
        "../../../bin/python3",
    ]
    assert {path.stat().st_mtime for path in root.rglob("*") if not path.is_symlink()} == {EPOCH}
    entries = {str(entry["dst"]) for entry in packages.contents(root, kind)}
    assert there <= entries and "/usr/lib/allocq" in entries and "/usr/bin" not in entries


@pytest.mark.parametrize("kind", packages.KINDS)
@pytest.mark.parametrize("units", [[], ["allocq-record.service", "allocq-export.service"]])
def test_what_packages_run_is_a_shell_script(kind: str, units: list[str], tmp_path: Path) -> None:
    for name, text in packages.scripts(kind, units).items():
        assert subprocess.run(["sh", "-n"], input=text, text=True).returncode == 0, name
        assert "enable" not in text and "start allocq" not in text.replace("try-restart", "")
        assert all(unit in text for unit in units) or name == "postremove"


@pytest.mark.parametrize("machine", MACHINES, ids=lambda machine: machine.name)
def test_each_machine_needs_what_it_does_not_bring_along(machine: Machine) -> None:
    for kind in packages.KINDS:
        needed = " ".join(packages.dependencies(machine, kind))
        assert "3.11" in needed
        assert ("orjson" in needed) == (not machine.pythons)
        if machine.pythons:
            newest = int(machine.pythons[-1].split(".")[1])
            assert f"3.{newest + 1}" in needed
    for libc in LIBCS:
        assert all(tag.endswith(f"_{machine.name}") for tag in machine.platforms(libc))


def test_the_trial_of_the_units_is_a_shell_script() -> None:
    """tests/build-release --check runs it in a booted systemd."""
    assert subprocess.run(["sh", "-n"], input=units.SCRIPT, text=True).returncode == 0
    assert {f"{name}.service" for name in units.SERVICES} == {
        path.name for path in (ROOT / "allocq").rglob("*.service")
    }


def test_what_is_of_no_library_that_was_linked_is_told() -> None:
    symbols = """
     0: 0000000000000000     0 NOTYPE  LOCAL  DEFAULT  UND
     1: 0000000000000000     0 FUNC    GLOBAL DEFAULT  UND malloc@GLIBC_2.17 (2)
     2: 0000000000000000     0 FUNC    GLOBAL DEFAULT  UND PyImport_ImportModule
     3: 0000000000000000     0 FUNC    GLOBAL DEFAULT  UND _Py_Dealloc
     4: 0000000000000000     0 FUNC    GLOBAL DEFAULT  UND __snprintfieee128
     5: 0000000000000000     0 FUNC    WEAK   DEFAULT  UND __gmon_start__
     6: 0000000000005678    12 FUNC    GLOBAL DEFAULT   11 PyInit__native
"""
    assert unversioned(symbols) == ["__snprintfieee128"]


def test_the_lock_names_what_allocq_needs() -> None:
    locked = packages.parse_lock((ROOT / "tests/release/vendored.txt").read_text())
    needs = [line for line in importlib.metadata.requires("allocq") or () if "extra" not in line]
    assert len(needs) == 3
    for needed in needs:
        name, _, least = needed.partition(">=")
        version = re.match(rf"{name}==([\d.]+)", locked[name])
        assert version is not None
        assert tuple(map(int, version[1].split("."))) >= tuple(map(int, least.split(".")))
    assert all("--hash=sha256:" in block for block in locked.values())
    assert set(packages.COMPILED) < set(locked)


def test_the_bill_of_materials_names_every_file(machinery: Machinery, tmp_path: Path) -> None:
    output = tmp_path / "dist"
    output.mkdir()
    version = allocq.__version__
    names = [
        f"allocq-{version}.tar.gz", f"allocq_{version}-1_amd64.deb",
        f"allocq-{version}-1.x86_64.rpm", "allocq-x86_64-static",
    ]  # fmt: skip
    for name in names:
        (output / name).write_text(name)
    bill = sbom.write_bill(machinery, [X86], output)
    sbom.write_sums(output)
    document = json.loads(bill.read_text())
    assert [entry["fileName"] for entry in document["files"]] == [
        f"./{name}" for name in sorted(names)
    ]
    ids = [entry["SPDXID"] for entry in (*document["packages"], *document["files"])]
    assert len(ids) == len(set(ids))
    known = {*ids, "SPDXRef-DOCUMENT"}
    for relation in document["relationships"]:
        assert {relation["spdxElementId"], relation["relatedSpdxElement"]} <= known
    contained = [r for r in document["relationships"] if r["relationshipType"] == "CONTAINS"]
    assert len(contained) == 2 * len(NEEDED)
    assert document["creationInfo"]["created"] == "2025-11-24T16:00:00Z"
    done = subprocess.run(
        ["sha256sum", "--strict", "-c", sbom.SUMS], cwd=output, capture_output=True
    )
    assert done.returncode == 0 and done.stdout.count(b"\n") == len(names) + 1
    (output / names[0]).write_text("another")
    done = subprocess.run(
        ["sha256sum", "--strict", "-c", sbom.SUMS], cwd=output, capture_output=True
    )
    assert done.returncode == 1
    assert sbom.write_bill(machinery, [X86], output).read_text() != json.dumps(document)


def test_an_sdist_is_the_same_whoever_packs_it(tmp_path: Path) -> None:
    made = []
    for number, mask in enumerate((0o022, 0o077)):
        place = tmp_path / str(number)
        (place / "scratch").mkdir(parents=True)
        before = os.umask(mask)
        try:
            machinery = Machinery(Path(sys.prefix), place, place / "scratch", EPOCH)
            made.append(tree.make_sdist(machinery, place).read_bytes())
        except subprocess.CalledProcessError:
            pytest.skip("this is no git clone")
        finally:
            os.umask(before)
    assert made[0] == made[1]


def test_what_is_left_behind_is_told(tmp_path: Path) -> None:
    root = Root(tmp_path)
    (tmp_path / "usr").mkdir()
    (tmp_path / "usr" / "old").write_text("")
    before = root.paths()
    (tmp_path / "usr" / "empty" / "too").mkdir(parents=True)
    left_behind(root, before)
    (tmp_path / "usr" / "empty" / "file").write_text("")
    with pytest.raises(RuntimeError, match=r"left .*/usr/empty/file"):
        left_behind(root, before)
    (tmp_path / "usr" / "empty" / "file").unlink()
    (tmp_path / "usr" / "old").unlink()
    with pytest.raises(RuntimeError, match=r"lost .*/usr/old"):
        left_behind(root, before)


def test_the_daemonset_asks_for_little() -> None:
    """tests/build-release --check runs it."""
    text = (ROOT / "allocq/host/allocq-daemonset.yaml").read_text()
    assert "drop: [ALL]" in text and "add:" not in text
    for word in ("privileged:", "hostPID", "hostNetwork", "hostIPC", "SYS_ADMIN"):
        assert word not in text
    names = {command.name: command for command in COMMANDS}
    known = [line for line in re.findall(r"args: \[(.*)\]", text) if line.split(",")[0] in names]
    assert [line for line in known if line.startswith("record,")]
    # Without a capability root can become nobody else.
    assert [line for line in known if line.startswith("export,") and "--user, root," in line]
    for line in known:
        assert "--source, /host/proc/allocinfo" in line
    assert text.count("mountPath: /host/proc, readOnly: true}") == len(known) == 2
    (port,) = set(re.findall(r"(?:containerPort|[^c]port|listen, \S+?|/port): ?\"?(\d+)", text))
    assert f"port: {port}, targetPort: metrics" in text and f'--listen, ":{port}"]' in text
    assert text.count("httpGet: {path: /, port: metrics}") == 2
    for line in known:
        name, *words = line.split(", ")
        flags = {flag for option in names[name].options for flag in option.flags}
        assert {word for word in words if word.startswith("-")} <= flags


@pytest.mark.parametrize(
    ("installer", "tag", "prefix", "said"),
    [
        ("deb\n", "cp311-abi3-manylinux_2_17_x86_64", "", "deb"),
        ("rpm\n", "cp311-abi3-manylinux_2_17_x86_64", "", "rpm"),
        ("pip\n", "cp311-abi3-manylinux_2_17_x86_64", "", "pip, wheel"),
        ("pip\n", "cp311-abi3-musllinux_1_2_x86_64", "", "pip, wheel"),
        ("pip\n", "cp311-abi3-linux_x86_64", "", "pip, built here"),
        ("uv\n", "cp311-abi3-manylinux_2_17_x86_64", "", "uv, wheel"),
        ("pip\n", "cp311-abi3-manylinux_2_17_x86_64", "pipx_metadata.json", "pipx, wheel"),
        (None, "cp311-abi3-linux_x86_64", "", "unknown installer, built here"),
    ],
)
def test_how_it_was_installed(
    installer: str | None, tag: str, prefix: str, said: str,
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch,
) -> None:  # fmt: skip
    info = tmp_path / "allocq-9.8.7.dist-info"
    info.mkdir()
    if installer is not None:
        (info / "INSTALLER").write_text(installer)
    (info / "WHEEL").write_text(f"Wheel-Version: 1.0\nTag: {tag}\n")
    monkeypatch.setattr(where, "__file__", str(tmp_path / "allocq/host/installation.py"))
    monkeypatch.setattr(sys, "prefix", str(tmp_path))
    if prefix:
        (tmp_path / prefix).touch()
    assert where.installation("9.8.7") == said


def test_a_source_tree_is_told_from_an_editable_one(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    place = tmp_path / "my tree"
    monkeypatch.setattr(where, "__file__", str(place / "allocq/host/installation.py"))
    monkeypatch.setattr(sys, "path", [str(tmp_path / "site")])
    assert where.installation("1.2") == "source tree"
    info = tmp_path / "site" / "allocq-1.2.dist-info"
    info.mkdir(parents=True)
    (info / "direct_url.json").write_text('{"url": "file:///elsewhere"}')
    assert where.installation("1.2") == "source tree"
    (info / "direct_url.json").write_text(f'{{"url": "{place.as_uri()}"}}')
    assert where.installation("1.2") == "editable"


@pytest.mark.parametrize(
    ("page", "said", "version"),
    [
        ("allocq-snapshot.5", r"allocq\\-snapshot: (\w+)", snapshot.VERSION),
        ("allocq-recording.5", r"the version of this format, (\w+);", str(recording.VERSION)),
        ("allocq-parquet.5", r"This is version (\w+) of their schema", str(parquet.VERSION)),
        ("allocq-stacks.1", r"\.Ql version\n\((\w+)\)", str(stacks.VERSION)),
    ],
)
def test_the_version_of_a_format_is_the_one_that_its_page_gives(
    page: str, said: str, version: str
) -> None:
    """allocq-changes(7) promises that it is there."""
    assert re.findall(said, (ROOT / "man" / "prose" / f"{page}.mdoc").read_text()) == [version]
    changes = (ROOT / "man" / "prose" / "allocq-changes.7.mdoc").read_text()
    name = page.replace("-", "\\-").replace(".", " ")
    assert f".Xr {name}" in changes.partition(".Sh CHANGES")[0]


def test_what_the_cache_holds_is_held_against_its_sum(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    fetched: list[Path] = []

    def download(python: Path, where: Path, *words: str | Path) -> None:
        fetched.append(shutil.copy(wheel, where))

    monkeypatch.setattr(index, "download", download)
    wheel = wheel_of(tmp_path, "click", "1.0", {})
    lock = f"click==1.0 --hash=sha256:{hashlib.sha256(wheel.read_bytes()).hexdigest()}\n"
    cache = tmp_path / "cache"
    for times, damaged in ((1, False), (1, True), (2, False)):
        (kept,) = index.download_locked(tmp_path / "python", cache, lock)
        assert kept.read_bytes() == wheel.read_bytes() and len(fetched) == times
        if damaged:
            kept.write_bytes(b"x")
