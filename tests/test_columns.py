"""Columns of numbers in C against the same in Python."""

from __future__ import annotations

from array import array

from hypothesis import given
from hypothesis import strategies as st

from allocq.core.columns import changed, folded, unfolded

words = st.integers(-(1 << 63), (1 << 63) - 1) | st.integers(-2, 2)


@given(st.lists(st.tuples(words, words)))
def test_what_differs(pairs: list[tuple[int, int]]) -> None:
    before, now = (array("q", column) for column in ([a for a, _ in pairs], [b for _, b in pairs]))
    assert list(changed(before, now)) == [at for at, (a, b) in enumerate(pairs) if a != b]


@given(st.lists(words))
def test_the_sign_goes_to_the_lowest_bit_and_back(numbers: list[int]) -> None:
    signed = array("q", numbers)
    small = folded(signed)
    assert list(small) == [2 * n if n >= 0 else -2 * n - 1 for n in numbers]
    assert unfolded(small) == signed
