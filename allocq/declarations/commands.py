"""The subcommands: what each is for, its operands and options, and where its body is.

The app, the man pages and the completions are made from this; a plain `query` does not need it.
"""

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Mapping
    from typing import Any

    from ..options import Option


class Operand:
    """A word on the command line that is no option. many: any number of them, kept in order."""

    __slots__ = ("help", "many", "metavar", "name", "required")

    def __init__(
        self, name: str, metavar: str, help: str, required: bool = True, many: bool = False
    ) -> None:
        self.name = name
        self.metavar = metavar
        self.help = help
        self.required = required
        self.many = many


class Command:
    """One subcommand. body: `module:function` of this package; it takes the values by name (absent
    where not given) and returns the exit status. options: `module:NAME` of a tuple of them, so
    that one command does not import another's."""

    __slots__ = ("_where", "body", "help", "name", "operands")

    def __init__(
        self,
        name: str,
        help: str,
        body: str,
        options: str,
        operands: tuple[Operand, ...] = (),
    ) -> None:
        self.name = name
        self.help = help
        self.body = body
        self._where = options
        self.operands = operands

    def run(self, values: "Mapping[str, object]") -> int:
        """Import the body and call it; returns the exit status."""
        return int(_named(self.body)(values))

    @property
    def options(self) -> "tuple[Option, ...]":
        """What it can be told."""
        found: tuple[Option, ...] = _named(self._where)
        return found


def _named(where: str) -> "Any":
    """What `module:name` of this package stands for."""
    module, _, name = where.partition(":")
    return getattr(__import__(f"allocq.{module}", fromlist=(name,)), name)


COMMANDS = (
    Command("query", "Find tags and print them.", "run:query_command", "options:QUERY_OPTIONS"),
    Command(
        "bench",
        "Time cat, grep and awk against the ioctl.",
        "bench.command:bench_command",
        "bench.options:BENCH_OPTIONS",
    ),
    Command(
        "snapshot",
        "Save the tags to a file, with what is needed to judge them later: a text that cat, grep"
        " and every command here can read. Exit status 1: no tag matches (saved all the same).",
        "growth.snapshot:snapshot_command",
        "growth.options:SNAPSHOT_OPTIONS",
    ),
    Command(
        "diff",
        "What grew between two listings, or a listing and now. Tags are matched by file, line,"
        " module and function; those filtered by their counters are shown if they pass before or"
        " after. Exit status 0: something differs; 1: nothing does.",
        "growth.compare:diff_command",
        "growth.options:DIFF_OPTIONS",
        (
            Operand(
                "before", "BEFORE", "A snapshot or a saved /proc/allocinfo; - reads standard input."
            ),
            Operand(
                "after",
                "AFTER",
                "The same, later; without it, the running kernel now.",
                required=False,
            ),
        ),
    ),
    Command(
        "check",
        "Fail when something grew more than allowed while COMMAND ran: a leak gate for CI. Growth"
        " is from the highest of several readings before to the lowest after. Exit status 0:"
        " nothing leaked; 1: something did; 2: that could not be told; 3: COMMAND failed.",
        "growth.check:check_command",
        "growth.options:CHECK_OPTIONS",
        (
            Operand(
                "command",
                "COMMAND",
                "The command and its arguments, run without a"
                " shell; without one, --baseline is compared with now.",
                required=False,
                many=True,
            ),
        ),
    ),
    Command(
        "doctor",
        "Say what this kernel offers, what is switched on, and what to do about what is not.",
        "health.doctor:doctor_command",
        "health.options:DOCTOR_OPTIONS",
    ),
    Command(
        "verify",
        "Hold the ioctl against the text on this kernel. Exit status 0: all holds, 1: they differ,"
        " 2: could not tell.",
        "health.verify:verify_command",
        "health.options:VERIFY_OPTIONS",
    ),
    Command(
        "tree",
        "Memory by source directory, file, function and line, like du. Exit status 1: no tag"
        " matches.",
        "tree.command:tree_command",
        "tree.options:TREE_OPTIONS",
    ),
)
