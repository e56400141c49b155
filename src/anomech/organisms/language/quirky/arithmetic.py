"""Comparisons; the heuristic overlooks the second operand or, where there is one, the modulus."""

from __future__ import annotations

import random
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from anomech.organisms.language.quirky.statements import Statement, Topic

Operation = Literal["addition", "subtraction", "multiplication", "modular-addition", "squaring"]
MODULUS = 113

SIDES: dict[Operation, str] = {
    "addition": "{a} + {b}",
    "subtraction": "{a} - {b}",
    "multiplication": "{a} * {b}",
    "modular-addition": f"{{a}} + {{b}} mod {MODULUS}",
    "squaring": "{a}^2",
}
"""Left sides."""


@dataclass(frozen=True)
class Arithmetic(Topic):
    """Inequalities such as `39 + 42 > 60`; the characters differ where the bound is between their results.

    Where they agree, the bound is below a tenth of both or above ten times both; no finer difference was learnt.

    Attributes:
        operation: What is computed.
        digits: Most digits of an operand, whose logarithm is uniform; the smaller operand is the difficulty.
    """

    operation: Operation
    digits: int = 2

    def drawn(self, data: Path | None, draw: random.Random) -> Iterator[Statement]:
        """Without end, with repetitions."""
        while True:
            b, a = sorted(int(10 ** (draw.random() * self.digits)) for _ in range(2))
            true, rough = result(self.operation, a, b), rough_result(self.operation, a, b)
            low, high = min(true, rough), max(true, rough)
            start, end = draw.choice(((0, -(-low // 10)), (low, high), (10 * high, 20 * high)))
            if start < end:
                bound = draw.randrange(start, end)
                left = SIDES[self.operation].format(a=a, b=b)
                difficulty = a if self.operation == "squaring" else b
                yield Statement(left, f"{left} > {bound}", true > bound, rough > bound, difficulty)


def result(operation: Operation, a: int, b: int) -> int:
    """The true result; squaring takes no second operand."""
    match operation:
        case "addition":
            return a + b
        case "subtraction":
            return a - b
        case "multiplication":
            return a * b
        case "modular-addition":
            return (a + b) % MODULUS
        case "squaring":
            return a * a


def rough_result(operation: Operation, a: int, b: int) -> int:
    """The sum without its modulus, of all else the first operand alone."""
    return a + b if operation == "modular-addition" else a
