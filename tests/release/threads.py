"""Eight threads read at once, each a source of its own and one that all share.

Prints whether the GIL is on, and "right" if all answers were.
"""

import sys
import threading

import allocq

THREADS = 8
ROUNDS = 20
FILTERS = (
    allocq.Filter(),
    allocq.Filter(files=["rapl.c"]),
    allocq.Filter(regexps=["ra[op]l"]),
    allocq.Filter(min_size="4K"),
)
"""A regular expression is called from C in the middle of a scan."""

said: list[str] = []
together = threading.Barrier(THREADS)


def read(source: allocq.Source) -> list[list[dict[str, object]]]:
    return [source.read(each).to_dicts() for each in FILTERS]


with allocq.open(allocq.sample_path()) as alone:
    right = read(alone)
shared = allocq.open(allocq.sample_path())


def attempt(source: allocq.Source) -> str:
    try:
        return "right" if read(source) == right else "wrong"
    except allocq.SourceError as error:
        return "busy" if source is shared and "already being read" in str(error) else repr(error)
    except Exception as error:
        return repr(error)


def work() -> None:
    together.wait()
    for _ in range(ROUNDS):
        with allocq.open(allocq.sample_path()) as own:
            said.append(attempt(own))
        said.append(attempt(shared))


threads = [threading.Thread(target=work) for _ in range(THREADS)]
for thread in threads:
    thread.start()
for thread in threads:
    thread.join()
shared.close()
whole = len(said) == 2 * THREADS * ROUNDS and len(right[0]) > max(map(len, right[1:])) > 0
locked = getattr(sys, "_is_gil_enabled", lambda: True)()
print(f"GIL {'on' if locked else 'off'}:", *sorted({*said} - {"busy"}))
sys.exit(not whole)
