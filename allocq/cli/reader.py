"""Parses plain command lines without Typer, which is slow to import."""

from ..declarations.commands import QUERY_OPTIONS, Operand
from ..declarations.shared import Option, OptionKind


def by_flag(options: tuple[Option, ...]) -> dict[str, tuple[Option, bool]]:
    """Options by flag, with False for the flag that switches one off."""
    table = {}
    for option in options:
        for flag in option.flags:
            on, _, off = flag.partition("/")
            table[on] = option, True
            if off:
                table[off] = option, False
    return table


def read_plain(
    argv: list[str],
    options: tuple[Option, ...] = QUERY_OPTIONS,
    operands: tuple[Operand, ...] = (),
) -> dict[str, object] | None:
    """The values of a plain command line; None if the app must parse it.

    Agrees with the app on everything it accepts, and leaves mistakes to the app.
    """
    table = by_flag(options)
    values: dict[str, object] = {}
    words: list[str] = []
    rest = iter(argv)
    for word in rest:
        if word == "--" and operands:
            words += rest
            break
        if word[:1] != "-" or (word == "-" and operands):
            words.append(word)
            if any(operand.runs for operand in operands):
                words += rest  # the command's own options
            continue
        if word in ("-", "--"):
            return None
        flag, equals, value = word.partition("=")
        if word[:2] != "--":
            flag, equals, value = word[:2], word[2:], word[2:]
        match = table.get(flag)
        while match and equals and word[:2] != "--" and match[0].kind == OptionKind.FLAG:
            values[match[0].name] = True
            flag, equals, value = "-" + value[0], value[1:], value[1:]
            match = table.get(flag)
        if not match:
            return None
        option, on = match
        if option.kind in (OptionKind.FLAG, OptionKind.SWITCH):
            if equals:
                return None
            values[option.name] = on
            continue
        if not equals:
            following = next(rest, None)
            if following is None:
                return None
            value = following
        if option.kind == OptionKind.TEXT:
            values[option.name] = value
        else:
            items = values.setdefault(option.name, [])
            assert isinstance(items, list)
            items.append(value)
    return values if _take_operands(values, words, operands) else None


def _take_operands(
    values: dict[str, object], words: list[str], operands: tuple[Operand, ...]
) -> bool:
    """Add the operands by name; False if there are too few or too many."""
    for operand in operands:
        if operand.many and words:
            values[operand.name], words = words, []
        elif words:
            values[operand.name] = words.pop(0)
        elif operand.required:
            return False
    return not words
