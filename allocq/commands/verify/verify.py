"""`allocq verify`: runs the checks and reports them as TAP or JSON."""

import errno
import json
import os
import secrets
import time
from collections.abc import Iterator, Mapping
from dataclasses import dataclass

from ...core.kernel import REFUSED
from ...errors import AllocqError, InterfaceError, SourceError, UsageError
from ...host.modules import Module
from ...options.commands import VERIFY_FORMATS
from ...options.shared import FAILED
from ...output import tap
from ...output.stream import Output
from ...output.tap import TapResult
from ...sources.source import ALLOCINFO, open_source
from ..arguments import choice, number, text
from .bracket import Outcome, Undecided
from .checks import CHECKS, Check, CheckContext, Skipped, outcome_of
from .rawioctl import MODULE, BadText, IoctlFilter, Kernel, Row

HOLDS, DIFFERS = 0, 1
ROUNDS = 100
SHOWN = 10
MODULE_CHECK = "the content ID and the tags follow a module that is loaded and unloaded"


@dataclass(frozen=True, slots=True)
class Result:
    """The result of one check. seconds: how long it took."""

    name: str
    result: TapResult
    why: str
    outcome: Outcome
    seconds: float


def verify_command(values: Mapping[str, object], fd: int = 1) -> int:
    """Run the command; returns 0: all checks pass, 1: differences, 2: undetermined."""
    format = choice("format", values.get("format"), VERIFY_FORMATS) or "tap"
    rounds = number("rounds", values.get("rounds"))
    seed = number("seed", values.get("seed"))
    name = text(values, "load_module")
    module = None if name is None else Module(name)
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
    context = CheckContext(
        kernel,
        secrets.randbits(32) if seed is None else seed,
        ROUNDS if rounds is None else rounds,
    )
    try:
        results = run(context, module)
        if format == "json":
            whole = list(results)
            out.write(as_json(context, whole))
            out.release()
        else:
            whole = _stream(out, context, results)
    finally:
        kernel.close()
    return status(whole)


def _open(module: Module | None) -> Kernel:
    """Open the kernel. AllocqError if it has no ioctl to compare."""
    open_source(None, "ioctl").close()
    if module is not None and module.loaded:
        raise UsageError(f"module {module.name} is already loaded", "name one that is not loaded")
    try:
        kernel = Kernel(ALLOCINFO)
    except OSError as error:
        raise SourceError(f"cannot open {ALLOCINFO}: {error.strerror}") from None
    try:
        kernel.get_at()
        kernel.get_next()
    except OSError as error:
        if error.errno not in (*REFUSED, errno.EIO):
            return kernel  # the checks say what is wrong with it
        kernel.close()
        raise InterfaceError(
            f"{ALLOCINFO}: the ioctl is refused: {error.strerror}",
            "a seccomp filter or a security module may block it",
        ) from None
    return kernel


def run(context: CheckContext, module: Module | None) -> Iterator[Result]:
    """Run all checks in turn."""
    for name, check in CHECKS:
        yield _try(name, check, context)
    yield _try(MODULE_CHECK, lambda context: _module_check(context, module), context)


def _try(name: str, check: Check, context: CheckContext) -> Result:
    start = time.perf_counter()
    outcome = Outcome()
    result, why = TapResult.OK, ""
    try:
        outcome = check(context)
        if outcome.differences:
            result = TapResult.NOT_OK
    except Skipped as skipped:
        result, why = TapResult.SKIP, str(skipped)
    except (Undecided, AllocqError) as undecided:
        result, why = TapResult.UNDECIDED, str(undecided)
    except BadText as bad:
        result, outcome = TapResult.NOT_OK, outcome_of([f"the text: {bad}"])
    except OSError as error:
        result, outcome = (
            TapResult.NOT_OK,
            outcome_of([f"unexpected error: {error.strerror}"]),
        )
    return Result(name, result, why, outcome, time.perf_counter() - start)


def _module_check(context: CheckContext, module: Module | None) -> Outcome:
    """Load the module, compare, unload it, and compare again."""
    if module is None:
        raise Skipped("needs --load-module NAME")
    kernel = context.kernel
    outcome = Outcome()
    ids = [kernel.content_id()]
    module.load()
    try:
        ids.append(kernel.content_id())
        theirs = _tags_of(context, module)
        wanted = [
            IoctlFilter(),
            IoctlFilter(MODULE, module=module.name.encode()),
            IoctlFilter(MODULE),
        ]
        if theirs:
            outcome.add(context.compare(wanted))
            outcome.differences += _at_the_end(context)
    finally:
        module.unload()
    ids.append(kernel.content_id())
    if not theirs:
        raise Skipped(f"module {module.name} has no tags")
    outcome.add(context.compare(wanted))
    if _tags_of(context, module):
        outcome.differences.append(f"{module.name} is unloaded, but its tags are still in the text")
    if len(set(ids)) != 3:
        outcome.differences.append(
            f"content IDs before, loaded, unloaded: {', '.join(map(str, ids))}"
        )
    return outcome


def _tags_of(context: CheckContext, module: Module) -> list[Row]:
    return [row for row in context.kernel.text() if row.module == module.name.encode()]


def _at_the_end(context: CheckContext) -> list[str]:
    built_in = [not row.module for row in context.rows()]
    return (
        []
        if built_in == sorted(built_in, reverse=True)
        else ["some built-in tags follow tags of modules"]
    )


def status(results: list[Result]) -> int:
    """HOLDS, DIFFERS or FAILED (undetermined)."""
    kinds = {result.result for result in results}
    if TapResult.NOT_OK in kinds:
        return DIFFERS
    return FAILED if TapResult.UNDECIDED in kinds else HOLDS


def _stream(out: Output, context: CheckContext, results: Iterator[Result]) -> list[Result]:
    """Write TAP lines as the checks finish."""
    out.release()
    out.write(tap.plan(len(CHECKS) + 1).encode())
    whole = []
    for result in results:
        whole.append(result)
        out.write(_line(len(whole), result).encode("utf-8", "backslashreplace"))
    for words in _summary(context, whole):
        out.write(f"# {words}\n".encode())
    return whole


def _line(number: int, result: Result) -> str:
    details = result.outcome.differences[:SHOWN]
    if (more := len(result.outcome.differences) - SHOWN) > 0:
        details = [*details, f"and {more} more"]
    return tap.line(number, result.name, result.result, result.why, details)


def _summary(context: CheckContext, results: list[Result]) -> list[str]:
    kinds = [result.result for result in results]
    total = Outcome()
    for result in results:
        total.add(result.outcome)
    counts = ", ".join(
        f"{kinds.count(kind)} {kind}"
        for kind in (TapResult.OK, TapResult.NOT_OK, TapResult.SKIP, TapResult.UNDECIDED)
    )
    return [
        f"{counts}; {total.questions} queries, {total.tags} tags compared",
        f"{total.moved} queries agreed only when repeated, because counters moved",
        f"to repeat with the same filters: --seed {context.seed} --rounds {context.rounds}",
    ]


def as_json(context: CheckContext, results: list[Result]) -> bytes:
    """One JSON object: the result and every check."""
    document = {
        "status": status(results),
        "result": {HOLDS: "agree", DIFFERS: "differ", FAILED: "undetermined"}[status(results)],
        "kernel": os.uname().release,
        "seed": context.seed,
        "rounds": context.rounds,
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
    return json.dumps(document, indent=2, ensure_ascii=False).encode() + b"\n"
