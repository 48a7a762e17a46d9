"""The one exception of our own: a file that is not what it should be."""


class FormatError(ValueError):
    """A file is damaged, truncated, hostile or of another kind; the text says what was found and what was wanted.

    >>> with open("net.elq", "wb") as file:
    ...     _ = file.write(b"no network")
    >>> try:
    ...     elq.PackedNetwork.load("net.elq")
    ... except elq.FormatError as error:
    ...     print("refused")
    refused
    """
