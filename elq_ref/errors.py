"""Our own exceptions: a file that is not what it should be, pictures of other classes. And how such texts are shown."""

import unicodedata


class FormatError(ValueError):
    """A file is damaged, truncated, hostile or of another kind; the text says what was found and what was wanted.

    The text is one line that a terminal can be given, whatever the file holds.

    >>> with open("net.elq", "wb") as file:
    ...     _ = file.write(b"no network")
    >>> try:
    ...     elq.PackedNetwork.load("net.elq")
    ... except elq.FormatError as error:
    ...     print("refused")
    refused
    """

    def __init__(self, text: str) -> None:
        super().__init__(shown(text))


class OtherClasses(ValueError):
    """Pictures have other classes than a network; the commands say which of their options helps."""


def shown(text: str) -> str:
    """A text from somewhere else as a part of one line: what would move the cursor, colour the text or turn it around
    is escaped, and so are the bytes of a file name that are no text."""
    return text if text.isprintable() else "".join(c if _harmless(c) else _escaped(c) for c in text)


def _harmless(c: str) -> bool:
    return c.isprintable() or unicodedata.category(c) == "Zs"  # a space of whatever width


def _escaped(c: str) -> str:
    if "\udc80" <= c <= "\udcff":  # a byte of a file name, as os.fsdecode gives it
        return f"\\x{ord(c) - 0xDC00:02x}"
    return c.encode("unicode_escape").decode()
