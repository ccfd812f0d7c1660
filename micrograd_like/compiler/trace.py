"""Stage 1, trace: call the user's function once on symbols and write down every scalar operation it asks for.

While the function runs, inputs are symbols and the parameters behave as symbols: they have no number that the function
could look at, so that whatever would depend on a number (`if x > 0`, `float(x)`, `x.data`) is an error that names the
line. What comes out is a flat program: event n computes node n from parameters, inputs, constants and earlier nodes.
"""

from __future__ import annotations

import linecache
import threading
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from math import prod
from typing import Any

from micrograd_like import ieee, ops
from micrograd_like.caller import users_line
from micrograd_like.checks import a_function, each_once
from micrograd_like.compiler.spaces import CONST, INPUT, NODE, PARAM, pack, space_of, unpack
from micrograd_like.engine import Value
from micrograd_like.graph import leaves
from micrograd_like.ops import Operation


class _Own(Operation):
    """A row of the compiler's own, which the user's table does not need. It pickles as the global of its name."""

    __slots__ = ()

    def __reduce__(self) -> str:  # type: ignore[override]
        return self.name.upper()


KEPT = _Own("kept", "", lambda g, x: x if g != 0 else 0.0, (lambda *_: None,) * 2, doc="x where g is not 0")
COPY = _Own("copy", "=", lambda x: x, (lambda g, out, x: g,), doc="x")

NOTHING = -1  # the operand in the place of a result that a rule does not give
LENGTH = ""  # the input that says how long a sample's sequences are, counted from the shortest: users do not give it

_lock = threading.Lock()  # held while a function is traced
_active: Recorder | None = None
_changed: dict[int, tuple[Value, object]] = {}  # parameters that are symbols, and what their marks were


class TraceError(TypeError):
    """Report that a function asked for something that a traced program cannot record.

    >>> import micrograd_like as mg
    >>> try:
    ...     mg.compile(lambda x: x if x > 0 else 0.0, [], x=())
    ... except TraceError as error:
    ...     print("a traced value cannot be compared" in str(error))
    True
    """


class _NumberError(TraceError, AttributeError):
    """A traced value has no number; also an AttributeError, as the engine asks a weight whether it has one."""


@dataclass
class Trace:
    """The flat program of one sample, in static single assignment: event n computes node n."""

    operations: list[Operation]
    operands: list[tuple[int, ...]]
    inner: bytearray  # 1 for the events of a composed row's expansion: the row's own rule differentiates the whole
    values: dict[int, int]  # per event of a composed row, the operand that is its value: what its expansion returned
    constants: list[float]  # one per use, in the order of use
    parameters: int
    inputs: dict[str, tuple[int, ...]]  # the shape of each
    outputs: list[int]
    structure: Any  # the outputs as the function returned them, each replaced by its number
    has_loss: bool  # whether the first output is a loss: the only one, or the first of a tuple
    gathers: list[tuple[int, int]]  # (input, number of values): inputs that must be whole numbers in that range
    lengths: list[Trace] = field(
        default_factory=list
    )  # of a program for several: each one's, this one the last of them

    def __str__(self) -> str:
        """The operations; of a program for several lengths, those of the longest."""
        lines = [
            f"node[{n}] = {op.name}({', '.join(map(self.name, refs))})"
            + (f" = {self.name(self.values[n])}" if n in self.values else "")
            for n, (op, refs) in enumerate(zip(self.operations, self.operands, strict=True))
        ]
        return "\n".join([*lines, f"return {', '.join(map(self.name, self.outputs))}"])

    def name(self, ref: int) -> str:
        """An operand as text."""
        space, index = unpack(ref)
        return repr(self.constants[index]) if space == CONST else f"{space.name.lower()}[{index}]"

    def interpret(self, parameters: Sequence[Any], inputs: Sequence[Any] = ()) -> list[Any]:
        """The outputs for one sample, its inputs flat: this stage in plain Python, for numbers of any carrier."""
        if self.lengths and self is not (own := self.lengths[int(inputs[-1])]):
            return own.interpret(parameters, inputs)
        nodes: list[Any] = []
        spaces = {NODE: nodes, PARAM: parameters, INPUT: inputs, CONST: self.constants}

        def load(ref: int) -> Any:
            space, index = unpack(ref)
            return spaces[space][index]

        for n, (op, refs) in enumerate(zip(self.operations, self.operands, strict=True)):
            nodes.append(load(self.values[n]) if n in self.values else op.function(*map(load, refs)))
        return [load(ref) for ref in self.outputs]


def is_composed(op: Operation) -> bool:
    """Whether a row is computed by its expansion and differentiated by its own rule."""
    return op.expansion is not None and op not in (ops.dot, ops.sum, ops.relu_dot, ops.gather)


class Recorder:
    """The trace while it is being written."""

    def __init__(self, parameters: Sequence[Value], inputs: Mapping[str, tuple[int, ...]]) -> None:
        self.trace = Trace([], [], bytearray(), {}, [], len(parameters), dict(inputs), [], None, False, [])
        self.created: dict[int, Value] = {}  # Values made while tracing: constants
        self.expansions = 0  # that are being recorded, one inside of another
        self.is_rule = False  # in a rule there is nothing to differentiate: composed rows are their expansions
        self.thread = threading.get_ident()

    def ref(self, x: Any) -> int:
        """The operand that stands for a traced value, or a new constant."""
        kind = type(x)
        if kind is Traced:
            return x._mark  # type: ignore[no-any-return]
        if kind is not float:
            x = self._constant(x)
        constants = self.trace.constants
        constants.append(x)
        return pack(CONST, len(constants) - 1)

    def _constant(self, x: Any) -> float:
        if isinstance(x, Value):
            for leaf in leaves(x):
                if id(leaf) not in self.created:
                    raise _error(
                        f"{leaf!r} is neither a parameter of this program nor made by the function",
                        "list it among the parameters, or use a plain number where a constant is meant",
                    )
            x = x.data
        try:
            return ieee.as_float(ieee.number(x))
        except TypeError as error:
            raise _error(str(error), "a traced operation takes traced values and real numbers") from None

    def node(self, op: Operation, refs: tuple[int, ...]) -> Traced:
        """A new event."""
        trace = self.trace
        node = _new(Traced)
        node.label = ""
        node.op = None
        node.left = node.right = None
        node._mark = len(trace.operations)
        trace.operations.append(op)
        trace.operands.append(refs)
        trace.inner.append(self.expansions > 0)
        return node

    def record(self, op: Operation, operands: Sequence[Any]) -> Traced:
        """The events of a row: one, or for a composed row those of its expansion and one that stands for it."""
        if op is ops.relu_dot:
            return self.node(ops.relu, (self.node(ops.dot, tuple(map(self.ref, operands)))._mark,))  # type: ignore[arg-type]
        if not is_composed(op):
            refs = tuple(map(self.ref, operands))
            if op is ops.gather and space_of(refs[0]) == INPUT:
                self.trace.gathers.append((unpack(refs[0])[1], len(refs) - 1))
            return self.node(op, refs)
        if self.is_rule:
            return op.expansion(*operands)  # type: ignore[misc, no-any-return]
        self.expansions += 1
        try:
            value = self.ref(op.expansion(*operands))  # type: ignore[misc]
        finally:
            self.expansions -= 1
        self.trace.values[len(self.trace.operations)] = value
        return self.node(op, tuple(map(self.ref, operands)))


def _refuse(name: str, what: str, hint: str) -> Callable[..., Any]:
    def refuse(self: Any, *args: Any) -> Any:
        if _is_left(self):
            return getattr(self, name)(*args)
        raise _error(what, hint)

    return refuse


def _refuse_number(name: str, what: str, hint: str) -> Any:
    def get(self: Any) -> Any:
        if _is_left(self):
            return getattr(self, name)
        raise _error(what, hint, _NumberError)

    def put(self: Any, x: Any) -> None:
        if not _is_left(self):
            raise _error(what, hint, _NumberError)
        setattr(self, name, x)

    return property(get, put)


def _is_left(x: Any) -> bool:
    """Whether a symbol is a parameter that an interrupted trace has left; then it is one no more."""
    if id(x) not in _changed or _lock.locked():
        return False
    with _lock:
        _mend()
    return True


class Traced(Value, is_symbol=True):
    """A value while a function is traced: it has a place in the program instead of a number."""

    __slots__ = ()

    data = _refuse_number(
        "data",
        "a traced value has no .data: the program is the same for all numbers",
        "compute with the value itself, or read .data outside of the compiled function",
    )
    grad = _refuse_number("grad", "a traced value has no .grad", "call program.gradient(…) instead")

    def __record__(self, op: Operation, operands: Sequence[Any]) -> Any:
        return op(*operands) if _is_left(self) else _recorder().record(op, operands)

    def __repr__(self) -> str:
        space, index = unpack(self._mark)  # type: ignore[arg-type]
        return f"Traced({space.name.lower()}[{index}])"

    def __copy__(self) -> Traced:
        return self

    def __deepcopy__(self, memo: Any) -> Traced:
        return self


_new, _init = Value.__new__, Value.__init__


def _define_operators() -> None:
    def binary(op: Operation) -> tuple[Callable[..., Any], Callable[..., Any]]:
        def method(self: Traced, other: Any) -> Any:
            if (recorder := _here()) is None:
                return op(self, other)
            other = other._mark if type(other) is Traced else recorder.ref(other)
            return recorder.node(op, (self._mark, other))  # type: ignore[arg-type]

        def reflected(self: Traced, other: Any) -> Any:
            if (recorder := _here()) is None:
                return op(other, self)
            return recorder.node(op, (recorder.ref(other), self._mark))  # type: ignore[arg-type]

        return method, reflected

    def unary(op: Operation) -> Callable[..., Any]:
        def method(self: Traced) -> Any:
            recorder = _here()
            return op(self) if recorder is None else recorder.node(op, (self._mark,))  # type: ignore[arg-type]

        return method

    for name, op in {"add": ops.add, "sub": ops.sub, "mul": ops.mul, "truediv": ops.div, "pow": ops.pow}.items():
        method, reflected = binary(op)
        setattr(Traced, f"__{name}__", method)
        setattr(Traced, f"__r{name}__", reflected)
    for name, op in {"__neg__": ops.neg, "__abs__": ops.abs, **ops.TABLE}.items():
        if op.arity == 1 and hasattr(Value, name):
            setattr(Traced, name, unary(op))
    for name in ("float", "int", "index", "round", "trunc", "floor", "ceil", "complex"):
        hint = "use the functions of this library (mg.exp(x), not math.exp(x)), and mg.gather(values, index) to pick by an input"
        refused = _refuse(f"__{name}__", "a traced value cannot be turned into a plain number", hint)
        setattr(Traced, f"__{name}__", refused)
    for name in ("lt", "le", "gt", "ge"):
        what = "a traced value cannot be compared: which branch is taken would be fixed for all samples"
        hint = "use mg.where(x, a, b), which is a where x > 0 and b elsewhere, or mg.max and mg.min for Python's max and min"
        setattr(Traced, f"__{name}__", _refuse(f"__{name}__", what, hint))


_define_operators()


def _here() -> Recorder | None:
    """The recorder, where this thread traces; else what to do with an operand is found out by `__record__`."""
    recorder = _active
    return recorder if recorder is not None and _lock.locked() and recorder.thread == threading.get_ident() else None


def _recorder() -> Recorder:
    recorder = _active if _lock.locked() else None
    if recorder is None:
        raise TraceError("a value of a traced function was used after the trace had ended")
    if recorder.thread != threading.get_ident():
        raise TraceError("these parameters are being compiled by another thread, to which they are symbols meanwhile")
    return recorder


def _error(what: str, hint: str, kind: type[TraceError] = TraceError) -> TraceError:
    """The error, with the line of the user's that asked."""
    file, line = users_line()
    source = linecache.getline(file, line).strip()
    return kind(
        f"{file}:{line}: {source}\n  {what}; hint: {hint}" if source else f"{file}:{line}: {what}; hint: {hint}"
    )


def recorded(recorder: Recorder, parameters: Sequence[Value], call: Callable[[], Any]) -> Any:
    """What the call returns; meanwhile parameters are symbols, and Values that it makes are known to be its own.

    Whatever interrupts it, parameters become what they were: at the latest, where only a part of that was done, when
    one of them is used or a function is traced again.
    """
    global _active
    if _lock.locked() and _active is not None and _active.thread == threading.get_ident():
        raise TraceError("a function that is being compiled cannot compile another one")
    with _lock:
        try:
            _mend()  # what an interrupted trace has left
            _active = recorder

            def remember(self: Value, data: Any, label: str = "") -> None:
                _init(self, data, label)
                if recorder.thread == threading.get_ident():
                    recorder.created[id(self)] = self

            for i, p in enumerate(parameters):
                _changed[id(p)] = p, p._mark
                p._mark = pack(PARAM, i)
                p.__class__ = Traced
            Value.__init__ = remember  # type: ignore[method-assign]
            return call()
        finally:
            _mend()


def _mend() -> None:
    """Make all that a trace has changed what it was. Interrupted, it can be done again."""
    global _active
    _active = None
    Value.__init__ = _init  # type: ignore[method-assign]
    for p, mark in list(_changed.values()):
        p.__class__ = Value
        p._mark = mark
    _changed.clear()


def trace_rule(rule: Callable[..., Sequence[Any]], count: int, *, some: bool = False) -> Trace:
    """A rule as a program of so many numbers, with its results as its outputs. `some`: a None among them is NOTHING.

    Raises:
        TraceError: the rule asks for what cannot be recorded.
    """
    recorder = Recorder([], {})
    recorder.is_rule = True
    symbols = [_symbols((), pack(INPUT, k)) for k in range(count)]

    def call() -> None:
        results = rule(*symbols)
        recorder.trace.outputs = [NOTHING if some and x is None else recorder.ref(x) for x in results]

    recorded(recorder, [], call)
    return recorder.trace


def check_parameters(parameters: Iterable[Value]) -> list[Value]:
    """The parameters as a list. Raises TypeError or ValueError for what cannot be a program's parameter."""
    checked = each_once("parameter", parameters, Value)
    for p in checked:
        if p.op is not None:
            raise ValueError(f"expected parameters that are not themselves computed, got {p!r}")
        if type(ieee.as_float(p.data)) is not type(p.data):
            raise TypeError(f"expected parameters of floats, got {type(p.data).__name__}: {p!r:.60}")
    return checked


def trace(
    function: Callable[..., Any],
    parameters: Sequence[Value],
    inputs: Mapping[str, tuple[int, ...]],
    shorter: Mapping[str, int] | None = None,
) -> Trace:
    """What the function does with one sample.

    Args:
        function: called once, with a nested list of symbols of each input's shape; a single one for the shape ().
        parameters: the Values it reads.
        inputs: the shape of each of its arguments.
        shorter: how many the lists of some of them have in this trace, where these are not as long as the shape says.

    Raises:
        TypeError: it is no function.
        TraceError: the function needs a number, reads a Value that is not listed, or returns something else than
            values (in lists and tuples) that depend on the inputs.
    """
    a_function("the function", function)
    recorder = Recorder(parameters, inputs)
    arguments, start = {}, pack(INPUT, 0)
    for name, shape in inputs.items():
        if name == LENGTH:
            continue
        arguments[name] = _symbols(shape, start)
        if shorter and name in shorter:
            del arguments[name][shorter[name] :]
        start += prod(shape)

    def call() -> None:
        result = _call(function, arguments)
        recorder.trace.structure = structure = _flatten(result, recorder)
        recorder.trace.has_loss = structure == 0 or (isinstance(result, tuple) and structure[0] == 0)

    recorded(recorder, parameters, call)
    return recorder.trace


def _symbols(shape: tuple[int, ...], start: int) -> Any:
    if shape:
        step = prod(shape[1:])
        return [_symbols(shape[1:], start + i * step) for i in range(shape[0])]
    symbol = _new(Traced)
    symbol.label, symbol._mark = "", start
    symbol.op = symbol.left = symbol.right = None
    return symbol


def _call(function: Callable[..., Any], arguments: Mapping[str, Any]) -> Any:
    """By name where the function has the inputs' names, in their order where it has none of them."""
    import inspect

    try:
        names = list(inspect.signature(function).parameters)
    except (TypeError, ValueError):
        names = []
    unknown = [name for name in arguments if name not in names]
    if unknown and len(unknown) < len(arguments):  # in their order they might be swapped
        raise TypeError(f"the function has no argument {unknown[0]!r}, among {', '.join(names)}")
    return function(*arguments.values()) if unknown else function(**arguments)


def _flatten(result: Any, recorder: Recorder) -> Any:
    if isinstance(result, (list, tuple)):
        if not result:
            raise TraceError("the function returned an empty list: a program needs at least one output")
        return [_flatten(x, recorder) for x in result]
    recorder.trace.outputs.append(_output(result, recorder))
    return len(recorder.trace.outputs) - 1


def _output(result: Any, recorder: Recorder) -> int:
    if not isinstance(result, (Value, float, int)):
        raise TraceError(
            f"the function returned {type(result).__name__} {result!r:.60}; expected values, in lists or tuples"
        )
    return recorder.ref(result)
