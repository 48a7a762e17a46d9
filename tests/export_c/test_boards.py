"""tools/boards: what a target is asked to build, run and count, and what is said when that goes wrong."""

import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
if not (ROOT / "tools" / "boards").is_dir():
    pytest.skip("tools/ is not here (tests run from a copy)", allow_module_level=True)
sys.path.append(str(ROOT))  # at the end: an elq_ref that is installed goes before the checkout's

from tools.boards import TARGETS, BoardError, BuildFailed, Crash, DoesNotFit, Hang, build, count, run  # noqa: E402

LOOP = """
#include "board.h"

static void __attribute__((noinline)) loop(uint32_t n) { /* two instructions a turn */
#if defined __aarch64__
    __asm__ volatile("1: subs %w0, %w0, 1\\n b.ne 1b" : "+r"(n)::"cc");
#elif defined __arm__
    __asm__ volatile(".syntax unified\\n1: subs %0, %0, #1\\n bne 1b" : "+l"(n)::"cc");
#else
    __asm__ volatile("1: addi %0, %0, -1\\n bnez %0, 1b" : "+r"(n));
#endif
}

int main(void) {
    BOARD_COUNT("empty", );
    BOARD_COUNT("1", loop(1));
    BOARD_COUNT("100", loop(100));
    BOARD_COUNT("101", loop(101));
    BOARD_COUNT("1000000", loop(1000000));
    return 0;
}
"""
GREETING = """
#include "board.h"
static int seven = 7, zero;
int main(void) {
    board_put("numbers ");
    board_put_signed(-2147483647 - 1);
    board_put(" ");
    board_put_hex(0xdeadbee0u + (uint32_t)(seven + zero));
    board_put("\\n");
    return 0;
}
"""
FAULT = '#include "board.h"\nint main(void) { board_put("here\\n"); __builtin_trap(); }'
CODE_3 = '#include "board.h"\nint main(void) { board_put("wrong answer\\n"); return 3; }'
ENDLESS = 'int main(void) { for (;;) __asm__ volatile(""); }'
LARGE = "char large[5000000]; int main(void) { return large[1]; }"
BOARDS = [name for name, target in TARGETS.items() if target.board is not None]


@pytest.fixture
def program(tmp_path):
    """Of a text in C: the file, and where its program goes."""

    def written(text):
        source = tmp_path / "main.c"
        source.write_text(text)
        return [source], tmp_path / "program"

    return written


def here(name):
    """The target of this name, or a skip."""
    target = TARGETS[name]
    if target.missing():
        pytest.skip(f"{name}: {', '.join(target.missing())} not installed")
    return target


@pytest.mark.parametrize("name", TARGETS)
def test_a_program_runs_and_prints(name, program):
    target = here(name)
    assert run(target, build(target, *program(GREETING))) == "numbers -2147483648 deadbee7\n"


@pytest.mark.parametrize("name", [name for name, target in TARGETS.items() if target.counts])
def test_instructions_of_a_loop_of_known_length(name, program):
    counted = count(here(name), *program(LOOP))
    assert counted["101"] - counted["100"] == 2
    around = counted["1"] - 2  # a constant, the call, the return
    assert 2 <= around <= 6
    assert abs(counted["100"] - 200 - around) <= 1  # a constant of two instructions on some
    assert abs(counted["1000000"] - 2_000_000 - around) <= 2


def test_a_count_needs_its_marks_alone_and_a_clock(program):
    with pytest.raises(BoardError, match=r'^m3: has no BOARD_COUNT\("empty", \)'):
        count(here("m3"), *program(GREETING))
    with pytest.raises(BoardError, match=r"^gcc-O2: counts no instructions"):
        count(here("gcc-O2"), *program(LOOP))


@pytest.mark.parametrize("name", TARGETS)
def test_a_crash_names_its_target(name, program):
    target = here(name)
    with pytest.raises(Crash, match=f"^{name}: ended with (signal [45]|exit code 70)"):
        run(target, build(target, *program(FAULT)))


@pytest.mark.parametrize("name", ["gcc-O2", "aarch64", "microbit", "m4", "rv32"])
def test_an_exit_code_and_the_last_words(name, program):
    target = here(name)
    with pytest.raises(Crash, match=f"^{name}: ended with exit code 3: wrong answer$"):
        run(target, build(target, *program(CODE_3)))


@pytest.mark.parametrize("name", ["gcc-O2", "riscv64", "m3", "rv32"])
def test_a_hang_names_its_target(name, program):
    target = here(name)
    with pytest.raises(Hang, match=f"^{name}: did not end within 0.5 s$"):
        run(target, build(target, *program(ENDLESS)), seconds=0.5)


@pytest.mark.parametrize("name", BOARDS)
def test_what_does_not_fit_is_said_with_its_bytes(name, program):
    target = here(name)
    length = target.board.ram[1]
    wanted = rf"^{name}: does not fit: {5_000_000 + target.board.stack} bytes of RAM, the board has {length}$"
    with pytest.raises(DoesNotFit, match=wanted) as raised:
        build(target, *program(LARGE))
    assert raised.value.missing == 5_000_000 + target.board.stack - length


def test_what_the_compiler_says_bears_the_target(program):
    with pytest.raises(BuildFailed, match=r"(?s)^gcc-O2: .*nothing_of_the_kind"):
        build(here("gcc-O2"), *program("int main(void) { return nothing_of_the_kind; }"))


def test_without_sdot_its_instruction_is_not_known(program):
    target = here("aarch64")
    made = build(target, *program('int main(void) { __asm__ volatile("sdot v0.4s, v1.16b, v2.16b"); return 0; }'))
    assert run(target, made) == ""
    with pytest.raises(Crash, match=r"^aarch64-a72: ended with signal 4"):
        run(here("aarch64-a72"), made)
