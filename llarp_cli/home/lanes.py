"""Vectors of sixteen numbers for numba kernels: arithmetic written once, done for sixteen neighbouring pixels.

Compilers turn loops over pixels into vector instructions only where they can prove much; here the kernels say so.
Inside `njit` functions, `load` gives sixteen entries of an array as one value; the operators + - * / & | << and the
comparisons, `least`, `greatest`, `root`, `magnitude`, `whole`, `chosen` and `any_of` work on all sixteen at once, and a
plain number beside a vector counts as sixteen equal ones. There are vectors of float32, of int32 and of truth values.
"""

from __future__ import annotations

import operator
from typing import Any

from llvmlite import ir
from numba import types
from numba.core import cgutils
from numba.extending import intrinsic, lower_builtin, models, register_model, type_callable

LANES = 16


class _Vector(types.Type):
    """The numba type of sixteen numbers of one kind."""

    def __init__(self, kind: str, lane: Any, scalar: types.Type):
        super().__init__(name=f"Lanes({kind})")
        self.llvm, self.scalar = ir.VectorType(lane, LANES), scalar


class _Floats(_Vector):
    pass


class _Integers(_Vector):
    pass


class _Truths(_Vector):
    pass


FLOATS = _Floats("float32", ir.FloatType(), types.float32)
INTEGERS = _Integers("int32", ir.IntType(32), types.int32)
TRUTHS = _Truths("bool", ir.IntType(1), types.boolean)


def _model(vector: _Vector) -> None:
    @register_model(type(vector))
    class Model(models.PrimitiveModel):
        def __init__(self, manager, kind):
            super().__init__(manager, kind, kind.llvm)


for _vector in (FLOATS, INTEGERS, TRUTHS):
    _model(_vector)


def _common(a: types.Type, b: types.Type) -> _Vector | None:
    """The vector type two operands are brought to; None where neither is a vector."""
    if isinstance(a, _Vector):
        return a
    return b if isinstance(b, _Vector) else None


def _spread(context, builder, value, kind, vector):
    """A value as a vector: itself, or a plain number sixteen times."""
    if isinstance(kind, _Vector):
        return value
    value = context.cast(builder, value, kind, vector.scalar)
    single = builder.insert_element(ir.Constant(vector.llvm, ir.Undefined), value, ir.Constant(ir.IntType(32), 0))
    zeros = ir.Constant(ir.VectorType(ir.IntType(32), LANES), [0] * LANES)
    return builder.shuffle_vector(single, ir.Constant(vector.llvm, ir.Undefined), zeros)


def _operator(function, kinds: tuple[_Vector, ...], emit, result: _Vector | None = None) -> None:
    """Give a Python operator a meaning for vectors of some kinds: emit(builder, kind, a, b)."""

    @type_callable(function)
    def typed(context):
        def typer(a, b):
            common = _common(a, b)
            return (result or common) if common in kinds else None

        return typer

    def lower(context, builder, signature, args):
        common = _common(*signature.args)
        a, b = (_spread(context, builder, *pair, common) for pair in zip(args, signature.args, strict=True))
        return emit(builder, common, a, b)

    for left, right in ((_Vector, _Vector), (_Vector, types.Number), (types.Number, _Vector)):
        lower_builtin(function, left, right)(lower)


def _arithmetic(of_floats, of_integers):
    return lambda builder, kind, a, b: getattr(builder, of_floats if kind == FLOATS else of_integers)(a, b)


def _comparison(sign):
    def emit(builder, kind, a, b):
        return builder.fcmp_ordered(sign, a, b) if kind == FLOATS else builder.icmp_signed(sign, a, b)

    return emit


for _function, _names in (
    (operator.add, ("fadd", "add")),
    (operator.sub, ("fsub", "sub")),
    (operator.mul, ("fmul", "mul")),
):
    _operator(_function, (FLOATS, INTEGERS), _arithmetic(*_names))
_operator(operator.truediv, (FLOATS,), _arithmetic("fdiv", "sdiv"))
_operator(operator.lshift, (INTEGERS,), _arithmetic("", "shl"))
_operator(operator.and_, (INTEGERS, TRUTHS), _arithmetic("", "and_"))
_operator(operator.or_, (INTEGERS, TRUTHS), _arithmetic("", "or_"))
for _function, _sign in ((operator.lt, "<"), (operator.le, "<="), (operator.gt, ">"), (operator.ge, ">=")):
    _operator(_function, (FLOATS, INTEGERS), _comparison(_sign), TRUTHS)


def _pick(context, builder, signature, args, sign):
    common = _common(*signature.args)
    a, b = (_spread(context, builder, *pair, common) for pair in zip(args, signature.args, strict=True))
    return builder.select(_comparison(sign)(builder, common, a, b), a, b)


@intrinsic
def least(typing, a, b):
    """The lesser, lane by lane."""
    return _common(a, b)(a, b), lambda *emitted: _pick(*emitted, "<")


@intrinsic
def greatest(typing, a, b):
    """The greater, lane by lane."""
    return _common(a, b)(a, b), lambda *emitted: _pick(*emitted, ">")


@intrinsic
def chosen(typing, truths, a, b):
    """`a` where true, else `b`."""
    common = _common(a, b) or (FLOATS if isinstance(a, types.Float) else INTEGERS)

    def emit(context, builder, signature, args):
        first, second = (
            _spread(context, builder, *pair, common) for pair in zip(args[1:], signature.args[1:], strict=True)
        )
        return builder.select(args[0], first, second)

    return common(truths, a, b), emit


def _call(name, builder, value):
    """The compiler's own function of that name."""
    kind = ir.FunctionType(FLOATS.llvm, [FLOATS.llvm])
    return builder.call(cgutils.get_or_insert_function(builder.module, kind, f"llvm.{name}.v{LANES}f32"), [value])


@intrinsic
def root(typing, a):
    """The square root."""
    return FLOATS(a), lambda context, builder, signature, args: _call("sqrt", builder, args[0])


@intrinsic
def magnitude(typing, a):
    """Without the sign."""
    return FLOATS(a), lambda context, builder, signature, args: _call("fabs", builder, args[0])


@intrinsic
def whole(typing, a):
    """Floats cut off to integers."""
    return INTEGERS(a), lambda context, builder, signature, args: builder.fptosi(args[0], INTEGERS.llvm)


@intrinsic
def any_of(typing, truths):
    """Whether one is true."""

    def emit(context, builder, signature, args):
        bits = builder.bitcast(args[0], ir.IntType(LANES))
        return builder.icmp_unsigned("!=", bits, ir.Constant(ir.IntType(LANES), 0))

    return types.boolean(truths), emit


def _address(context, builder, array, kind, at, vector):
    data = context.make_array(kind)(context, builder, array).data
    return builder.bitcast(builder.gep(data, [at], inbounds=True), vector.llvm.as_pointer())


def _vector_of(array: types.Array) -> _Vector:
    return FLOATS if array.dtype == types.float32 else INTEGERS


@intrinsic
def load(typing, array, at):
    """Eight entries of a flat float32 or uint32 array, from `at` on; nobody checks that they are there."""
    vector = _vector_of(array)

    def emit(context, builder, signature, args):
        index = context.cast(builder, args[1], signature.args[1], types.intp)
        return builder.load(_address(context, builder, args[0], signature.args[0], index, vector), align=4)

    return vector(array, at), emit


@intrinsic
def store(typing, array, at, values):
    """Write sixteen entries of a flat float32 or uint32 array, from `at` on; nobody checks that there is room."""
    vector = _vector_of(array)

    def emit(context, builder, signature, args):
        index = context.cast(builder, args[1], signature.args[1], types.intp)
        spread = _spread(context, builder, args[2], signature.args[2], vector)
        builder.store(spread, _address(context, builder, args[0], signature.args[0], index, vector), align=4)
        return context.get_dummy_value()

    return types.void(array, at, values), emit


def _bytes_of(context, builder, words, places):
    """Some of the 64 bytes of sixteen words, as a vector."""
    bytes_ = builder.bitcast(words, ir.VectorType(ir.IntType(8), 4 * LANES))
    mask = ir.Constant(ir.VectorType(ir.IntType(32), len(places)), places)
    return builder.shuffle_vector(bytes_, ir.Constant(bytes_.type, ir.Undefined), mask)


@intrinsic
def store_bytes(typing, array, at, words, first, count):
    """Of each of sixteen words write `count` bytes from the `first` on, side by side, into a flat uint8 array.

    Both are literal. Nobody checks that there is room.
    """
    if not isinstance(first, types.IntegerLiteral) or not isinstance(count, types.IntegerLiteral):
        return None
    start, each = first.literal_value, count.literal_value
    places = [4 * lane + start + i for lane in range(LANES) for i in range(each)]

    def emit(context, builder, signature, args):
        index = context.cast(builder, args[1], signature.args[1], types.intp)
        values = _bytes_of(context, builder, args[2], places)
        data = context.make_array(signature.args[0])(context, builder, args[0]).data
        address = builder.bitcast(builder.gep(data, [index], inbounds=True), values.type.as_pointer())
        builder.store(values, address, align=1)
        return context.get_dummy_value()

    return types.void(array, at, words, first, count), emit


@intrinsic
def borrowed(typing, array):
    """The same array, whose parts are taken without counting references; the caller keeps it alive."""

    def emit(context, builder, signature, args):
        same = context.make_array(array)(context, builder, args[0])
        same.meminfo = ir.Constant(same.meminfo.type, None)
        same.parent = ir.Constant(same.parent.type, None)
        return same._getvalue()

    return array(array), emit


@intrinsic
def next_of(typing, counter):
    """The first entry of an int64 array, which then grows by one: no two threads get the same."""

    def emit(context, builder, signature, args):
        data = context.make_array(counter)(context, builder, args[0]).data
        return builder.atomic_rmw("add", data, ir.Constant(ir.IntType(64), 1), "monotonic")

    return types.int64(counter), emit
