"""The types of values that a state can hold: what each accepts, and the name that encodings know it by."""

from __future__ import annotations

from collections.abc import Callable
from reprlib import repr as short
from typing import Annotated, Any

import attrs

#: The largest integer that JavaScript's numbers hold exactly.
SAFE_INTEGER = 2**53 - 1
#: The largest finite number of 32 bits.
MAX_FLOAT32 = 3.4028234663852886e38
#: The largest finite number of 64 bits.
MAX_FLOAT64 = 1.7976931348623157e308


def _isBoolean(value: Any) -> bool:
    """Whether a value is a bool, or one of NumPy, whose class is called so or has an underscore."""
    cls = type(value)
    return cls is bool or (cls.__module__ == "numpy" and cls.__name__ in ("bool", "bool_"))


def _integer(value: Any, where: str) -> int:
    """An integer of any class but bool, as an int."""
    if _isBoolean(value) or not hasattr(value, "__index__"):
        raise TypeError(f"{where}: must be an integer, not {short(value)}")
    return int(value.__index__())


def _number(value: Any, where: str) -> float:
    """A number of any class but bool, as a float; -0.0 is 0.0, which it equals, but not for a hash."""
    if _isBoolean(value) or not hasattr(value, "__float__"):
        raise TypeError(f"{where}: must be a number, not {short(value)}")
    try:
        return float(value) + 0.0
    except OverflowError:  # an int with hundreds of digits
        raise ValueError(f"{where}: must be at most {MAX_FLOAT64}, not {short(value)}") from None


def _text(value: Any, where: str) -> str:
    """A text of any class, as a str: of a member of an enumeration its value, which `str` may not be."""
    if not isinstance(value, str):
        raise TypeError(f"{where}: must be a str, not {short(value)}")
    if not value.isascii():
        try:
            value.encode()
        except UnicodeEncodeError:
            raise ValueError(f"{where}: has a lone surrogate, which UTF-8 can't carry") from None
    return str.__str__(value)


def _boolean(value: Any, where: str) -> bool:
    if _isBoolean(value):
        return bool(value)
    raise TypeError(f"{where}: must be a bool, not {short(value)}")


def _ranged(convert: Callable[[Any, str], Any], low: Any, high: Any) -> Callable[[Any, str], Any]:
    """A check that converts and refuses what is out of range; NaN and infinities are."""

    def check(value: Any, where: str) -> Any:
        converted = convert(value, where)
        if low <= converted <= high:
            return converted
        raise ValueError(f"{where}: must be from {low} to {high}, not {converted!r}")

    return check


@attrs.frozen(eq=False)
class Scalar:
    """
    A type of plain values.

    `name` is what encodings call it. `check(value, where)` returns the value as an instance of exactly
    `kind`, or raises `TypeError` or `ValueError`. `format` is the code of `struct` if the value has a fixed
    size.
    """

    name: str
    kind: type
    check: Callable[[Any, str], Any]
    zero: Any
    format: str = ""
    low: Any = None
    high: Any = None


def _int(name: str, low: int, high: int, format: str = "") -> Scalar:
    return Scalar(name, int, _ranged(_integer, low, high), 0, format, low, high)


def _float(name: str, high: float, format: str) -> Scalar:
    return Scalar(name, float, _ranged(_number, -high, high), 0.0, format, -high, high)


BOOL = Scalar("bool", bool, _boolean, False, "?")
STR = Scalar("str", str, _text, "")
INT = _int("int", -SAFE_INTEGER, SAFE_INTEGER)
FLOAT = _float("float", MAX_FLOAT64, "d")

#: The types by the annotations of Python.
PLAIN: dict[Any, Scalar] = {bool: BOOL, str: STR, int: INT, float: FLOAT}

#: An integer of 8 bits, from -128 to 127.
Int8 = Annotated[int, _int("int8", -(2**7), 2**7 - 1, "b")]
#: An integer of 16 bits, from -32768 to 32767.
Int16 = Annotated[int, _int("int16", -(2**15), 2**15 - 1, "h")]
#: An integer of 32 bits.
Int32 = Annotated[int, _int("int32", -(2**31), 2**31 - 1, "i")]
#: An integer of 64 bits. In JavaScript it is a ``BigInt``.
Int64 = Annotated[int, _int("int64", -(2**63), 2**63 - 1, "q")]
#: An integer from 0 to 255.
Uint8 = Annotated[int, _int("uint8", 0, 2**8 - 1, "B")]
#: An integer from 0 to 65535.
Uint16 = Annotated[int, _int("uint16", 0, 2**16 - 1, "H")]
#: An integer from 0 to 4294967295.
Uint32 = Annotated[int, _int("uint32", 0, 2**32 - 1, "I")]
#: An integer from 0 to 2**64 - 1. In JavaScript it is a ``BigInt``.
Uint64 = Annotated[int, _int("uint64", 0, 2**64 - 1, "Q")]
#: A number that clients get with 32 bits, which is about seven digits. The server keeps what was assigned.
Float32 = Annotated[float, _float("float32", MAX_FLOAT32, "f")]
#: A number of 64 bits, as `float`; for Colyseus clients it has eight bytes always.
Float64 = Annotated[float, _float("float64", MAX_FLOAT64, "d")]


@attrs.frozen
class Quantized:
    """
    A number that clients get in few bits: ``x: Annotated[float, Quantized(0, 1000)]``.

    Clients get the nearest of 2\\ :sup:`bits` values that are spread evenly from `min` to `max`, in `bits`
    bits: 8, 16 (the default) or 32. The server keeps what was assigned; nothing is sent while the nearest
    value stays the same. What is outside of the range is sent as `min` or `max`. Like Colyseus's
    ``t.quantized``.
    """

    min: float
    max: float
    bits: int = 16

    name = "quantized"
    kind = float

    def __attrs_post_init__(self) -> None:
        if self.bits not in (8, 16, 32):
            raise ValueError(f"Quantized: bits must be 8, 16 or 32, not {self.bits!r}")
        for each in (self.min, self.max):
            FLOAT.check(each, "Quantized")
        if not self.min < self.max:
            raise ValueError("Quantized: min must be less than max")

    @property
    def zero(self) -> float:
        """What a field without a default has: zero, or the end of the range that is next to it."""
        return float(min(max(0, self.min), self.max))

    @property
    def span(self) -> int:
        """The largest of the integers that stand for values."""
        return (1 << self.bits) - 1

    @property
    def scale(self) -> float:
        """How many integers there are for a range of 1."""
        return self.span / (self.max - self.min)

    @property
    def format(self) -> str:
        """The code of `struct` for the integer."""
        return {8: "B", 16: "H", 32: "I"}[self.bits]

    def check(self, value: Any, where: str) -> float:
        """Return the value as a float; raise `TypeError` or `ValueError`."""
        checked: float = FLOAT.check(value, where)
        return checked

    def pack(self, value: float) -> int:
        """The integer that stands for a value."""
        if value <= self.min:
            return 0
        if value >= self.max:
            return self.span
        return int((value - self.min) * self.scale + 0.5)

    def unpack(self, packed: int) -> float:
        """The value that an integer stands for."""
        return self.min + packed / self.span * (self.max - self.min)


#: A type of plain values.
ValueType = Scalar | Quantized
