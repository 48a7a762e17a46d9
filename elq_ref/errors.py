"""The one exception of our own: a file that is not what it should be."""


class FormatError(ValueError):
    """A file is damaged, truncated, hostile or of another kind; the text says what was found and what was wanted."""
