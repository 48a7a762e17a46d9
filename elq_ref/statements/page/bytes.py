"""Bytes as rows of bits, for the pictures of codes."""

from __future__ import annotations

import html
from collections.abc import Sequence


class Bytes:
    """`data` as boxes of 8 bits, the lowest first; `names` of the fields of `bits` bits, in order; a line of text."""

    def __init__(self, data: Sequence[int], names: Sequence[str], bits: int, text: str = "") -> None:
        self.data, self.names, self.bits, self.text = data, names, bits, text

    def svg(self, title: str) -> str:
        """The drawing as an element, which says `title` to who cannot see it."""
        parts = []
        for number, byte in enumerate(self.data):
            for bit in range(8):
                x = 8 + 26 * (8 * number + bit) + 8 * number
                value = byte >> bit & 1
                parts.append(f'<rect x="{x}" y="24" width="24" height="24" fill="none" stroke="var(--line)"/>')
                parts.append(f'<text x="{x + 12}" y="41" text-anchor="middle">{value}</text>')
            parts.append(f'<text x="{8 + 216 * number}" y="66">byte {number}: 0x{byte:02x}</text>')
        for field, name in enumerate(self.names):
            first = field * self.bits
            x = 8 + 26 * first + 8 * (first // 8)
            width = 26 * self.bits - 4
            parts.append(f'<path d="M{x} 20h{width}" stroke="var(--red)" stroke-width="2"/>')
            parts.append(f'<text x="{x + width / 2}" y="14" text-anchor="middle">{html.escape(name)}</text>')
        if self.text:
            parts.append(f'<text x="8" y="14">{html.escape(self.text)}</text>')
        label = html.escape(title, quote=True)
        return f'<svg viewBox="0 0 440 74" role="img" aria-label="{label}">{"".join(parts)}</svg>'
