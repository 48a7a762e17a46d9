"""The equations of the statements, written as plain text, as MathML.

The notation is what one types: `J = L + a1 |L(W) - L(W_hat)| + a2 E`, `q = floor(f 2^31 + 1/2)`.

| written | set as |
|---|---|
| alpha, sigma2, a1, W_0, s_in, sum_t | Greek letters; digits and what follows _ below |
| W_hat, ghat, Lp | with a hat, or p below |
| x^2, 2^-24, 2^(s - 1) | above; parentheses around it alone go away |
| a / b, (a + b) / (c d) | a fraction of the two things beside the stroke; parentheses around one alone go away |
| (x), {a, b}, |x|, ||x||, <g, D> | in parentheses, braces, bars, double bars, angles (no space inside the angles) |
| floor(x), sqrt(x), name(x) | floor, root, a function applied |
| <=, >=, !=, <-, ->, <<, >>, .., ~ | signs; < and > with spaces around are signs too |
| any other word of several letters | text |
"""

from __future__ import annotations

import html
import re
from typing import NamedTuple

_TOKEN = re.compile(r"\s+|\|\||<=|>=|<<|>>|<-|->|!=|\.\.|\d+(?:\.\d+)?(?:e-?\d+)?|[A-Za-z]+(?:'s)?\d*|.")
_GREEK = {"alpha": "α", "beta": "β", "gamma": "γ", "sigma": "σ", "eps": "ε", "phi": "φ"}
_LARGE = {"sum": "∑", "int": "∫"}
_NAMES = {"max", "min", "mean", "sign", "argmin", "argmax", "acc", "raw", "scale", "bias", "clamp"}
_SIGNS = {
    "<=": "≤", ">=": "≥", "!=": "≠", "<-": "←", "->": "→", "..": "…", "~": "∼", "-": "−",
    "'": "′",
}  # fmt: skip
_CLOSING = {"(": ")", "{": "}", "[": "]", "|": "|", "||": "||", "<": ">"}
_FENCES = {"(": "()", "{": "{}", "[": "[]", "|": "||", "||": "‖‖", "<": "⟨⟩"}
_STOPS = {f"<mo>{sign}</mo>": sign for sign in ",;:"}
_RELATIONS = {f"<mo>{sign}</mo>" for sign in ("=", "≤", "≥", "&lt;", "&gt;", "←", "→", "∼")}


class _Item(NamedTuple):
    """A piece of MathML. kind: "operand", "named", "large", "sign", "text"; inner: what a pair of parentheses holds."""

    kind: str
    xml: str
    inner: str = ""


def mathml(text: str) -> str:
    """An equation as HTML: its words, and between them `<math>` elements of which each begins at most one relation, so
    that a browser can break the line there. ValueError where a bracket is not closed or a stroke divides nothing.

    >>> from elq_ref.statements.page.mathml import mathml
    >>> print(mathml("y if a1"))
    <math displaystyle="true"><mi>y</mi></math> if <math displaystyle="true"><msub><mi>a</mi><mn>1</mn></msub></math>
    """
    pieces: list[str] = []
    inside: list[_Item] = []

    def close(text: str = "") -> None:
        if inside:
            pieces.append(f'<math displaystyle="true">{_joined(inside)}</math>')
        pieces[-1:] = [f"{piece}{text}" for piece in pieces[-1:]]
        inside.clear()

    for item in _Parser(text).items(""):
        if item.kind == "text":
            close()
            pieces.append(item.xml)
        elif item.xml in _STOPS:
            close(_STOPS[item.xml])
        else:
            if item.xml in _RELATIONS:
                close()
            inside.append(item)
    close()
    return " ".join(pieces)


class _Parser:
    def __init__(self, text: str) -> None:
        self.text = text
        self.tokens = [match[0] for match in _TOKEN.finditer(text)]
        self.place = 0

    def look(self, ahead: int = 0) -> str:
        place = self.place + ahead
        return self.tokens[place] if 0 <= place < len(self.tokens) else ""

    def items(self, closing: str) -> list[_Item]:
        """Everything up to the token `closing`, which is taken too; "" is the end."""
        found: list[_Item] = []
        while self.look() != closing or (closing == ">" and self.look(-1).isspace()):
            if not self.look():
                raise ValueError(f"the equation {self.text!r} lacks {closing!r}")
            if self.look().isspace():
                self.place += 1
            elif self.look() == "/":
                self.place += 1
                found.append(self.fraction(found))
            else:
                found.append(self.item())
        self.place += 1
        return found

    def item(self) -> _Item:
        """One thing with what is below and above it, a function with what it is applied to."""
        token = self.look()
        self.place += 1
        if token in _CLOSING and not self.is_comparison(token):
            return self.scripted(self.group(token))
        if token[0].isdigit():
            return self.scripted(_Item("operand", f"<mn>{token}</mn>"))
        if token[0].isalpha():
            return self.word(token)
        return _Item("sign", f"<mo>{html.escape(_SIGNS.get(token, token))}</mo>")

    def is_comparison(self, token: str) -> bool:
        """Whether this < is a sign: an angle has no space inside."""
        return token == "<" and self.look().isspace()

    def group(self, token: str) -> _Item:
        inner = _joined(self.items(_CLOSING[token]))
        grows = "true" if "<mfrac>" in inner or "<munder>" in inner else "false"  # a hat alone needs no tall bracket
        left, right = (f'<mo fence="true" stretchy="{grows}">{sign}</mo>' for sign in _FENCES[token])
        fenced = f"<mrow>{left}{inner}{right}</mrow>"
        return _Item("operand", fenced, inner if token == "(" else "")

    def word(self, token: str) -> _Item:
        applied, below = self.look() == "(", self.look() == "_"
        base, digits = re.fullmatch(r"(\D+)(\d*)", token).groups()  # type: ignore[union-attr]
        if token in _LARGE and not applied:
            return self.scripted(_Item("large", f"<mo>{_LARGE[token]}</mo>"))
        if token == "floor" and applied:
            self.place += 1
            inner = _joined(self.items(")"))
            return self.scripted(_Item("operand", f"<mrow><mo>⌊</mo>{inner}<mo>⌋</mo></mrow>"))
        if token == "sqrt" and applied:
            self.place += 1
            return self.scripted(_Item("operand", f"<msqrt>{_joined(self.items(')'))}</msqrt>"))
        symbol = _symbol(base)
        if token == "a" and not below:
            symbol = ""
        if symbol:
            if digits:
                symbol = f"<msub>{symbol}<mn>{digits}</mn></msub>"
            item = _Item("operand", symbol)
        elif applied or below or base in _NAMES:
            item = _Item("named", f"<mi>{token}</mi>")
        else:
            return _Item("text", html.escape(token))
        item = self.scripted(item)
        if self.look() == "(":
            self.place += 1
            item = _Item("operand", f"<mrow>{item.xml}<mo>&#x2061;</mo>{self.group('(').xml}</mrow>")
            item = self.scripted(item)
        return item

    def scripted(self, item: _Item) -> _Item:
        """The thing with its hat, primes, what is below and what is above it."""
        low = high = ""
        while self.look() and self.look() in "_^'":
            sign = self.look()
            self.place += 1
            if sign == "'":
                high += "<mo>′</mo>"
            elif sign == "_" and self.look().startswith("hat"):
                digits = self.look().removeprefix("hat")
                self.place += 1
                item = item._replace(xml=_hat(item.xml), inner="")
                low += f"<mn>{digits}</mn>" if digits else ""
            elif sign == "_":
                low += self.script()
            else:
                high += self.script()
        if not low and not high:
            return item
        tag = ("munder", "mover", "munderover") if item.kind == "large" and low and "∑" in item.xml else None
        under, over, both = tag or ("msub", "msup", "msubsup")
        if low and high:
            xml = f"<{both}>{item.xml}<mrow>{low}</mrow><mrow>{high}</mrow></{both}>"
        else:
            name, script = (under, low) if low else (over, high)
            xml = f"<{name}>{item.xml}<mrow>{script}</mrow></{name}>"
        return item._replace(xml=xml, inner="")

    def script(self) -> str:
        """What stands below or above: {...} or (...) without its brackets, or a number, letter or word; its minus."""
        sign = ""
        if self.look() == "-":
            sign = "<mo>−</mo>"
            self.place += 1
        token = self.look()
        self.place += 1
        if token in ("{", "("):
            return sign + _joined(self.items(_CLOSING[token]))
        if token[:1].isalpha():
            base, digits = re.fullmatch(r"(\D+)(\d*)", token).groups()  # type: ignore[union-attr]
            return sign + (_symbol(base) or f"<mtext>{base}</mtext>") + (f"<mn>{digits}</mn>" if digits else "")
        if token[:1].isdigit():
            return f"{sign}<mn>{token}</mn>"
        raise ValueError(f"the equation {self.text!r} has nothing below or above at {token!r}")

    def fraction(self, found: list[_Item]) -> _Item:
        """A fraction of the thing before the stroke and the one behind it."""
        if not found or found[-1].kind in ("sign", "text"):
            raise ValueError(f"the equation {self.text!r} divides nothing")
        above = found.pop()
        while self.look().isspace():
            self.place += 1
        if not self.look():
            raise ValueError(f"the equation {self.text!r} divides by nothing")
        below = self.item()
        parts = "".join(f"<mrow>{part.inner or _joined([part])}</mrow>" for part in (above, below))
        return _Item("operand", f"<mfrac>{parts}</mfrac>")


def _symbol(word: str) -> str:
    """The MathML of a letter, a Greek letter, one with a hat, a differential; "" for another word."""
    if word in _GREEK:
        return f"<mi>{_GREEK[word]}</mi>"
    if len(word) == 1:
        return f"<mi>{word}</mi>"
    if word == "Lp":
        return "<msub><mi>L</mi><mi>p</mi></msub>"
    if word == "ghat":
        return _hat("<mi>g</mi>")
    if word[0] == "d" and (word[1:] in _GREEK or (len(word) == 2 and word[1] in "LJWwxt")):
        return f"<mrow><mi>d</mi>{_symbol(word[1:])}</mrow>"
    return ""


def _hat(xml: str) -> str:
    return f'<mover accent="true">{xml}<mo>^</mo></mover>'


def _joined(items: list[_Item]) -> str:
    """The items side by side, words that follow each other as one text."""
    out: list[str] = []
    words: list[str] = []
    for item in [*items, _Item("sign", "")]:
        if item.kind == "text":
            words.append(item.xml)
            continue
        if words:
            spaces = " ".join(words)
            before, after = ("&#xA0;" if near else "" for near in (out, item.xml and item.xml not in _STOPS))
            out.append(f"<mtext>{before}{spaces}{after}</mtext>")
            words = []
        space = '<mspace width="0.17em"/>' if item.kind == "named" else ""
        out.append(f"{space if out else ''}{item.xml}{space}")
    return "".join(out)
