"""SIMD values inside Numba kernels: a vector type of compile-time width, its arithmetic, and exp2.

Numba leaves vectorising to LLVM's loop passes, which give up where arrays may alias. Here a kernel works on
LLVM vectors outright, so a state of n floats lives in registers whatever n is. A width is passed as a tuple
of that length, since a tuple's length is part of its type.
"""

from __future__ import annotations

import math
import operator
from collections.abc import Callable
from typing import Any

import numpy as np
from llvmlite import ir  # type: ignore[import-untyped]
from numba.core import extending, types
from numba.core.datamodel import models

intrinsic: Any = extending.intrinsic
overload: Any = extending.overload
register_model: Any = extending.register_model


class Vector(types.Type):
    """Type of `width` numbers of `dtype` held as one LLVM vector."""

    def __init__(self, dtype: types.Float, width: int) -> None:
        self.dtype = dtype
        self.width = width
        super().__init__(name=f"Vector({dtype}, {width})")


@register_model(Vector)
class _VectorModel(models.PrimitiveModel):
    def __init__(self, dmm: Any, fe_type: Vector) -> None:
        element = dmm.lookup(fe_type.dtype).get_value_type()
        super().__init__(dmm, fe_type, ir.VectorType(element, fe_type.width))  # type: ignore[no-untyped-call]


def width_of(n: int) -> tuple[int, ...]:
    """The value that stands for a width of `n` in a kernel's arguments."""
    return (0,) * n


def _vector_among(*operands: types.Type) -> Vector:
    return next(t for t in operands if isinstance(t, Vector))


def _spread(context: Any, builder: Any, value: Any, given: types.Type, vector: Vector) -> Any:
    """`value` as an LLVM vector: itself, or a number repeated in every lane."""
    if isinstance(given, Vector):
        return value
    value = context.cast(builder, value, given, vector.dtype)
    kind = context.get_value_type(vector)
    first = builder.insert_element(ir.Constant(kind, ir.Undefined), value, ir.Constant(ir.IntType(32), 0))
    lanes = ir.Constant(ir.VectorType(ir.IntType(32), vector.width), None)
    return builder.shuffle_vector(first, first, lanes)


def _element_pointer(context: Any, builder: Any, array: Any, kind: types.Array, offset: Any, to: Vector) -> Any:
    data = context.make_array(kind)(context, builder, array).data
    return builder.bitcast(builder.gep(data, [offset]), context.get_value_type(to).as_pointer())


@intrinsic
def item(typingctx: Any, array: Any, offset: Any) -> Any:
    """array[offset] of a contiguous 1D array, where Numba would first look whether the offset is negative."""

    def codegen(context: Any, builder: Any, signature: Any, args: Any) -> Any:
        data = context.make_array(signature.args[0])(context, builder, args[0]).data
        return builder.load(builder.gep(data, [args[1]]))

    return array.dtype(array, types.intp), codegen


@intrinsic
def put(typingctx: Any, array: Any, offset: Any, value: Any) -> Any:
    """array[offset] = value, see `item`."""

    def codegen(context: Any, builder: Any, signature: Any, args: Any) -> Any:
        data = context.make_array(signature.args[0])(context, builder, args[0]).data
        builder.store(args[2], builder.gep(data, [args[1]]))
        return context.get_dummy_value()

    return types.void(array, types.intp, array.dtype), codegen


@intrinsic
def load(typingctx: Any, array: Any, offset: Any, width: Any) -> Any:
    """The vector at array[offset : offset + len(width)] of a contiguous 1D array."""
    vector = Vector(array.dtype, len(width))

    def codegen(context: Any, builder: Any, signature: Any, args: Any) -> Any:
        pointer = _element_pointer(context, builder, args[0], signature.args[0], args[1], vector)
        return builder.load(pointer, align=array.dtype.bitwidth // 8)

    return vector(array, types.intp, width), codegen


@intrinsic
def store(typingctx: Any, array: Any, offset: Any, vector: Any) -> Any:
    """Write `vector` to array[offset : ...] of a contiguous 1D array."""

    def codegen(context: Any, builder: Any, signature: Any, args: Any) -> Any:
        pointer = _element_pointer(context, builder, args[0], signature.args[0], args[1], vector)
        builder.store(args[2], pointer, align=array.dtype.bitwidth // 8)
        return context.get_dummy_value()

    return types.void(array, types.intp, vector), codegen


@intrinsic
def spread(typingctx: Any, value: Any, array: Any, width: Any) -> Any:
    """`value` in every lane, in the dtype of `array`."""
    vector = Vector(array.dtype, len(width))

    def codegen(context: Any, builder: Any, signature: Any, args: Any) -> Any:
        return _spread(context, builder, args[0], signature.args[0], vector)

    return vector(value, array, width), codegen


@intrinsic
def fma(typingctx: Any, a: Any, b: Any, c: Any) -> Any:
    """a * b + c, fused where the machine can; numbers are repeated in every lane."""
    vector = _vector_among(a, b, c)

    def codegen(context: Any, builder: Any, signature: Any, args: Any) -> Any:
        values = [_spread(context, builder, v, t, vector) for v, t in zip(args, signature.args, strict=True)]
        return _fma(context, builder, vector, *values)

    return vector(a, b, c), codegen


def _fma(context: Any, builder: Any, vector: Vector, a: Any, b: Any, c: Any) -> Any:
    kind = context.get_value_type(vector)
    return builder.call(_llvm(builder, "llvm.fmuladd", vector, kind, [kind] * 3), [a, b, c])


def _llvm(builder: Any, name: str, vector: Vector, result: Any, arguments: list[Any]) -> Any:
    """LLVM's intrinsic `name` for this kind of vector."""
    name = f"{name}.v{vector.width}f{vector.dtype.bitwidth}"
    known = builder.module.globals.get(name)
    return known or ir.Function(builder.module, ir.FunctionType(result, arguments), name)


@intrinsic
def total(typingctx: Any, vector: Any) -> Any:
    """The sum of a vector's lanes, added as a tree."""

    def codegen(context: Any, builder: Any, signature: Any, args: Any) -> Any:
        kind = context.get_value_type(vector)
        reduce = _llvm(builder, "llvm.vector.reduce.fadd", vector, kind.element, [kind.element, kind])
        return builder.call(reduce, [ir.Constant(kind.element, -0.0), args[0]], fastmath=("reassoc",))

    return vector.dtype(vector), codegen


def _binary(instruction: str) -> Any:
    @intrinsic
    def apply(typingctx: Any, a: Any, b: Any) -> Any:
        vector = _vector_among(a, b)

        def codegen(context: Any, builder: Any, signature: Any, args: Any) -> Any:
            left, right = (_spread(context, builder, v, t, vector) for v, t in zip(args, signature.args, strict=True))
            return getattr(builder, instruction)(left, right)

        return vector(a, b), codegen

    return apply


def _overload_operator(symbol: Any, apply: Any) -> None:
    @overload(symbol)
    def implementation(a, b):  # type: ignore[no-untyped-def]  # must match the lambda, annotations too
        if any(isinstance(t, Vector) for t in (a, b)) and all(isinstance(t, Vector | types.Float) for t in (a, b)):
            return lambda a, b: apply(a, b)
        return None


for _symbol, _instruction in (
    (operator.add, "fadd"),
    (operator.sub, "fsub"),
    (operator.mul, "fmul"),
    (operator.truediv, "fdiv"),
):
    _overload_operator(_symbol, _binary(_instruction))


def _clamp(context: Any, builder: Any, vector: Vector, x: Any, bound: float, keep: str) -> Any:
    """x where `x keep bound` or x is NaN, `bound` elsewhere."""
    limit = _constants(context, builder, vector)(bound)
    return builder.select(builder.fcmp_unordered(keep, x, limit), x, limit)


@intrinsic
def at_least(typingctx: Any, vector: Any, bound: Any) -> Any:
    """max(vector, bound) for a number; NaN stays NaN."""

    def codegen(context: Any, builder: Any, signature: Any, args: Any) -> Any:
        limit = _spread(context, builder, args[1], signature.args[1], vector)
        return builder.select(builder.fcmp_unordered(">", args[0], limit), args[0], limit)

    return vector(vector, bound), codegen


@intrinsic
def magnitude(typingctx: Any, vector: Any) -> Any:
    """The absolute value by lane."""

    def codegen(context: Any, builder: Any, signature: Any, args: Any) -> Any:
        kind = context.get_value_type(vector)
        return builder.call(_llvm(builder, "llvm.fabs", vector, kind, [kind]), args)

    return vector(vector), codegen


def _constants(context: Any, builder: Any, vector: Vector) -> Callable[[float], Any]:
    def constant(value: float) -> Any:
        return _spread(context, builder, context.get_constant(vector.dtype, value), vector.dtype, vector)

    return constant


def _polynomial(context: Any, builder: Any, vector: Vector, coefficients: list[float], x: Any) -> Any:
    """Horner's rule, lowest power first in `coefficients`."""
    *rest, value = map(_constants(context, builder, vector), coefficients)
    for coefficient in reversed(rest):
        value = _fma(context, builder, vector, value, x, coefficient)
    return value


def exp2_coefficients(bits: int) -> list[float]:
    """Polynomial of 2**f on [-1/2, 1/2], lowest power first: relative error 2e-9 (32 bits) or 4e-18 (64)."""
    if bits == 64:
        return [math.log(2) ** k / math.factorial(k) for k in range(14)]
    fit = np.polynomial.Chebyshev.interpolate(np.exp2, 6, domain=[-0.5, 0.5])
    return [float(c) for c in fit.convert(kind=np.polynomial.Polynomial).coef]


@intrinsic
def exp2(typingctx: Any, vector: Any) -> Any:
    """2**x by lane: 0 below the smallest normal number, inf above the largest, NaN for NaN."""
    bits = vector.dtype.bitwidth
    mantissa, bias = (23, 127) if bits == 32 else (52, 1023)

    def codegen(context: Any, builder: Any, signature: Any, args: Any) -> Any:
        constant = _constants(context, builder, vector)
        kind = context.get_value_type(vector)
        words = ir.VectorType(ir.IntType(bits), vector.width)
        x = _clamp(context, builder, vector, args[0], -float(bias), ">")
        x = _clamp(context, builder, vector, x, float(bias + 1), "<")
        # Adding 1.5 * 2**mantissa leaves the nearest integer in the low bits: defined for NaN, unlike a cast.
        magic = constant(1.5 * 2.0**mantissa)
        shifted = builder.fadd(x, magic)
        fraction = builder.fsub(x, builder.fsub(shifted, magic))
        value = _polynomial(context, builder, vector, exp2_coefficients(bits), fraction)
        exponent = builder.add(builder.bitcast(shifted, words), ir.Constant(words, [bias] * vector.width))
        scale = builder.shl(exponent, ir.Constant(words, [mantissa] * vector.width))
        return builder.fmul(value, builder.bitcast(scale, kind))

    return vector(vector), codegen


@intrinsic
def log1p_of_unit(typingctx: Any, vector: Any) -> Any:
    """log(1 + x) by lane for x in [0, 1], as 2 * atanh(x / (2 + x)) so that small x keep their digits."""
    terms = 9 if vector.dtype.bitwidth == 32 else 18

    def codegen(context: Any, builder: Any, signature: Any, args: Any) -> Any:
        constant = _constants(context, builder, vector)
        ratio = builder.fdiv(args[0], builder.fadd(args[0], constant(2.0)))
        square = builder.fmul(ratio, ratio)
        series = _polynomial(context, builder, vector, [2 / (2 * k + 1) for k in range(terms)], square)
        return builder.fmul(ratio, series)

    return vector(vector), codegen


@intrinsic
def below_zero(typingctx: Any, vector: Any, negative: Any, rest: Any) -> Any:
    """`negative` in the lanes where `vector` is below 0, `rest` elsewhere."""

    def codegen(context: Any, builder: Any, signature: Any, args: Any) -> Any:
        zero = _constants(context, builder, vector)(0.0)
        return builder.select(builder.fcmp_ordered("<", args[0], zero), args[1], args[2])

    return vector(vector, negative, rest), codegen


_TAIL_PACE = 0.3
"""The tail is a polynomial in t = 1 / (1 + 0.3 a): of the values and degrees that were tried, the smallest error."""


def tail_coefficients() -> list[float]:
    """Polynomial in t of Phi(-a) exp(a^2 / 2), lowest power first: relative error 1.1e-7 for a in [0, 14]."""
    least = 1 / (1 + _TAIL_PACE * 14)

    def exact(t: Any) -> Any:
        from scipy.special import erfcx

        return erfcx((1 / t - 1) / _TAIL_PACE / math.sqrt(2)) / 2

    fit = np.polynomial.Chebyshev.interpolate(exact, 8, domain=[least, 1])
    return [float(c) for c in fit.convert(kind=np.polynomial.Polynomial).coef]


@intrinsic
def tail_of_normal(typingctx: Any, vector: Any) -> Any:
    """Phi(-a) exp(a^2 / 2) by lane for a >= 0, with the normal distribution Phi; a float32's digits only."""

    def codegen(context: Any, builder: Any, signature: Any, args: Any) -> Any:
        constant = _constants(context, builder, vector)
        t = builder.fdiv(constant(1.0), _fma(context, builder, vector, args[0], constant(_TAIL_PACE), constant(1.0)))
        return _polynomial(context, builder, vector, tail_coefficients(), t)

    return vector(vector), codegen
