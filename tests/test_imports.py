"""What starting costs, counted, and which module may know of which: read from the code itself."""

from __future__ import annotations

import ast
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import _cffi_backend
import pytest
from oracle import SAMPLE

import allocq

PACKAGE = Path(allocq.__file__).parent

# Each takes longer to import than a query takes.
HEAVY = {
    *("typer", "click", "rich", "orjson", "re", "enum", "dataclasses", "typing", "inspect", "json"),
    *("pathlib", "subprocess", "os", "argparse", "collections", "functools", "contextlib", "io"),
    *("datetime", "abc", "tempfile", "shutil", "logging", "traceback", "warnings", "cffi", "site"),
    *("zlib", "gzip", "csv", "string", "random", "locale", "stat", "types", "copyreg", "ast"),
}

# -I -S keeps what Python itself imports to a minimum, as the installed command does.
PROGRAM = """
import sys
before = set(sys.modules)
sys.path[:0] = [sys.argv.pop(1), sys.argv.pop(1)]
import posix
def told(status):
    posix.write(2, "\\n".join(sorted(set(sys.modules) - before)).encode())
    real(status)
real, posix._exit = posix._exit, told
from allocq.__main__ import entry
entry()
"""


def imported(*argv: str) -> set[str]:
    """The modules that `allocq ARGV` imports of its own."""
    paths = [str(PACKAGE.parent), str(Path(_cffi_backend.__file__).parent)]
    done = subprocess.run(
        [sys.executable, "-I", "-S", "-c", PROGRAM, *paths, *argv], capture_output=True
    )
    assert done.returncode == 0, done.stderr
    assert done.stdout
    return set(done.stderr.decode().split("\n"))


@pytest.mark.parametrize(
    "argv",
    [
        [],
        ["-o", "procfs", "-f", "mm/*", "--header"],
        ["-o", "json", "-F", "*alloc*"],
        ["-o", "jsonl"],
        ["-o", "table", "-n", "5", "--color", "always"],
        ["-o", "csv", "--min-size", "1M"],
        ["-o", "tsv", "-l", "1-100"],
        ["-g", "directory", "-o", "table"],
        ["-g", "module", "-o", "json"],
        ["-g", "file", "-o", "csv", "-s", "calls", "-r"],
        ["-c"],
        ["-s", "average", "-n", "3", "-m", "*"],
        ["-x", "*.h", "--max-calls", "5", "--accurate"],
    ],
    ids=" ".join,
)
def test_a_plain_query_imports_next_to_nothing(argv: list[str]) -> None:
    found = imported("query", "--source", str(SAMPLE), *argv)
    top = {name.partition(".")[0] for name in found}
    assert not top & HEAVY
    # All that is not ours is built into Python or the extension's own helper.
    others = {name for name in top if name != "allocq" and name not in sys.builtin_module_names}
    assert others <= {"_cffi_backend"}, others
    ours = {name for name in found if name.startswith("allocq.")}
    assert not ours & {
        f"allocq.{name}" for name in ("cli", "declarations", "live", "plan", "names", "explain")
    }
    assert {name for name in ours if name.startswith("allocq.formats.")} <= {
        f"allocq.formats.{name}" for name in (*argv, "procfs", "json", "csv", "table")
    }


def test_a_regexp_imports_re_and_still_no_app() -> None:
    found = imported("query", "--source", str(SAMPLE), "-e", "slab")
    assert "re" in found
    top = {name.partition(".")[0] for name in found}
    assert not top & {
        "typer",
        "click",
        "rich",
        "orjson",
        "typing",
        "dataclasses",
        "inspect",
        "json",
    }
    assert not top & {"pathlib", "subprocess", "os", "argparse", "site"}


def test_the_library_imports_nothing_before_it_is_used() -> None:
    code = (
        "import sys; before = set(sys.modules); import allocq; print(*(set(sys.modules) - before))"
    )
    done = subprocess.run(
        [sys.executable, "-c", code], stdout=subprocess.PIPE, text=True, check=True
    )
    assert set(done.stdout.split()) == {"allocq"}


# Layers: a module may import the others of its row, and all rows above.

LAYERS = (
    ("errors",),
    ("options", "model", "units"),
    ("_native",),
    ("table", "view", "plan", "formats", "notes"),
    ("scan",),
    ("unpack", "names"),
    ("source",),
    ("learn",),
    ("live",),
    ("query",),
    ("explain", "run"),
)
# A running kernel is read by `live`, which is imported when the first question comes.
BACK = {("source", "live")}
PURE = (
    *(
        "errors",
        "model",
        "units",
        "plan",
        "view",
        "options",
        "query",
        "growth.diff",
        "health.diagnose",
        "tree.sums",
    ),
    *("formats", "formats.table", "formats.procfs", "formats.json", "formats.jsonl"),
    *("formats.csv", "formats.tsv"),
)
WORLD = {
    *(
        "posix",
        "os",
        "io",
        "sys",
        "subprocess",
        "pathlib",
        "shutil",
        "tempfile",
        "socket",
        "select",
    ),
    *("fcntl", "mmap", "glob", "time"),
}
WORLDLY_CALLS = {"open", "print", "input", "exec", "eval", "__import__"}


def module_path(name: str) -> Path:
    path = PACKAGE.joinpath(*name.split("."))
    return path / "__init__.py" if path.is_dir() else path.with_suffix(".py")


def is_type_checking(node: ast.AST) -> bool:
    return isinstance(node, ast.If) and "TYPE_CHECKING" in ast.dump(node.test)


def walk(node: ast.AST) -> Iterator[ast.AST]:
    """Every node but those that only a type checker sees."""
    for child in ast.iter_child_nodes(node):
        if is_type_checking(child):
            assert isinstance(child, ast.If)
            for other in child.orelse:
                yield from walk(other)
            continue
        yield child
        yield from walk(child)


def nodes(name: str) -> list[ast.AST]:
    return list(walk(ast.parse(module_path(name).read_text())))


def imports_of(name: str) -> set[str]:
    """What a module imports when it runs, ours as `.module`."""
    package = ["", *name.split(".")[:-1]] if module_path(name).stem != "__init__" else ["", name]
    found: set[str] = set()
    for node in nodes(name):
        if isinstance(node, ast.Import):
            found |= {alias.name.partition(".")[0] for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and node.level:
            base = ".".join(package[: len(package) - node.level + 1]) or ""
            for alias in node.names:
                target = f"{base}.{node.module}" if node.module else f"{base}.{alias.name}"
                found.add("." + target.lstrip("."))
        elif isinstance(node, ast.ImportFrom):
            found.add((node.module or "").partition(".")[0])
    return found


def every_module() -> list[str]:
    paths = sorted(PACKAGE.rglob("*.py"))
    names = [".".join(path.relative_to(PACKAGE).with_suffix("").parts) for path in paths]
    return [name.removesuffix(".__init__") for name in names if not name.startswith("core.")]


@pytest.mark.parametrize("name", [name for row in LAYERS for name in row if name != "_native"])
def test_imports_point_one_way(name: str) -> None:
    depth = next(i for i, row in enumerate(LAYERS) if name in row)
    allowed = {other for row in LAYERS[: depth + 1] for other in row}
    ours = {target[1:].partition(".")[0] for target in imports_of(name) if target.startswith(".")}
    below = {(name, other) for other in ours - allowed}
    assert below <= BACK


def test_no_two_modules_import_each_other_at_the_top() -> None:
    """Imports in functions may point back, as Live asks `live` how to answer."""
    graph: dict[str, set[str]] = {}
    for name in every_module():
        if name == "__init__":
            continue
        tree = ast.parse(module_path(name).read_text())
        tops = {
            f".{node.module}" if node.level == 1 and "." not in name else f".{(node.module or '')}"
            for node in tree.body
            if isinstance(node, ast.ImportFrom) and node.level
        }
        graph[name] = {top[1:] for top in tops if top[1:]}
    for name in graph:
        seen: set[str] = set()
        todo = list(graph[name])
        while todo:
            other = todo.pop()
            assert other != name, f"{name} imports itself in a circle"
            if other not in seen:
                seen.add(other)
                todo += graph.get(other, set())


@pytest.mark.parametrize("name", PURE)
def test_pure_modules_touch_neither_files_nor_the_terminal(name: str) -> None:
    outside = {target for target in imports_of(name) if not target.startswith(".")}
    assert not outside & WORLD
    calls = {
        node.func.id
        for node in nodes(name)
        if isinstance(node, ast.Call) and isinstance(node.func, ast.Name)
    }
    # formats/__init__.py picks a format's module by its name.
    assert not calls & (WORLDLY_CALLS - ({"__import__"} if name == "formats" else set()))


def test_only_two_modules_call_c() -> None:
    callers = {name for name in every_module() if "._native" in imports_of(name)}
    assert callers == {"scan", "table"}


def test_nothing_prints_but_through_one_place() -> None:
    """No print; sys.stdout and sys.stderr only where a process begins and ends."""
    for name in every_module():
        for node in nodes(name):
            if isinstance(node, ast.Call) and isinstance(node.func, ast.Name):
                assert node.func.id != "print", name
            if isinstance(node, ast.Attribute) and isinstance(node.value, ast.Name):
                used = f"{node.value.id}.{node.attr}"
                if used in ("sys.stdout", "sys.stderr", "sys.stdin"):
                    assert name in ("__main__", "cli"), (name, used)
                assert used not in ("os.system", "os.popen", "sys.exit"), (name, used)


def test_no_shell_is_ever_started() -> None:
    for name in every_module():
        for node in nodes(name):
            if isinstance(node, ast.keyword) and node.arg == "shell":
                raise AssertionError(name)
