"""A line that is typed at the bottom of the screen."""

from __future__ import annotations

from enum import StrEnum


class Ask(StrEnum):
    """What is asked."""

    FILTER = "Filter: "
    SAVE = "Save to: "
    TIME = "Time: "


_LONGEST = 4096


class Prompt:
    """What was typed so far. text: a default, which typing replaces and editing keeps."""

    def __init__(self, ask: Ask, text: str = "") -> None:
        self.ask = ask
        self.text = text
        self._untouched = True

    def press(self, key: str) -> bool | None:
        """Take a key; True: it is answered, False: it is given up, None: it goes on."""
        if key == "enter":
            return True
        if key == "escape":
            return False
        untouched, self._untouched = self._untouched, False
        if key == "backspace":
            self.text = self.text[:-1]
        elif key == "ctrl-u":
            self.text = ""
        elif key == "ctrl-w":
            words = self.text.rstrip()
            self.text = words[: len(words) - len(words.split(" ")[-1])]
        elif len(key) == 1 and untouched:
            self.text = key
        elif len(key) == 1 and len(self.text) < _LONGEST:
            self.text += key
        return None
