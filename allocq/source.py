"""The entry: the quick way for a plain `query`, the app for everything else."""

import sys

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import NoReturn

    from .query import Query


def quick(argv: list[str]) -> "Query | None":
    """The query that a plain, valid command line asks, or None: let the app see to it."""
    if argv[:1] != ["query"]:
        return None
    from .options import read_plain

    values = read_plain(argv[1:])
    if values is None:
        return None
    from .errors import UsageError
    from .query import Query

    try:
        return Query(values)
    except UsageError:
        return None


def find_packages() -> None:
    """Let imports find what is installed, if Python was started without (see launcher/allocq)."""
    if sys.flags.no_site:
        ours = sys.path.pop(0)
        import site

        site.main()
        if ours not in sys.path:
            sys.path.append(ours)


def main(argv: list[str] | None = None) -> int:
    """Run one command line; returns the exit status."""
    argv = sys.argv[1:] if argv is None else argv
    try:
        query = quick(argv)
        if query is None:
            find_packages()
            from .cli import run_app

            return run_app(argv)
        from .errors import AllocqError
        from .run import complain, run_query

        try:
            return run_query(query)
        except AllocqError as error:
            return complain(error)
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
