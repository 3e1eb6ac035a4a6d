"""Writes call stacks as a file of speedscope: https://www.speedscope.app/file-format-schema.json."""

from __future__ import annotations

from collections.abc import Sequence

from ..analysis.stacks import Stack, read_frame
from .json import dump

_SCHEMA = "https://www.speedscope.app/file-format-schema.json"


def speedscope(stacks: Sequence[Stack], live: bool, name: str, exporter: str) -> bytes:
    """One file with two profiles: bytes, and calls. A frame's `file` is its module; the size of the
    allocations, if it is known, is the innermost frame."""
    frames: dict[tuple[str, str | None], int] = {}
    samples: list[list[int]] = []
    for stack in stacks:
        sample = []
        for frame in map(read_frame, (*reversed(stack.path), *stack.each)):
            key = (frame.name, frame.module)
            sample.append(frames.setdefault(key, len(frames)))
        samples.append(sample)
    listed = [
        {"name": name} if module is None else {"name": name, "file": module}
        for name, module in frames
    ]
    profiles = []
    for place, (title, unit) in enumerate((("bytes", "bytes"), ("calls", "none"))):
        weights = [stack.amount(live)[place] for stack in stacks]
        profiles.append(
            {
                "type": "sampled",
                "name": f"{name}, {title}",
                "unit": unit,
                "startValue": 0,
                "endValue": sum(weights),
                "samples": samples,
                "weights": weights,
            }
        )
    document = {
        "$schema": _SCHEMA,
        "shared": {"frames": listed},
        "profiles": profiles,
        "name": name,
        "exporter": exporter,
    }
    return f"{dump(document)}\n".encode()
