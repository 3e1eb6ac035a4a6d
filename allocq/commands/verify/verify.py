"""`allocq verify`: the ioctl held against the text on the running kernel."""

import os
import time
from collections.abc import Iterator, Mapping

from ...declarations.commands import VERIFY_FORMATS
from ...declarations.shared import FAILED
from ...errors import AllocqError, SourceError, UsageError
from ...host.modules import Module
from ...output import tap
from ...output.stream import Output
from ...output.tap import NOT_OK, OK, SKIP, UNDECIDED
from ...sources.source import ALLOCINFO, open_source
from ..arguments import choice, number
from .bracket import Outcome, Undecided
from .checks import CHECKS, Bench, Check, Skipped, found
from .rawioctl import MODULE, BadText, Kernel, Row, Wanted

HOLDS, DIFFERS = 0, 1
ROUNDS = 100
SHOWN = 10
MODULE_CHECK = "the content id and the tags follow a module that comes and goes"


class Result:
    """One check's end. seconds: how long it took."""

    __slots__ = ("name", "outcome", "result", "seconds", "why")

    def __init__(self, name: str, result: str, why: str, outcome: Outcome, seconds: float) -> None:
        self.name = name
        self.result = result
        self.why = why
        self.outcome = outcome
        self.seconds = seconds


def verify_command(values: Mapping[str, object], fd: int = 1) -> int:
    """Check, print. Exit status 0 all hold, 1 a real difference, 2 could not tell."""
    format = choice("format", values.get("format"), VERIFY_FORMATS) or "tap"
    rounds = number("rounds", values.get("rounds"))
    seed = number("seed", values.get("seed"))
    word = values.get("load_module")
    module = None if word is None else Module(str(word))
    out = Output(fd)
    try:
        kernel = _open(module)
    except UsageError:
        raise
    except AllocqError as error:
        if format == "tap":
            out.write(tap.nothing(str(error)).encode())
            out.release()
        raise
    bench = Bench(
        kernel,
        int.from_bytes(_entropy(), "big") if seed is None else seed,
        ROUNDS if rounds is None else rounds,
    )
    try:
        results = run(bench, module)
        if format == "json":
            whole = list(results)
            out.write(as_json(bench, whole))
            out.release()
        else:
            whole = _stream(out, bench, results)
    finally:
        kernel.close()
    return status(whole)


def _entropy() -> bytes:
    return os.urandom(4)


def _open(module: Module | None) -> Kernel:
    """The kernel, if there is something to hold together. AllocqError otherwise, with its words."""
    open_source(None, "ioctl").close()
    if module is not None and module.loaded:
        raise UsageError(
            f"module {module.name} is loaded already", "name one that can be loaded and unloaded"
        )
    try:
        return Kernel(ALLOCINFO)
    except OSError as error:
        raise SourceError(f"cannot open {ALLOCINFO}: {error.strerror}") from None


def run(bench: Bench, module: Module | None) -> Iterator[Result]:
    """Every check, one after the other."""
    for name, check in CHECKS:
        yield _try(name, check, bench)
    yield _try(MODULE_CHECK, lambda bench: _module_check(bench, module), bench)


def _try(name: str, check: Check, bench: Bench) -> Result:
    start = time.perf_counter()
    outcome = Outcome()
    result, why = OK, ""
    try:
        outcome = check(bench)
        if outcome.differences:
            result = NOT_OK
    except Skipped as skipped:
        result, why = SKIP, str(skipped)
    except (Undecided, AllocqError) as undecided:
        result, why = UNDECIDED, str(undecided)
    except BadText as bad:
        result, outcome = NOT_OK, found([f"the text: {bad}"])
    except OSError as error:
        result, outcome = NOT_OK, found([f"an error that is not due: {error.strerror}"])
    return Result(name, result, why, outcome, time.perf_counter() - start)


def _module_check(bench: Bench, module: Module | None) -> Outcome:
    """Load, compare, unload, compare."""
    if module is None:
        raise Skipped("--load-module NAME checks it")
    kernel = bench.kernel
    outcome = Outcome()
    ids = [kernel.content_id()]
    module.load()
    try:
        ids.append(kernel.content_id())
        theirs = _tags_of(bench, module)
        wanted = [Wanted(), Wanted(MODULE, module=module.name.encode()), Wanted(MODULE)]
        if theirs:
            outcome.add(bench.compare(wanted))
            outcome.differences += _at_the_end(bench)
    finally:
        module.unload()
    ids.append(kernel.content_id())
    if not theirs:
        raise Skipped(f"module {module.name} has no tags")
    outcome.add(bench.compare(wanted))
    if _tags_of(bench, module):
        outcome.differences.append(f"{module.name} is unloaded, its tags are still in the text")
    if len(set(ids)) != 3:
        said = ", ".join(map(str, ids))
        outcome.differences.append(f"content ids before, loaded, unloaded: {said}")
    return outcome


def _tags_of(bench: Bench, module: Module) -> list[Row]:
    return [row for row in bench.kernel.text() if row.module == module.name.encode()]


def _at_the_end(bench: Bench) -> list[str]:
    built_in = [not row.module for row in bench.rows()]
    return (
        [] if built_in == sorted(built_in, reverse=True) else ["built-in tags come behind modules'"]
    )


def status(results: list[Result]) -> int:
    """HOLDS, DIFFERS or FAILED (could not tell)."""
    kinds = {result.result for result in results}
    if NOT_OK in kinds:
        return DIFFERS
    return FAILED if UNDECIDED in kinds else HOLDS


def _stream(out: Output, bench: Bench, results: Iterator[Result]) -> list[Result]:
    """TAP as the checks end."""
    out.release()
    out.write(tap.plan(len(CHECKS) + 1).encode())
    whole = []
    for result in results:
        whole.append(result)
        out.write(_line(len(whole), result).encode("utf-8", "backslashreplace"))
    for words in _summary(bench, whole):
        out.write(f"# {words}\n".encode())
    return whole


def _line(number: int, result: Result) -> str:
    details = result.outcome.differences[:SHOWN]
    if (more := len(result.outcome.differences) - SHOWN) > 0:
        details = [*details, f"and {more} more"]
    return tap.line(number, result.name, result.result, result.why, details)


def _summary(bench: Bench, results: list[Result]) -> list[str]:
    kinds = [result.result for result in results]
    total = Outcome()
    for result in results:
        total.add(result.outcome)
    counts = ", ".join(f"{kinds.count(kind)} {kind}" for kind in (OK, NOT_OK, SKIP, UNDECIDED))
    return [
        f"{counts}; {total.questions} questions, {total.tags} tags compared",
        f"{total.moved} answers agreed when asked again, their counters had moved",
        f"again with the same filters: --seed {bench.seed} --rounds {bench.rounds}",
    ]


def as_json(bench: Bench, results: list[Result]) -> bytes:
    """One object: what came out, and every check."""
    import orjson

    document = {
        "status": status(results),
        "result": {HOLDS: "all hold", DIFFERS: "different", FAILED: "could not tell"}[
            status(results)
        ],
        "kernel": os.uname().release,
        "seed": bench.seed,
        "rounds": bench.rounds,
        "questions": sum(result.outcome.questions for result in results),
        "tags_compared": sum(result.outcome.tags for result in results),
        "moved": sum(result.outcome.moved for result in results),
        "checks": [
            {
                "number": at,
                "name": result.name,
                "result": result.result,
                "why": result.why or None,
                "questions": result.outcome.questions,
                "tags": result.outcome.tags,
                "seconds": round(result.seconds, 6),
                "differences": result.outcome.differences,
            }
            for at, result in enumerate(results, 1)
        ],
    }
    return orjson.dumps(document, option=orjson.OPT_INDENT_2 | orjson.OPT_APPEND_NEWLINE)
