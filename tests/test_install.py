"""What is installed: the wheel's content, and its command, however it is installed and called.

One wheel is built from a copy of the tree, without the network; what allocq needs is taken from
this environment.
"""

from __future__ import annotations

import gzip
import json
import os
import re
import shutil
import subprocess
import sys
import sysconfig
import tarfile
import zipfile
from collections.abc import Sequence
from pathlib import Path

import pytest

import allocq

ROOT = Path(__file__).parents[1]
HERE = Path(sysconfig.get_path("purelib"))
VERSION = f"python{sys.version_info[0]}.{sys.version_info[1]}"
SHARED = {
    "man": ["man/man1/allocq.1", "man/man1/allocq-query.1", "man/man5/allocq-snapshot.5"],
    "services": [
        "allocq/allocq-record.service",
        "allocq/allocq-export.service",
        "allocq/prometheus.yml",
        "allocq/grafana.json",
    ],
    "completions": [
        "bash-completion/completions/allocq.bash",
        "zsh/site-functions/_allocq",
        "fish/vendor_completions.d/allocq.fish",
    ],
}
# What a stranger may have set, and left lying about in the current directory.
HOSTILE = {
    "PYTHONHOME": "/nonexistent",
    "PYTHONPATH": ".",
    "PYTHONSTARTUP": "re.py",
    "PYTHONINSPECT": "1",
    "PYTHONOPTIMIZE": "2",
    "PYTHONWARNINGS": "error",
    "CDPATH": "/",
}
QUERY = ("query", "--sample", "--file", "rapl.c", "--count")


def run(argv: Sequence[str | Path], **options: object) -> subprocess.CompletedProcess[str]:
    done = subprocess.run(argv, capture_output=True, text=True, **options)  # type: ignore[call-overload]
    assert isinstance(done, subprocess.CompletedProcess)
    return done


def good(argv: Sequence[str | Path], **options: object) -> str:
    done = run(argv, **options)
    assert done.returncode == 0, (argv, done.stdout[-2000:], done.stderr[-2000:])
    return str(done.stdout)


def copy_tree(where: Path) -> Path:
    """What a commit would hold, and nothing that was built."""
    names = subprocess.run(
        ["git", "ls-files", "-z", "-c", "-o", "--exclude-standard"],
        cwd=ROOT,
        capture_output=True,
        text=True,
    ).stdout.split("\0")
    if names == [""]:
        pytest.skip("this is no git clone")
    for name in names:
        if name and (ROOT / name).is_file():
            (where / name).parent.mkdir(parents=True, exist_ok=True)
            shutil.copy2(ROOT / name, where / name)
    return where


def built(what: str, tree: Path, where: Path) -> Path:
    """The wheel or sdist that the tree's build backend makes."""
    where.mkdir(parents=True)
    program = f"import setuptools.build_meta as b; print(b.build_{what}({str(where)!r}))"
    return where / good([sys.executable, "-c", program], cwd=tree).splitlines()[-1]


@pytest.fixture(scope="session")
def tree(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return copy_tree(tmp_path_factory.mktemp("tree"))


@pytest.fixture(scope="session")
def wheel(tree: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    return built("wheel", tree, tmp_path_factory.mktemp("wheel") / "x")


def install(python: Path, *argv: str | Path) -> None:
    pip = [sys.executable, "-m", "pip", "--python", str(python), "install", "-q", "--no-deps"]
    good([*pip, "--no-index", "--disable-pip-version-check", *argv])


def lend(site: Path, *, leave_out: str = "") -> None:
    """Give what allocq needs to another site-packages."""
    for path in HERE.iterdir():
        name = path.name
        if name.lower().startswith(("allocq", "__editable__", "pip", "distutils-precedence")):
            continue
        if not (leave_out and leave_out in name) and not (site / name).exists():
            (site / name).symlink_to(path)


def environment_with(wheel: Path, where: Path) -> Path:
    """A fresh environment with allocq in it; returns it."""
    good([sys.executable, "-m", "venv", "--without-pip", where])
    install(where / "bin" / "python", wheel)
    lend(site_of(where))
    return where


def site_of(prefix: Path) -> Path:
    return prefix / "lib" / VERSION / "site-packages"


@pytest.fixture(scope="session")
def venv(wheel: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """In a directory whose name has a blank, a quote and a glob in it."""
    return environment_with(wheel, tmp_path_factory.mktemp("it's a [dir] x") / "v")


@pytest.fixture
def hostile(tmp_path: Path) -> Path:
    """A directory full of traps."""
    where = tmp_path / "hostile"
    trap = "raise SystemExit('a stranger was here')\n"
    for name in ("allocq", "encodings", "typer"):
        (where / name).mkdir(parents=True)
        (where / name / "__init__.py").write_text(trap)
    for name in ("re", "os", "posix", "site", "sitecustomize", "usercustomize", "_cffi_backend"):
        (where / f"{name}.py").write_text(trap)
    return where


def answers(
    *command: str | Path,
    cwd: Path,
    env: dict[str, str] | None = None,
    how: str = "pip, built here",
) -> None:
    """Assert that this is allocq: a plain query, the app, and a mistake. how: it was installed."""
    env = {**os.environ, **(env or {})}
    assert good([*command, *QUERY], cwd=cwd, env=env) == "2\n"
    version = good([*command, "--version"], cwd=cwd, env=env)
    assert version == f"allocq {allocq.__version__} ({how})\n"
    wrong = run([*command, "query", "--sample", "--frmat"], cwd=cwd, env=env)
    assert wrong.returncode == 2 and wrong.stdout == ""
    assert wrong.stderr.startswith("allocq: no such option: --frmat")


def test_the_wheel_is_for_every_python_and_holds_what_it_should(wheel: Path) -> None:
    assert re.fullmatch(r"allocq-[\d.]+-cp311-abi3-linux_\w+\.whl", wheel.name)
    with zipfile.ZipFile(wheel) as archive:
        names = archive.namelist()
        scripts = [info for info in archive.infolist() if "/scripts/" in info.filename]
        assert [archive.read(info)[:4] for info in scripts] == [b"\x7fELF"]
    assert not [name for name in names if name.endswith((".c", ".h", ".mdoc")) or "test" in name]
    assert not [name for name in names if "build/" in name or name.endswith(".o")]
    for name in ("py.typed", "sample.txt", "_native.abi3.so", "__main__.py", "output/table.py"):
        assert f"allocq/{name}" in names
    modules = {str(path.relative_to(ROOT)) for path in ROOT.glob("allocq/**/*.py")}
    assert modules <= set(names)
    for wanted in (*SHARED["man"], *SHARED["services"], *SHARED["completions"]):
        assert [name for name in names if name.endswith(f".data/data/share/{wanted}")], wanted
    pages = {path.name for path in (ROOT / "man").glob("*.[0-9]")}
    assert pages == {Path(name).name for name in names if "/share/man/" in name}
    assert [Path(info.filename).name for info in scripts] == ["allocq"]
    assert scripts[0].external_attr >> 16 & 0o111


def test_without_the_gil_the_wheel_is_for_one_python(tree: Path, tmp_path: Path) -> None:
    """There is no stable ABI, and no orjson. This Python only says that it has no GIL."""
    place = tmp_path / "tree"
    shutil.copytree(tree, place)
    program = (
        "import sysconfig; sysconfig.get_config_vars()['Py_GIL_DISABLED'] = 1\n"
        f"import setuptools.build_meta as b; print(b.build_wheel({str(tmp_path)!r}))"
    )
    name = good([sys.executable, "-c", program], cwd=place).splitlines()[-1]
    assert "abi3" not in name
    with zipfile.ZipFile(tmp_path / name) as archive:
        assert not [each for each in archive.namelist() if "abi3" in each]
        (metadata,) = [each for each in archive.namelist() if each.endswith("/METADATA")]
        needs = re.findall(
            r"^Requires-Dist: (\w+)[^;\n]*$", archive.read(metadata).decode(), re.MULTILINE
        )
        assert needs == ["typer", "cffi"]
    where = environment_with(tmp_path / name, tmp_path / "v")
    for path in site_of(where).glob("orjson*"):
        path.unlink()
    answers(where / "bin" / "allocq", cwd=tmp_path)
    verified = run(
        [where / "bin" / "allocq", "verify", "-o", "json", "--rounds", "1"], cwd=tmp_path
    )
    assert "Traceback" not in verified.stderr
    program = (
        "import importlib, pkgutil, allocq\n"
        "for module in pkgutil.walk_packages(allocq.__path__, 'allocq.'):\n"
        "    module.name.endswith(('.__main__', '.build')) or importlib.import_module(module.name)"
    )
    good([where / "bin" / "python", "-c", program], cwd=tmp_path)


def test_an_sdist_builds_the_same_wheel(tree: Path, wheel: Path, tmp_path: Path) -> None:
    sdist = built("sdist", tree, tmp_path / "sdist")
    with tarfile.open(sdist) as archive:
        names = archive.getnames()
        archive.extractall(tmp_path / "out")
    inside = {name.partition("/")[2] for name in names}
    kept = {str(path.relative_to(tree)) for path in tree.rglob("*") if path.is_file()}
    kept = {name for name in kept if not name.startswith((".", "build/", "allocq.egg-info/"))}
    made = {"allocq/_native.c", "allocq/_native.abi3.so"}
    assert kept - inside - made == set()
    again = built("wheel", tmp_path / "out" / sdist.name.removesuffix(".tar.gz"), tmp_path / "w")
    assert again.name == wheel.name
    with zipfile.ZipFile(again) as one, zipfile.ZipFile(wheel) as other:
        assert sorted(one.namelist()) == sorted(other.namelist())


def test_pages_and_completions_are_where_they_are_looked_for(venv: Path, tmp_path: Path) -> None:
    for wanted in (*SHARED["man"], *SHARED["services"], *SHARED["completions"]):
        assert (venv / "share" / wanted).is_file(), wanted
    env = {**os.environ, "PATH": f"{venv}/bin:{os.environ['PATH']}"}
    env.pop("MANPATH", None)
    if shutil.which("man"):
        assert good(["man", "-w", "allocq-query"], env=env).strip().endswith("allocq-query.1")
    if shutil.which("fish"):
        env |= {"XDG_DATA_DIRS": f"{venv}/share", "HOME": str(tmp_path)}
        assert good(["fish", "-c", "complete -C 'allocq qu'"], env=env).startswith("query\t")


def test_the_report_finds_its_style_and_script(venv: Path, hostile: Path) -> None:
    page = good([venv / "bin" / "allocq", "report", "--sample"], cwd=hostile)
    for name in ("report.css", "report.js"):
        assert (ROOT / "allocq" / "output" / "report" / name).read_text() in page


def test_it_answers_in_a_hostile_place(venv: Path, hostile: Path) -> None:
    before = sorted(os.listdir(hostile))
    answers(venv / "bin" / "allocq", cwd=hostile, env=HOSTILE)
    answers(venv / "bin" / "python", "-I", "-m", "allocq", cwd=hostile)
    assert sorted(os.listdir(hostile)) == before


@pytest.mark.parametrize(
    ("where", "command"),
    [
        ("bin", "./allocq"),
        (".", "bin/allocq"),
        (".", "./bin/allocq"),
        (".", "lib/../bin/allocq"),
        ("bin/sub", "../allocq"),
        ("bin/sub/sub", "../../allocq"),
        ("bin/sub", "../.././bin/./allocq"),
        ("lib", "../bin/allocq"),
        ("bin", "env PATH=.:/usr/bin:/bin allocq"),
        (".", "env PATH=bin:/usr/bin:/bin allocq"),
        ("/", "env PATH=$VENV/bin allocq"),
    ],
)
def test_it_is_found_from_where_it_is_called(venv: Path, where: str, command: str) -> None:
    (venv / "bin" / "sub" / "sub").mkdir(parents=True, exist_ok=True)
    words: list[str | Path] = [word.replace("$VENV", str(venv)) for word in command.split()]
    assert good([*words, *QUERY], cwd=venv / where) == "2\n"


def test_it_is_found_through_symlinks(venv: Path, tmp_path: Path, hostile: Path) -> None:
    (tmp_path / "a dir").mkdir()
    first, second = tmp_path / "a dir" / "first", tmp_path / "second"
    first.symlink_to(venv / "bin" / "allocq")
    second.symlink_to("a dir/first")
    (tmp_path / "bin").symlink_to(venv / "bin")
    for link in (first, second, tmp_path / "bin" / "allocq"):
        answers(link, cwd=hostile, env=HOSTILE)
    assert good(["./second", *QUERY], cwd=tmp_path) == "2\n"


def test_it_is_found_where_proc_is_not(venv: Path, tmp_path: Path, hostile: Path) -> None:
    """/proc/self/exe is the first thing asked; a chroot may lack it."""
    if os.geteuid() != 0 or not shutil.which("unshare"):
        pytest.skip("needs root, and unshare of util-linux")
    (tmp_path / "link").symlink_to(venv / "bin" / "allocq")
    hide = ["unshare", "-m", "sh", "-c", 'mount -t tmpfs none /proc && exec "$@"', "sh"]
    if run([*hide, "true"]).returncode:
        pytest.skip("nothing can be mounted here")
    path = {"PATH": f"{venv}/bin:{os.environ['PATH']}"}
    answers(*hide, venv / "bin" / "allocq", cwd=hostile, env=HOSTILE)
    answers(*hide, tmp_path / "link", cwd=hostile, env=HOSTILE)
    answers(*hide, "allocq", cwd=hostile, env=HOSTILE | path)
    # What the shell found by a relative PATH is found by its own, and not elsewhere.
    assert run([*hide, "./link", *QUERY], cwd=tmp_path).stdout == "2\n"


def test_the_plain_start_needs_no_program_but_python(venv: Path) -> None:
    nothing = {"PATH": "/nonexistent"}
    assert good([venv / "bin" / "allocq", *QUERY], env=nothing) == "2\n"
    assert good([venv / "bin" / "allocq", *QUERY], env={}) == "2\n"


def test_words_come_through_as_they_are(venv: Path, tmp_path: Path) -> None:
    odd = tmp_path / " $HOME `x` '\"*\\ \n-"
    shutil.copy(ROOT / "allocq" / "sample.txt", odd)
    command: list[str | Path] = [venv / "bin" / "allocq", "query", "--source", odd, "-c"]
    assert good([*command, "-e", ""]) == good([venv / "bin" / "allocq", "query", "--sample", "-c"])


def test_it_needs_no_environment_of_a_shell(venv: Path, hostile: Path) -> None:
    """Neither HOME nor PATH nor a name of its own: as init, cron or a container starts it."""
    command = venv / "bin" / "allocq"
    for name in ("allocq", "-allocq", "x", ""):
        done = subprocess.run(
            [name, "query", "--sample", "-f", "rapl.c", "-o", "json"],
            executable=command, env={}, cwd=hostile, capture_output=True,
        )  # fmt: skip
        assert done.returncode == 0, done.stderr
        assert json.loads(done.stdout)["total"]["tags"] == 2


def test_the_users_own_scheme(wheel: Path, tmp_path: Path, hostile: Path) -> None:
    """pip install --user: ~/.local/bin/allocq and ~/.local/lib/python3.x/site-packages."""
    home = tmp_path / "home"
    venv = tmp_path / "v"
    good([sys.executable, "-m", "venv", "--without-pip", "--system-site-packages", venv])
    user = {**os.environ, "PYTHONUSERBASE": str(home / ".local"), "HOME": str(home)}
    python = os.path.realpath(sys.executable)
    pip = [python, "-m", "pip", "install", "-q", "--user", "--no-deps", "--no-index"]
    more = ["--ignore-installed", "--disable-pip-version-check", "--break-system-packages"]
    done = run([*pip, *more, wheel], env=user)
    if done.returncode and "No module named pip" in done.stderr:
        pytest.skip(f"no pip for {python}")
    assert done.returncode == 0, done.stderr
    lend(site_of(home / ".local"))
    tools = tmp_path / "tools"
    tools.mkdir()
    (tools / VERSION).symlink_to(python)
    path = {**HOSTILE, "HOME": str(home), "PATH": f"{tools}:/usr/bin:/bin"}
    answers(home / ".local" / "bin" / "allocq", cwd=hostile, env=path)


def test_without_python_beside_it(wheel: Path, tmp_path: Path, hostile: Path) -> None:
    """As pip install --user and --prefix leave it: the Python of that version in PATH is taken."""
    prefix = tmp_path / "prefix"
    install(Path(sys.executable), "--prefix", prefix, "--ignore-installed", wheel)
    lend(site_of(prefix))
    tools = tmp_path / "tools"
    tools.mkdir()
    (tools / VERSION).symlink_to(os.path.realpath(sys.executable))
    path = {**HOSTILE, "PATH": f"{tools}:/usr/bin:/bin"}
    answers(prefix / "bin" / "allocq", cwd=hostile, env=path)


@pytest.fixture
def bare(wheel: Path, tmp_path: Path) -> Path:
    """The program by itself: no Python has allocq there."""
    command = tmp_path / "bin" / "allocq"
    command.parent.mkdir()
    with zipfile.ZipFile(wheel) as archive:
        script = next(name for name in archive.namelist() if name.endswith("/scripts/allocq"))
        command.write_bytes(archive.read(script))
    command.chmod(0o755)
    return command


def test_without_any_python_a_plain_query_is_answered(bare: Path) -> None:
    plain = [bare, "query", "--source", ROOT / "allocq" / "sample.txt"]
    for env in ({}, {"PATH": "/nonexistent"}, dict(os.environ)):
        assert good([*plain, "-f", "rapl.c", "--count"], env=env) == "2\n"
        assert good([*plain, "-s", "bytes", "-n", "3"], env=env).count("\n") == 3
        assert good([*plain, "-o", "csv", "-f", "rapl.c"], env=env).startswith("bytes,calls,file,")
        assert run([*plain, "-q", "-f", "nothing.c"], env=env).returncode == 1
        wrong = run([bare, "query", "--source", "/no/such/file"], env=env)
        assert (wrong.returncode, wrong.stderr) == (2, "allocq: no such file: /no/such/file\n")


def test_without_any_python_it_knows_its_version(bare: Path) -> None:
    for flag in ("--version", "-V"):
        assert good([bare, flag]) == f"allocq {allocq.__version__} (no Python)\n"
    with open("/dev/full", "w") as full:
        done = subprocess.run([bare, "-V"], stdout=full, stderr=subprocess.PIPE, text=True)
    assert done.returncode == 2
    assert done.stderr == "allocq: cannot write the answer: No space left on device\n"


@pytest.mark.parametrize(
    ("argv", "why"),
    [
        ((), "this needs Python"),
        (("tree",), "this needs Python"),
        (("query", "--help"), "this needs Python"),
        (("query", "--source", "SAMPLE", "-e", "x"), "this needs Python"),
        (("query", "--source", "SAMPLE", "-o", "json"), "this format needs Python"),
        (("query", "--source", "SAMPLE", "-o", "table"), "this format needs Python"),
        (QUERY, "cannot find the sample"),
        (("query", "--source", "PACKED"), "a compressed source needs Python"),
    ],
)
def test_without_any_python_it_says_what_it_cannot(
    bare: Path, tmp_path: Path, argv: tuple[str, ...], why: str
) -> None:
    with gzip.open(tmp_path / "packed", "wb") as packed:
        packed.write((ROOT / "allocq" / "sample.txt").read_bytes())
    places = {"SAMPLE": str(ROOT / "allocq" / "sample.txt"), "PACKED": str(tmp_path / "packed")}
    done = run([bare, *(places.get(word, word) for word in argv)])
    assert (done.returncode, done.stdout) == (2, "")
    complaint, hint = done.stderr.splitlines()
    assert complaint.startswith(f"allocq: {why}")
    assert hint.startswith("hint: without Python, allocq answers only plain queries")


def test_a_python_without_allocq_says_which(bare: Path, tmp_path: Path) -> None:
    """As a copied program finds one beside it."""
    good([sys.executable, "-m", "venv", "--without-pip", tmp_path])
    done = run([bare, "doctor"])
    assert (done.returncode, done.stdout) == (2, "")
    assert re.match(r"allocq: \S+/bin/python3 has no module allocq, .*\nhint: .*\n\Z", done.stderr)
    sample = ROOT / "allocq" / "sample.txt"
    assert good([bare, "query", "--source", sample, "-f", "rapl.c", "-c"]) == "2\n"


def test_a_python_that_does_not_start_is_no_python(bare: Path, tmp_path: Path) -> None:
    """A package left behind when its Python went, one for a newer Python beside it."""
    for version in ("python3.2", "python3.99"):
        package = tmp_path / "lib" / version / "site-packages" / "allocq"
        package.mkdir(parents=True)
        (package / "__main__.py").touch()
    (bare.parent / "python3.2").write_text("no program\n")
    done = run([bare, "doctor"])
    assert (done.returncode, done.stdout) == (2, "")
    assert done.stderr.startswith(
        "allocq: this needs Python, but no Python with allocq was found\n"
    )


def test_a_needed_package_that_is_elsewhere_is_found(
    wheel: Path, tmp_path: Path, hostile: Path
) -> None:
    """Distributions have cffi, and pip leaves it there."""
    venv = environment_with(wheel, tmp_path / "v")
    site = site_of(venv)
    elsewhere = tmp_path / "elsewhere"
    elsewhere.mkdir()
    for path in site.glob("_cffi_backend*"):
        path.rename(elsewhere / path.name)
    (site / "elsewhere.pth").write_text(f"{elsewhere}\n")
    answers(venv / "bin" / "allocq", cwd=hostile, env=HOSTILE)


@pytest.mark.parametrize(
    ("package", "argv"), [("typer", ("doctor", "--")), ("_cffi_backend", (*QUERY, "-e", "."))]
)
def test_a_needed_package_that_is_nowhere_is_named(
    wheel: Path, tmp_path: Path, package: str, argv: tuple[str, ...]
) -> None:
    venv = environment_with(wheel, tmp_path / "v")
    for path in site_of(venv).glob(f"{package}*"):
        path.unlink()
    done = run([venv / "bin" / "allocq", *argv])
    assert (done.returncode, done.stdout) == (2, "")
    assert re.match(rf"allocq: \S+ has no module {package}, .*\nhint: .*\n\Z", done.stderr)


def test_it_runs_from_an_editable_install(tmp_path: Path, hostile: Path) -> None:
    tree = copy_tree(tmp_path / "tree")
    venv = tmp_path / "v"
    good([sys.executable, "-m", "venv", "--without-pip", venv])
    lend(site_of(venv))
    install(venv / "bin" / "python", "--no-build-isolation", "-e", tree)
    answers(venv / "bin" / "allocq", cwd=hostile, env=HOSTILE, how="editable")
    found = good([venv / "bin" / "python", "-I", "-c", "import allocq; print(allocq.__file__)"])
    assert found.startswith(str(tree))
