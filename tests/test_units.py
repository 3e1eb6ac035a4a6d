"""Sizes, counts and line ranges as people write them."""

from __future__ import annotations

from fractions import Fraction

import pytest
from command import unhurried
from hypothesis import given
from hypothesis import strategies as st

from allocq import UsageError, format_size, parse_size
from allocq.units import parse_count, parse_lines

LETTERS = "KMGTPE"
LARGEST = 2**63 - 1


@pytest.mark.parametrize(
    ("text", "size"),
    [
        ("0", 0),
        ("4096", 4096),
        ("64K", 65536),
        ("1M", 1 << 20),
        ("1MiB", 1 << 20),
        ("1MB", 10**6),
        ("1.5G", 3 << 29),
        ("1.5GB", 1_500_000_000),
        ("1k", 1024),
        ("1kb", 1000),
        ("1mib", 1 << 20),
        ("12B", 12),
        ("0.1K", 102),
        ("0.0001K", 0),
        ("007", 7),
        ("1T", 1 << 40),
        ("1P", 1 << 50),
        ("7E", 7 << 60),
        ("9223372036854775807", LARGEST),
    ],
)
def test_sizes(text: str, size: int) -> None:
    assert parse_size(text) == size


@pytest.mark.parametrize(
    "text",
    [
        *("", " ", "K", "iB", "B", "KB", "-1", "+1", "1.", ".", "1.K", "1..2", "1.2.3", "1KK"),
        *("1KiBB", "1 K", "1e3", "0x10", "1_000", "1,5K", "\u00b2", "\u0661", "\uff11", "1Z"),
        *("1i", "1Ki", "1Bi", "1M1", "inf", "nan", "1\n2", "1\0", "--"),
    ],
)  # fmt: skip
def test_bad_sizes(text: str) -> None:
    with pytest.raises(UsageError, match="invalid size"):
        parse_size(text)


@pytest.mark.parametrize("text", ["9223372036854775808", "8E", "9.3EB", "99999999999G", "9" * 100])
def test_sizes_too_large(text: str) -> None:
    with pytest.raises(UsageError, match="is too large"):
        parse_size(text)


@pytest.mark.parametrize("text", ["9" * 5000, "1." + "9" * 5000, "9" * 5000 + "K"])
def test_no_number_is_too_long_for_an_error(text: str) -> None:
    for parse in (parse_size, parse_count, parse_lines):
        with pytest.raises(UsageError):
            parse(text)


@unhurried
@given(
    st.integers(0, 10**20),
    st.none() | st.text("0123456789", min_size=1, max_size=30),
    st.sampled_from(["", *LETTERS, *LETTERS.lower()]),
    st.sampled_from(["", "B", "iB", "b", "IB"]),
)
def test_a_size_is_exact_and_cut_down(
    whole: int, fraction: str | None, letter: str, end: str
) -> None:
    if not letter and end.lower() == "ib":
        return
    base = 1000 if end.lower() == "b" else 1024
    number = f"{whole}" if fraction is None else f"{whole}.{fraction}"
    power = LETTERS.index(letter.upper()) + 1 if letter else 0
    exact = int(Fraction(number) * base**power)
    if exact > LARGEST:
        with pytest.raises(UsageError):
            parse_size(number + letter + end)
    else:
        assert parse_size(number + letter + end) == exact


@unhurried
@given(st.text(max_size=8))
def test_any_text_is_a_size_or_a_usage_error(text: str) -> None:
    for parse in (parse_size, parse_count, parse_lines):
        try:
            parse(text)
        except UsageError as error:
            assert str(error)


@unhurried
@given(st.integers(-(2**63), 2**63 - 1))
def test_a_size_shown_is_short_and_near(size: int) -> None:
    shown = format_size(size)
    assert len(shown.removeprefix("-")) <= 7
    assert shown.startswith("-") == (size < 0)
    if abs(size) < 1024:
        assert shown == str(size)
        return
    number, letter = shown[:-1], shown[-1]
    unit = 1024 ** (LETTERS.index(letter) + 1)
    assert abs(Fraction(number) * unit - size) <= Fraction(unit) * Fraction(51, 1000)
    assert 1 <= abs(Fraction(number)) < 1024


@pytest.mark.parametrize(
    ("size", "shown"),
    [
        *((0, "0"), (1023, "1023"), (-1023, "-1023"), (1024, "1.0K"), (1536, "1.5K")),
        *((-1536, "-1.5K"), ((1 << 20) - 1, "1.0M"), (1 << 20, "1.0M"), (1023 << 10, "1023.0K")),
        *((2**63 - 1, "8.0E"), (-(2**63), "-8.0E")),
    ],
)  # fmt: skip
def test_sizes_shown(size: int, shown: str) -> None:
    assert format_size(size) == shown


@unhurried
@given(st.integers(0, 2**64 - 1), st.integers(0, 2**64 - 1))
def test_lines(low: int, high: int) -> None:
    assert parse_lines(str(low)) == (low, low)
    if low <= high:
        assert parse_lines(f"{low}-{high}") == (low, high)
    else:
        with pytest.raises(UsageError, match="the range is empty"):
            parse_lines(f"{low}-{high}")


@pytest.mark.parametrize(
    "text", ["", "-", "1-", "-1", "1-2-3", "a", "1:2", "1..2", " 1", "1 - 2", str(2**64)]
)
def test_bad_lines(text: str) -> None:
    with pytest.raises(UsageError, match="invalid line"):
        parse_lines(text)
