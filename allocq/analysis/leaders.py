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
        # Positions; those that left, with the time.
        self._large: set[int] = set()
        self._grown: set[int] = set()
        self._left: dict[int, float] = {}

    def update(
        self, moment: float, keys: Sequence[Hashable], sizes: Sequence[int]
    ) -> Sequence[int]:
        """The positions of those that are in, ascending. moment: seconds on a clock that is never
        set; keys: each once, and the same object as before where they are the same; sizes: bytes.
        """
        weights = list(map(abs, sizes))
        candidates = list(compress(range(len(weights)), weights))
        self._follow(moment, keys, weights, candidates)
        before = self._large | self._grown
        if self._least:
            candidates = [at for at in candidates if self._passes(at, weights[at])]
        self._large = self._largest(weights, candidates)
        self._grown = self._most_grown(weights, candidates)
        inside = self._large | self._grown
        self._settle(moment, inside, before - inside)
        return sorted(inside.union(self._left))

    def _follow(
        self, moment: float, keys: Sequence[Hashable], weights: list[int], holding: list[int]
    ) -> None:
        """Remember the lowest of each. holding: the positions of those that are not 0."""
        if self._since is None:
            self._lowest_before, self._lowest, self._since = weights, weights, moment
        elif keys is not self._keys:
            self._move(keys)
        self._keys = keys
        if moment - self._since >= self._window:
            self._lowest_before, self._lowest, self._since = self._lowest, weights, moment
        else:
            # Most hold nothing, and so little is to be compared.
            before, self._lowest = self._lowest, [0] * len(weights)
            for at in holding:
                self._lowest[at] = min(before[at], weights[at])

    def _move(self, keys: Sequence[Hashable]) -> None:
        """Find the positions of all that is known; what was not there held nothing."""
        came_from = {key: at for at, key in enumerate(self._keys)}
        old = [came_from.get(key) for key in keys]
        for name in ("_lowest", "_lowest_before"):
            known = getattr(self, name)
            setattr(self, name, [0 if at is None else known[at] for at in old])
        new = {was: at for at, was in enumerate(old) if was is not None}
        self._large = {new[at] for at in self._large if at in new}
        self._grown = {new[at] for at in self._grown if at in new}
        self._left = {new[at]: since for at, since in self._left.items() if at in new}

    def _passes(self, at: int, weight: int) -> bool:
        if weight >= self._least:
            return True
        inside = at in self._large or at in self._grown
        return inside and weight * _INSIDE >= self._least * _OUTSIDE

    def _largest(self, weights: list[int], candidates: list[int]) -> set[int]:
        if len(candidates) <= self._most:
            return set(candidates)
        large = self._large
        scores = [weights[at] * (_INSIDE if at in large else _OUTSIDE) for at in candidates]
        best = nlargest(self._most, zip(scores, candidates, strict=True))
        return {at for _, at in best}

    def _most_grown(self, weights: list[int], candidates: list[int]) -> set[int]:
        """Of those that are not among the largest."""
        scored = []
        for at in candidates:
            # Most have not grown, and this is asked of all of them.
            growth = weights[at] - min(self._lowest_before[at], self._lowest[at])
            if growth and at not in self._large:
                score = growth * (_INSIDE if at in self._grown else _OUTSIDE)
                if score >= _LEAST_GROWTH * _OUTSIDE and score > weights[at] - growth:
                    scored.append((score, at))
        most = min(self._most, max(1, self._most // _GROWERS))
        return {at for _, at in nlargest(most, scored)}

    def _settle(self, moment: float, inside: set[int], leaving: set[int]) -> None:
        """Who left, who is back, and who is gone for good."""
        for at in sorted(leaving):
            self._left[at] = moment
        self._left = {
            at: since
            for at, since in self._left.items()
            if at not in inside and moment - since < self._hold
        }
        spare = 2 * self._most - len(inside)
        for at in list(self._left)[: max(0, len(self._left) - spare)]:
            del self._left[at]
