"""The statements as one HTML page that needs nothing else: no network, no other file, no library."""

from .page import write_page

__all__ = ["write_page"]
