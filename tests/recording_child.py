"""Appends samples to a recording for ever and says which of them are safe; a test kills it.

argv: the directory, how many tags.
"""

import os
import random
import sys
import time
from pathlib import Path

from allocq.storage.recording.counters import Counters
from allocq.storage.recording.sample import Moment, Sample
from allocq.storage.recording.writer import Writer


def sample(number: int, tags: int, boot: str = "b") -> Sample:
    """The same for the same number."""
    dice = random.Random(number)
    subjects = [b"mm/a%d.c:%d func:f%d" % (at % 50, at, at) for at in range(tags)]
    changed = [number if at % 7 == number % 7 else at for at in range(tags)]
    return Sample(
        Moment(10**18 + number * 10**9, number, boot, "7.3", "ioctl", 5, True, True),
        subjects,
        Counters.of([dice.randrange(1 << 20) for _ in range(tags)], changed, [0] * tags),
        {"MemFree": number},
    )


if __name__ == "__main__":
    folder, tags = Path(sys.argv[1]), int(sys.argv[2])
    writer = Writer(folder, {"host": "h"})
    number = int(sys.argv[3])
    while True:
        writer.append(sample(number, tags))
        os.write(1, b"%d\n" % number)
        number += 1
        time.sleep(0.001)
