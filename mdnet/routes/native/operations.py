"""Elementwise operations of a traced graph as C++ expressions, by the name that torch's graphs give them."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import torch

TYPES = {
    torch.float32: "float", torch.float64: "double", torch.int32: "int32_t", torch.int64: "int64_t", torch.bool: "bool",
}  # fmt: skip

UNARY = {
    "neg": "(-{0})", "reciprocal": "(1 / {0})", "abs": "std::abs({0})", "sign": "(({0} > 0) - ({0} < 0))",
    "bitwise_not": "(~{0})", "logical_not": "(!{0})", "isfinite": "std::isfinite({0})", "floor": "std::floor({0})",
    "exp": "exp{f}({0})", "log": "log{f}({0})", "sin": "sin{f}({0})", "cos": "cos{f}({0})", "sqrt": "std::sqrt({0})",
    "expm1": "std::expm1({0})", "log1p": "std::log1p({0})", "tanh": "std::tanh({0})", "rsqrt": "(1 / std::sqrt({0}))",
    "sigmoid": "(1 / (1 + exp{f}(-{0})))",
}  # fmt: skip
BINARY = {
    "mul": "({0} * {1})", "div": "({0} / {1})", "maximum": "std::max({0}, {1})", "minimum": "std::min({0}, {1})",
    "bitwise_and": "({0} & {1})", "bitwise_or": "({0} | {1})", "bitwise_xor": "({0} ^ {1})", "and": "({0} & {1})",
    "logical_and": "({0} && {1})", "logical_or": "({0} || {1})", "copysign": "std::copysign({0}, {1})",
    "lshift": "shift_left({0}, {1})", "rshift": "({0} >> {1})", "remainder": "({0} - std::floor({0} / {1}) * {1})",
}  # fmt: skip
WHOLE = {"bitwise_not": "(!{0})", "remainder": "(({0} % {1} + {1}) % {1})"}  # of truth values, and of whole numbers
COMPARISONS = {"gt": ">", "ge": ">=", "lt": "<", "le": "<=", "eq": "==", "ne": "!="}
TERNARY = {
    "where": "({0} ? {1} : {2})",
    "addcmul": "({0} + {value} * ({1} * {2}))",
    "addcdiv": "({0} + {value} * ({1} / {2}))",
}


def literal(value: float, dtype: torch.dtype) -> str:
    """Return a number as a C++ constant of a type."""
    if dtype == torch.bool:
        return "true" if value else "false"
    if not dtype.is_floating_point:
        return f"{TYPES[dtype]}({int(value)})"
    if math.isinf(value) or math.isnan(value):
        return f"{TYPES[dtype]}({'NAN' if math.isnan(value) else 'INFINITY' if value > 0 else '-INFINITY'})"
    return f"{TYPES[dtype]}({value!r})"


def cast(text: str, before: torch.dtype, after: torch.dtype) -> str:
    """Return an expression of one type as one of another."""
    return text if before == after else f"{TYPES[after]}({text})"


Argument = Callable[[Any, torch.dtype], str]
"""An argument of a node, a node or a number, as an expression of a type."""


def expression(name: str, args: tuple[Any, ...], options: dict[str, Any], dtype: torch.dtype, given: Argument,
               common: Callable[..., torch.dtype]) -> str | None:  # fmt: skip
    """Return the C++ expression of an elementwise operation with result `dtype`; None where there is none.

    `common`: the type to which arguments are brought to be compared.
    """
    f = "f" if dtype == torch.float32 else ""
    if options.get("rounding_mode") is not None:
        return None
    if (name, dtype) == ("bitwise_not", torch.bool) or (name == "remainder" and not dtype.is_floating_point):
        return WHOLE[name].format(*(given(arg, dtype) for arg in args))
    if name in COMPARISONS:
        kind = common(*args[:2])
        return f"({given(args[0], kind)} {COMPARISONS[name]} {given(args[1], kind)})"
    if name in UNARY:
        kind = common(args[0]) if name in ("isfinite", "logical_not") else dtype
        return UNARY[name].format(given(args[0], kind), f=f)
    if name in ("add", "sub", "rsub"):
        return _sum(name, args, options, dtype, given)
    if name in BINARY:
        kind = common(*args[:2]) if name.startswith("logical") else dtype
        return BINARY[name].format(given(args[0], kind), given(args[1], kind))
    if name == "where":
        return TERNARY[name].format(given(args[0], torch.bool), given(args[1], dtype), given(args[2], dtype))
    if name in TERNARY:
        value = literal(options.get("value", 1), dtype)
        return TERNARY[name].format(*(given(arg, dtype) for arg in args[:3]), value=value)
    if name == "pow":
        return _power(args, dtype, given)
    if name.startswith("clamp"):
        return _clamp(name, args, options, dtype, given)
    return None


def _sum(name: str, args: tuple[Any, ...], options: dict[str, Any], dtype: torch.dtype, given: Argument) -> str:
    first, second = given(args[0], dtype), given(args[1], dtype)
    if name == "rsub":
        first, second = second, first
    alpha = options.get("alpha", args[2] if len(args) > 2 else 1)
    if alpha != 1:
        second = f"{literal(alpha, dtype)} * {second}"
    if name == "add" and not dtype.is_floating_point:
        return f"wrap_add({first}, {second})"
    return f"({first} {'+' if name == 'add' else '-'} {second})"


def _power(args: tuple[Any, ...], dtype: torch.dtype, given: Argument) -> str | None:
    base = given(args[0], dtype)
    if args[1] == 2:
        return f"({base} * {base})"
    return f"std::pow({base}, {given(args[1], dtype)})"


def _clamp(name: str, args: tuple[Any, ...], options: dict[str, Any], dtype: torch.dtype, given: Argument) -> str:
    low = args[1] if len(args) > 1 else options.get("min")
    high = args[2] if len(args) > 2 else options.get("max")
    if name == "clamp_max":
        low, high = None, low if low is not None else high
    text = given(args[0], dtype)
    if low is not None:
        text = f"std::max({text}, {given(low, dtype)})"
    return text if high is None else f"std::min({text}, {given(high, dtype)})"
