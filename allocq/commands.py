"""The subcommands: what each is for, its operands and options, and where its body is.

The app, the man pages and the completions are made from this; a plain `query` does not need it.
"""

from .bench.options import BENCH_OPTIONS
from .growth.options import CHECK_OPTIONS, DIFF_OPTIONS, SNAPSHOT_OPTIONS
from .health.options import DOCTOR_OPTIONS, VERIFY_OPTIONS
from .options import QUERY_OPTIONS, Option
from .tree.options import TREE_OPTIONS

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Mapping


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
    where not given) and returns the exit status."""

    __slots__ = ("body", "help", "name", "operands", "options")

    def __init__(
        self,
        name: str,
        help: str,
        body: str,
        options: tuple[Option, ...] = (),
        operands: tuple[Operand, ...] = (),
    ) -> None:
        self.name = name
        self.help = help
        self.body = body
        self.options = options
        self.operands = operands

    def run(self, values: "Mapping[str, object]") -> int:
        """Import the body and call it; returns the exit status."""
        module, _, function = self.body.partition(":")
        body = getattr(__import__(f"{__package__}.{module}", fromlist=(function,)), function)
        return int(body(values))


COMMANDS = (
    Command("query", "Find tags and print them.", "run:query_command", QUERY_OPTIONS),
    Command(
        "bench",
        "Time cat, grep and awk against the ioctl.",
        "bench.command:bench_command",
        BENCH_OPTIONS,
    ),
    Command(
        "snapshot",
        "Save the tags to a file, with what is needed to judge them later: a text that cat, grep"
        " and every command here can read. Exit status 1: no tag matches (saved all the same).",
        "growth.snapshot:snapshot_command",
        SNAPSHOT_OPTIONS,
    ),
    Command(
        "diff",
        "What grew between two listings, or a listing and now. Tags are matched by file, line,"
        " module and function; those filtered by their counters are shown if they pass before or"
        " after. Exit status 0: something differs; 1: nothing does.",
        "growth.compare:diff_command",
        DIFF_OPTIONS,
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
        CHECK_OPTIONS,
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
        DOCTOR_OPTIONS,
    ),
    Command(
        "verify",
        "Hold the ioctl against the text on this kernel. Exit status 0: all holds, 1: they differ,"
        " 2: could not tell.",
        "health.verify:verify_command",
        VERIFY_OPTIONS,
    ),
    Command(
        "tree",
        "Memory by source directory, file, function and line, like du. Exit status 1: no tag"
        " matches.",
        "tree.command:tree_command",
        TREE_OPTIONS,
    ),
)
