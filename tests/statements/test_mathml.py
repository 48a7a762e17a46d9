"""The notation of the equations as MathML."""

import xml.etree.ElementTree as ET

import pytest

from elq_ref.statements.page.mathml import mathml

HAT = '<mover accent="true"><mi>W</mi><mo>^</mo></mover>'


def inside(text):
    """The content of the one element that an equation without words and relations is."""
    made = mathml(text)
    assert made.startswith('<math displaystyle="true">')
    assert made.count("<math ") == 1
    ET.fromstring(made)
    return made.removeprefix('<math displaystyle="true">').removesuffix("</math>")


def fenced(left, content, right, grows="false"):
    return (
        f'<mrow><mo fence="true" stretchy="{grows}">{left}</mo>{content}'
        f'<mo fence="true" stretchy="{grows}">{right}</mo></mrow>'
    )


def ratio(above, below):
    return f"<mfrac><mrow>{above}</mrow><mrow>{below}</mrow></mfrac>"


@pytest.mark.parametrize(
    ("text", "made"),
    [
        ("alpha", "<mi>α</mi>"),
        ("a1", "<msub><mi>a</mi><mn>1</mn></msub>"),
        ("W_hat", HAT),
        ("W_hat0", f"<msub>{HAT}<mrow><mn>0</mn></mrow></msub>"),
        ("ghat", '<mover accent="true"><mi>g</mi><mo>^</mo></mover>'),
        ("Lp", "<msub><mi>L</mi><mi>p</mi></msub>"),
        ("s_out", "<msub><mi>s</mi><mrow><mtext>out</mtext></mrow></msub>"),
        ("2^-24", "<msup><mn>2</mn><mrow><mo>−</mo><mn>24</mn></mrow></msup>"),
        ("2^(s - 1)", "<msup><mn>2</mn><mrow><mi>s</mi><mo>−</mo><mn>1</mn></mrow></msup>"),
        ("S_k^2", "<msubsup><mi>S</mi><mrow><mi>k</mi></mrow><mrow><mn>2</mn></mrow></msubsup>"),
        ("D' H", "<msup><mi>D</mi><mrow><mo>′</mo></mrow></msup><mi>H</mi>"),
        ("(a1 + 1) / 2", ratio("<msub><mi>a</mi><mn>1</mn></msub><mo>+</mo><mn>1</mn>", "<mn>2</mn>")),
        ("x/2", ratio("<mi>x</mi>", "<mn>2</mn>")),
        ("sum_t x", "<munder><mo>∑</mo><mrow><mi>t</mi></mrow></munder><mi>x</mi>"),
        ("|x|", fenced("|", "<mi>x</mi>", "|")),
        ("||x||", fenced("‖", "<mi>x</mi>", "‖")),
        ("<g, D>", fenced("⟨", "<mi>g</mi><mo>,</mo><mi>D</mi>", "⟩")),
        ("{-1, 1}", fenced("{", "<mo>−</mo><mn>1</mn><mo>,</mo><mn>1</mn>", "}")),
        ("L(W)", f"<mrow><mi>L</mi><mo>&#x2061;</mo>{fenced('(', '<mi>W</mi>', ')')}</mrow>"),
        ("(x/2)", fenced("(", ratio("<mi>x</mi>", "<mn>2</mn>"), ")", "true")),
        ("floor(x)", "<mrow><mo>⌊</mo><mi>x</mi><mo>⌋</mo></mrow>"),
        ("sqrt(x)", "<msqrt><mi>x</mi></msqrt>"),
        ("(x < 2)", fenced("(", "<mi>x</mi><mo>&lt;</mo><mn>2</mn>", ")")),
        ("(x << 2)", fenced("(", "<mi>x</mi><mo>&lt;&lt;</mo><mn>2</mn>", ")")),
        ("dL/dW", ratio("<mrow><mi>d</mi><mi>L</mi></mrow>", "<mrow><mi>d</mi><mi>W</mi></mrow>")),
    ],
)
def test_what_is_written_is_set(text, made):
    assert inside(text) == made


def test_words_stand_between_and_a_relation_begins_an_element():
    assert mathml("J >= L for a weight, s = 0") == (
        '<math displaystyle="true"><mi>J</mi></math> <math displaystyle="true"><mo>≥</mo><mi>L</mi></math> for a '
        'weight, <math displaystyle="true"><mi>s</mi></math> <math displaystyle="true"><mo>=</mo><mn>0</mn></math>'
    )
    assert mathml("a & b's < x") == (
        'a <math displaystyle="true"><mo>&amp;</mo></math> b&#x27;s '
        '<math displaystyle="true"><mo>&lt;</mo><mi>x</mi></math>'
    )


@pytest.mark.parametrize("text", ["(x", "|x", "<g, D", "floor(x", "2^{x", "/ 2", "x /", "= / 2", "x_,"])
def test_what_cannot_be_set_is_named(text):
    with pytest.raises(ValueError, match="the equation"):
        mathml(text)
