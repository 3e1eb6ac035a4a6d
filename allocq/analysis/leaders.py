"""Which sums get a series of their own: the largest and those that grew most, without flapping.

A dashboard that watches a series must not lose it because two places take turns at the last rank.
"""

from __future__ import annotations

from collections.abc import Hashable, Sequence
from heapq import nlargest
from itertools import compress

_INSIDE, _OUTSIDE = 5, 4
"""Weights: who is in counts for 5/4 of its size, so that noise of 11 % changes nothing."""
_GROWERS = 4
_LEAST_GROWTH = 64 << 10
WINDOW = 1800.0


class Leaders:
    """The `most` largest, and of the others the `most` / 4 that grew most.

    Largest: in bytes above or below zero; at least `least` bytes, and never what holds nothing.
    Grown: by 64 KiB and by a quarter, from the lowest of the last `window` to two of them, in
    seconds. Who is in leaves only for one that is a quarter larger, and stays for `hold` seconds
    after that. Never are more than twice `most` in: then those that left first go early.
    """

    def __init__(self, most: int, hold: float, least: int = 0, window: float = WINDOW) -> None:
        self._most, self._hold, self._least, self._window = most, hold, least, window
        self._keys: Sequence[Hashable] = ()
        self._lowest: list[int] = []
        self._lowest_before: list[int] = []
        self._since: float | None = None
        self._large: set[Hashable] = set()
        self._grown: set[Hashable] = set()
        self._left: dict[Hashable, float] = {}

    def update(
        self, moment: float, keys: Sequence[Hashable], sizes: Sequence[int]
    ) -> Sequence[int]:
        """The positions of those that are in, ascending. moment: seconds on a clock that is never
        set; keys: each once, and the same object as before where they are the same; sizes: bytes.
        """
        weights = list(map(abs, sizes))
        self._follow(moment, keys, weights)
        candidates = list(compress(range(len(weights)), weights))
        if self._least:
            candidates = [at for at in candidates if self._passes(at, weights[at])]
        large = self._largest(weights, candidates)
        grown = self._most_grown(weights, set(candidates).difference(large))
        before = self._large | self._grown
        self._large = {keys[at] for at in large}
        self._grown = {keys[at] for at in grown}
        held = self._held(moment, before - self._large - self._grown)
        return sorted([*large, *grown, *held])

    def _follow(self, moment: float, keys: Sequence[Hashable], weights: list[int]) -> None:
        """Remember the lowest of each."""
        if self._since is None:
            self._lowest_before, self._lowest, self._since = weights, weights, moment
        elif keys is not self._keys:
            here = set(keys)
            self._large &= here
            self._grown &= here
            self._left = {key: since for key, since in self._left.items() if key in here}
            # What was not there held nothing.
            before = dict(zip(self._keys, self._lowest_before, strict=True))
            lowest = dict(zip(self._keys, self._lowest, strict=True))
            self._lowest_before = [before.get(key, 0) for key in keys]
            self._lowest = [lowest.get(key, 0) for key in keys]
        self._keys = keys
        if moment - self._since >= self._window:
            self._lowest_before, self._lowest, self._since = self._lowest, weights, moment
        else:
            self._lowest = list(map(min, self._lowest, weights))

    def _passes(self, at: int, weight: int) -> bool:
        if weight >= self._least:
            return True
        key = self._keys[at]
        inside = key in self._large or key in self._grown
        return inside and weight * _INSIDE >= self._least * _OUTSIDE

    def _largest(self, weights: list[int], candidates: list[int]) -> list[int]:
        scores = [
            weights[at] * (_INSIDE if self._keys[at] in self._large else _OUTSIDE)
            for at in candidates
        ]
        return [at for _, at in nlargest(self._most, zip(scores, candidates, strict=True))]

    def _most_grown(self, weights: list[int], candidates: set[int]) -> list[int]:
        scored = []
        for at in candidates:
            lowest = min(self._lowest_before[at], self._lowest[at])
            inside = self._keys[at] in self._grown
            score = (weights[at] - lowest) * (_INSIDE if inside else _OUTSIDE)
            if score >= _LEAST_GROWTH * _OUTSIDE and score > lowest:
                scored.append((score, at))
        most = min(self._most, max(1, self._most // _GROWERS))
        return [at for _, at in nlargest(most, scored)]

    def _held(self, moment: float, leaving: set[Hashable]) -> list[int]:
        """The positions of those that left not long ago."""
        inside = self._large | self._grown
        if not leaving and not self._left:
            return []
        for key in self._keys:  # in their order, so that the same readings give the same answer
            if key in leaving:
                self._left[key] = moment
        self._left = {
            key: since
            for key, since in self._left.items()
            if key not in inside and moment - since < max(self._hold, 0)
        }
        spare = 2 * self._most - len(inside)
        for key in list(self._left)[: max(0, len(self._left) - spare)]:
            del self._left[key]
        return [at for at, key in enumerate(self._keys) if key in self._left]
