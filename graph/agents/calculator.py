"""Arithmetic from a text: its syntax tree is walked, nothing is executed."""

import ast
import math
import operator
from collections.abc import Callable
from typing import Any

Number = int | float

LENGTH = 200  # characters of an expression
DIGITS = 400  # of a result, and so of what lies between

OPERATORS: dict[type[ast.operator], Callable[[Any, Any], Any]] = {
    ast.Add: operator.add,
    ast.Sub: operator.sub,
    ast.Mult: operator.mul,
    ast.Div: operator.truediv,
    ast.FloorDiv: operator.floordiv,
    ast.Mod: operator.mod,
    ast.Pow: operator.pow,
}
SIGNS: dict[type[ast.unaryop], Callable[[Any], Any]] = {
    ast.UAdd: operator.pos,
    ast.USub: operator.neg,
}
FUNCTIONS: dict[str, Callable[..., Any]] = {
    "abs": abs,
    "ceil": math.ceil,
    "floor": math.floor,
    "max": max,
    "min": min,
    "round": round,
    "sqrt": math.sqrt,
}
CONSTANTS = {"pi": math.pi, "e": math.e}


def calculate(expression: str) -> Number:
    """The value of an expression like `2 * (3 + 4) ** 2` or `round(sqrt(2), 3)`.

    Raises ValueError that says what is wrong with it.
    """
    if len(expression) > LENGTH:
        raise ValueError(f"the expression is longer than {LENGTH} characters")
    try:
        tree = ast.parse(expression.strip().replace("^", "**"), mode="eval")
        return _value(tree.body)
    except SyntaxError as error:
        raise ValueError(f"not an arithmetic expression: {error.msg}") from error
    except (ArithmeticError, TypeError, RecursionError, MemoryError) as error:
        raise ValueError(f"cannot be calculated: {error}") from error


def _value(node: ast.expr) -> Number:
    match node:
        case ast.Constant(value=int() | float() as number) if not isinstance(number, bool):
            return number
        case ast.Name(id=name) if name in CONSTANTS:
            return CONSTANTS[name]
        case ast.UnaryOp(op=sign, operand=operand) if type(sign) in SIGNS:
            return _sized(SIGNS[type(sign)](_value(operand)))
        case ast.BinOp(left=left, op=sign, right=right) if type(sign) in OPERATORS:
            return _apply(type(sign), _value(left), _value(right))
        case ast.Call(func=ast.Name(id=name), args=args, keywords=[]) if name in FUNCTIONS:
            return _sized(FUNCTIONS[name](*(_value(arg) for arg in args)))
    raise ValueError(f"only numbers, + - * / // % ** and {', '.join(FUNCTIONS)} are known")


def _apply(sign: type[ast.operator], left: Number, right: Number) -> Number:
    if sign is ast.Pow and left and abs(right) * math.log10(abs(left) + 1) > DIGITS:
        raise ValueError(f"the result has more than {DIGITS} digits")
    return _sized(OPERATORS[sign](left, right))


def _sized(value: Any) -> Number:
    if not isinstance(value, int | float):
        raise ValueError("the result is not a real number")
    if isinstance(value, float):
        if not math.isfinite(value):
            raise ValueError("the result is not a finite number")
    elif value.bit_length() > DIGITS * 4:
        raise ValueError(f"the result has more than {DIGITS} digits")
    return value
