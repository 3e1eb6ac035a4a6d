"""Parses plain command lines without Typer, which is slow to import."""

from enum import Enum, auto

from .commands import Operand
from .shared import Option, OptionKind

HELP_NAME = "help"


class Fault(Enum):
    """Why a command line cannot be read. UNSURE: the app has to say."""

    UNKNOWN_OPTION = auto()
    NO_VALUE = auto()
    NEEDLESS_VALUE = auto()
    MISSING_OPERAND = auto()
    EXTRA_OPERAND = auto()
    UNSURE = auto()


class Misread(Exception):
    """A mistake in a command line. word: the flag, operand or metavar it is about."""

    def __init__(self, fault: Fault, word: str = "", option: Option | None = None) -> None:
        super().__init__(word)
        self.fault = fault
        self.word = word
        self.option = option


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


def dashes(words: list[str], options: tuple[Option, ...]) -> int:
    """Where the `--` is that ends the options; the number of words if there is none."""
    table = by_flag(options)
    at = 0
    while at < len(words) and words[at] != "--":
        match = table.get(words[at])
        takes_value = match and match[0].kind in (OptionKind.TEXT, OptionKind.LIST)
        at += 2 if takes_value else 1
    return min(at, len(words))


def read_words(
    argv: list[str], options: tuple[Option, ...], operands: tuple[Operand, ...]
) -> dict[str, object]:
    """The values of a command line. Misread.

    Agrees with the app on everything it accepts.
    """
    table = by_flag(options)
    values: dict[str, object] = {}
    words: list[str] = []
    rest = iter(argv)
    for word in rest:
        if word == "--" and operands:
            behind = next((operand for operand in operands if operand.behind_dashes), None)
            if behind is None:
                words += rest
            else:
                values[behind.name] = list(rest)
            break
        if word[:1] != "-" or (word == "-" and operands):
            words.append(word)
            if any(operand.runs for operand in operands):
                words += rest  # the command's own options
            continue
        if word == "-":
            raise Misread(Fault.EXTRA_OPERAND, word)
        if word == "--":
            raise Misread(Fault.UNSURE)
        flag, equals, value = word.partition("=")
        if word[:2] != "--":
            flag, equals, value = word[:2], word[2:], word[2:]
        match = table.get(flag)
        while match and equals and word[:2] != "--" and match[0].kind == OptionKind.FLAG:
            values[match[0].name] = True
            flag, equals, value = "-" + value[0], value[1:], value[1:]
            match = table.get(flag)
        if not match:
            # Not a bundle but a long name or a number after one dash: -5, -json.
            known = word[:2] != "--" and flag != word[:2]
            raise Misread(Fault.UNKNOWN_OPTION, flag if known or word[:2] == "--" else word)
        option, on = match
        if option.kind in (OptionKind.FLAG, OptionKind.SWITCH):
            if equals:
                raise Misread(Fault.NEEDLESS_VALUE, flag, option)
            values[option.name] = on
            continue
        if not equals:
            following = next(rest, None)
            if following is None:
                raise Misread(Fault.NO_VALUE, flag, option)
            value = following
        if option.kind == OptionKind.TEXT:
            if option.name == "source" and option.name in values:
                values["second_source"] = value
            values[option.name] = value
        else:
            items = values.setdefault(option.name, [])
            assert isinstance(items, list)
            items.append(value)
    if HELP_NAME not in values:
        _take_operands(values, words, operands)
    return values


def _take_operands(
    values: dict[str, object], words: list[str], operands: tuple[Operand, ...]
) -> None:
    """Add the operands by name."""
    for operand in operands:
        if operand.behind_dashes:
            continue
        if operand.many and words:
            values[operand.name], words = words, []
        elif words:
            values[operand.name] = words.pop(0)
        elif operand.required:
            raise Misread(Fault.MISSING_OPERAND, operand.metavar)
    if words:
        raise Misread(Fault.EXTRA_OPERAND, words[0])
