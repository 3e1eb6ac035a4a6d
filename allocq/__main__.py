"""The entry: the quickest way for a plain `query`, a quick one for other plain command lines, the
app for help and mistakes."""

import sys

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import NoReturn

    from .commands.arguments import Query


def quick(argv: list[str]) -> "Query | None":
    """The query that a plain, valid command line asks, or None: let the app see to it."""
    if argv[:1] != ["query"]:
        return None
    from .cli.reader import read_plain

    values = read_plain(argv[1:])
    if values is None:
        return None
    from .commands.arguments import Query
    from .errors import UsageError

    try:
        return Query(values)
    except UsageError:
        return None


def quick_command(argv: list[str]) -> "Callable[[], int] | None":
    """The body of another subcommand with its values, for a plain command line; or None."""
    from .cli.reader import read_plain
    from .declarations.commands import COMMANDS

    found = next((command for command in COMMANDS if argv[:1] == [command.name]), None)
    # Without a -- it is the app that says where the words of a COMMAND begin.
    if found is None or (any(word.many for word in found.operands) and "--" not in argv):
        return None
    command, values = found, read_plain(argv[1:], found.options, found.operands)
    return None if values is None else lambda: command.run(values)


def find_packages() -> None:
    """Let imports find what is installed, if Python was started without (see launcher/allocq)."""
    if sys.flags.no_site and "site" not in sys.modules:
        standard_library_first()
        import site

        site.main()


def standard_library_first() -> None:
    """The launcher puts what is installed in front, where cffi is found at once; move it back."""
    if sys.flags.no_site and "site" not in sys.modules and sys.path[0].endswith("-packages"):
        sys.path.append(sys.path.pop(0))


def has_cffi() -> bool:
    """Is cffi beside allocq? (It may be the distribution's, elsewhere.)"""
    try:
        import _cffi_backend  # noqa: F401
    except ModuleNotFoundError:
        return False
    return True


def main(argv: list[str] | None = None) -> int:
    """Run one command line; returns the exit status."""
    argv = sys.argv[1:] if argv is None else argv
    try:
        if not has_cffi():
            find_packages()
        query = quick(argv)
        if query is not None:
            from .commands.query import run_query

            return _settled(lambda: run_query(query))
        if command := quick_command(argv):
            standard_library_first()
            return _settled(command)
        find_packages()
        from .cli.app import run_app

        return run_app(argv)
    except ModuleNotFoundError as error:
        return lacking(error)
    except BrokenPipeError:
        return 141
    except KeyboardInterrupt:
        return 130
    except (MemoryError, ImportError) as error:
        # The loader of shared objects has no other word for it.
        if isinstance(error, ImportError) and "failed to map segment" not in str(error):
            raise
        import posix

        try:
            posix.write(2, b"allocq: out of memory\n")
        except OSError:
            pass
        return 2


def _settled(body: "Callable[[], int]") -> int:
    """The exit status of a body, an error said."""
    from .errors import AllocqError

    try:
        return body()
    except AllocqError as error:
        from .output.stream import complain

        return complain(error)


def hold_standard_streams() -> None:
    """Let no file get the number of a standard stream that is closed: what is written to that
    stream would go into the file. Using the stream stays an error."""
    import posix

    for fd, wrong_way in enumerate((posix.O_WRONLY, posix.O_RDONLY, posix.O_RDONLY)):
        try:
            posix.fstat(fd)
        except OSError:
            try:
                posix.open("/dev/null", wrong_way)
            except OSError:
                return
    if sys.stdout is None:
        sys.stdout = open(1, "w", closefd=False)  # noqa: SIM115
    if sys.stderr is None:
        sys.stderr = open(2, "w", closefd=False)  # noqa: SIM115


def forget_current_directory() -> None:
    """Import nothing from where `python -m allocq` was run, unless allocq itself is there."""
    import posix

    try:
        here = posix.getcwd()
    except OSError:
        return
    ours = __file__.rpartition("/")[0].rpartition("/")[0]
    if sys.path[:1] == [here] and here != ours:
        del sys.path[0]


def lacking(error: ModuleNotFoundError) -> int:
    """Say that something which allocq needs is not there; returns the exit status."""
    if (error.name or "allocq").partition(".")[0] == "allocq":
        raise error
    sys.stderr.write(
        f"allocq: {sys.executable} has no module {error.name}, which allocq needs\n"
        "hint: install allocq again, with its dependencies\n"
    )
    return 2


def entry() -> "NoReturn":
    """Run the process's command line and end the process."""
    import posix

    hold_standard_streams()
    status = main()
    for stream in (sys.stdout, sys.stderr):
        try:
            if stream is not None:
                stream.flush()
        except BrokenPipeError:
            status = status or 141
        except OSError:
            status = status or 2
    posix._exit(status)


if __name__ == "__main__":
    forget_current_directory()
    entry()
