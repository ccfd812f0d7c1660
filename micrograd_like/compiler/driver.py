"""Stage 7, driver: the functions around the nests, down to the training loop itself.

One module per number of lanes has the function `block`: load a few groups of samples into frames, run the nests on each,
and add up the gradients. The main module has `run`: for every mini-batch the shared section, the blocks, the mean loss,
and where training is asked for the step of SGD; `read`, which fetches the parameters' numbers; and `shuffle`.

Lanes beyond the end of a mini-batch compute its last sample again, with the adjoint 0: what they add is 0.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from typing import Any

from micrograd_like.compiler import emit
from micrograd_like.compiler.adjoint import Adjoint, adjoint
from micrograd_like.compiler.emit import ARGUMENTS, Emitter, Rows, Shape, definitions
from micrograd_like.compiler.loops import For, Table, Term
from micrograd_like.compiler.nest import (
    ADJOINT,
    CONST,
    INPUT,
    NODE,
    PARAM,
    PARAM_GRADIENT,
    SHARED,
    SHARED_GRADIENT,
    TEMPORARY,
)

# What the main module is told, eight bytes each. What changes from call to call comes first.
CALL = (
    "mode", "samples", "batch", "steps", "steps_per_epoch", "rows", "inputs", "rates", "block", "lanes", "most",
    "momentum", "decay",
)  # fmt: skip
FIELDS = (
    *CALL, "params", "shared", "consts", "tables", "gradient", "outputs", "losses", "velocity", "frames", "values",
    "data_offset", "type_offset", "number_offset", "float_type",
)  # fmt: skip
FORWARD, GRADIENT, TRAIN = range(3)


@dataclass
class Nests:
    """A section, ready for the machine."""

    terms: tuple[Term, ...]
    forward: tuple[Term, ...]
    backward: Adjoint
    slots: int
    outputs: int  # the slot of the first output


@dataclass
class Parts:
    """Everything that machine code is made from."""

    shared: Nests
    sample: Nests
    widths: tuple[int, ...]  # of the inputs, flat
    parameters: int
    constants: list[float]
    outputs: int
    text: str = ""  # the loops as pseudo-code
    rows: list[int] = field(default_factory=list)  # all tables' rows, one after the other
    tables: dict[int, int] = field(default_factory=dict)  # where each starts

    def __post_init__(self) -> None:
        for nests in (self.shared, self.sample):
            self._collect(nests.forward)
            self._collect(nests.backward.sweep)
            self._collect(nests.backward.contributions)

    def careful(self) -> Parts:
        """The same program, its rules passing on nothing where the gradient is 0; see `adjoint`."""
        constants = list(self.constants)

        def again(nests: Nests) -> Nests:
            return replace(nests, backward=adjoint(nests.terms, constants, nests.backward.seed, careful=True))

        return replace(
            self, shared=again(self.shared), sample=again(self.sample), constants=constants, rows=[], tables={}
        )

    def _collect(self, terms: Sequence[Term]) -> None:
        for term in terms:
            if isinstance(term, For):
                self._collect(term.body)
            elif isinstance(term, Table):
                self.tables[id(term)] = len(self.rows)
                width = term.width
                for row in term.rows:
                    self.rows += [*row, *[0] * (width - len(row))]

    @property
    def inputs(self) -> int:
        """The numbers in a sample."""
        return sum(self.widths)

    @property
    def row(self) -> int:
        """The doubles from one sample to the next, where they lie as they are given; aligned."""
        return -(-self.inputs // 8) * 8

    @property
    def frame(self) -> int:
        """The vectors in a sample's frame; odd, so that frames do not compete for the same lines of the cache."""
        return (self.inputs + 2 * self.sample.slots + self.sample.backward.temporaries) | 1

    @property
    def shared_frame(self) -> int:
        """The doubles of the shared section: nodes, adjoints, temporaries."""
        return 2 * self.shared.slots + self.shared.backward.temporaries

    def sizes(self) -> dict[int, int]:
        """The size of every space, for the mode that checks addresses."""
        return {
            INPUT: self.inputs,
            NODE: self.sample.slots,
            ADJOINT: self.sample.slots,
            TEMPORARY: self.sample.backward.temporaries,
            PARAM: self.parameters,
            PARAM_GRADIENT: self.parameters,
            CONST: len(self.constants),
            SHARED: self.shared.slots,
            SHARED_GRADIENT: self.shared.slots,
        }


MOST_RUNS = 8  # of slots that are zeroed one by one
FRAMES = 3 << 15  # bytes of frames that are worked on at once, or LEAST samples: a part of a core's second cache
LEAST = 32


def groups_at_once(parts: Parts, lanes: int) -> int:
    """How many groups of samples a block has at most."""
    return 1 if lanes == 1 else max(-(-LEAST // lanes), FRAMES // (8 * parts.frame * lanes))


def frames_size(parts: Parts, lanes: int) -> int:
    """The doubles of a block's frames, and of its samples as they are given."""
    return groups_at_once(parts, lanes) * lanes * (parts.frame + parts.row)


def block_module(parts: Parts, shape: Shape, check: bool) -> str:
    """The module of one number of lanes."""
    lanes, sample = shape.lanes, parts.sample
    checked = parts.sizes() if check else None
    stride = parts.frame * lanes
    samples = Rows(groups_at_once(parts, lanes) * stride, parts.row) if lanes > 1 else None
    nests, used = _nests(sample, shape, parts, stride, checked, samples=samples)
    e = Emitter(shape, parts.tables, False, None)
    vector, align = e.type, e.align
    e.label("entry")

    places = [0, parts.inputs, parts.inputs + sample.slots, parts.inputs + 2 * sample.slots]
    names = [_at(e, vector, "%frames", place) for place in places]
    pointers = ", ".join(f"ptr {p}" for p in names) + _REST

    def frame(counter: str) -> tuple[list[str], str]:
        """The pointers of a frame, and its first sample."""
        offset = e.put(f"mul nsw i64 {counter}, {stride}")
        here = [e.put(f"getelementptr double, ptr {name}, i64 {offset}") for name in names]
        return here, e.put(f"add nsw i64 %first, {e.put(f'mul nsw i64 {counter}, {lanes}')}")

    def before(counter: str, _: Any) -> list[str]:
        here, first = frame(counter)
        _load_inputs(e, parts, here[0], first, counter, samples)
        return []

    def between(counter: str, _: Any) -> list[str]:
        here, first = frame(counter)
        for k in range(parts.outputs):
            value = e.put(f"load {vector}, ptr {_at(e, vector, here[1], sample.outputs + k)}, align {align}")
            for lane in range(lanes):
                x = e.put(f"extractelement {vector} {value}, i64 {lane}") if lanes > 1 else value
                row = e.put(f"add nsw i64 {first}, {lane}")
                place = e.put(f"add nsw i64 {e.put(f'mul nsw i64 {row}, {parts.outputs}')}, {k}")
                e.do(f"store double {x}, ptr {_at(e, 'double', '%out', place)}, align 8")
        for start, count in _runs(sample.backward.zeroed, sample.slots):
            there = _at(e, vector, here[2], start)
            e.do(f"call void @llvm.memset.p0.i64(ptr {there}, i8 0, i64 {count * lanes * 8}, i1 false)")
        e.do(f"store {vector} {_seeds(e, first)}, ptr {_at(e, vector, here[2], sample.outputs)}, align {align}")
        return []

    e.loop("%groups", [], before)
    e.do(f"call void @forward({pointers})")
    e.loop("%groups", [], between)
    e.do("%wants = icmp ne i64 %mode, 0")
    e.do("br i1 %wants, label %back, label %end")
    e.label("back")
    e.do(f"call void @sweep({pointers})")
    e.do(f"call void @contribute({pointers})")
    e.do("br label %end")
    e.label("end")
    body = "\n".join(e.lines)
    return "\n".join([
        *nests,
        f"define void @block({_BLOCK}) #0 {{\n{body}\n  ret void\n}}",
        "declare void @llvm.memset.p0.i64(ptr, i8, i64, i1)",
        *definitions(used | e.used),
        ATTRIBUTES,
    ])  # fmt: skip


ATTRIBUTES = 'attributes #0 = { nounwind "no-trapping-math"="true" }'
_REST = ", ptr %params, ptr %shared, ptr %consts, ptr %gp, ptr %gs, ptr %tables, i64 %groups"
_BLOCK = (
    "ptr noalias %frames, i64 %groups, i64 %first, i64 %last, ptr noalias %rows, ptr noalias %inputs, ptr noalias %params, "
    "ptr noalias %shared, ptr noalias %consts, ptr noalias %tables, double %seed, ptr noalias %gp, ptr noalias %gs, "
    "ptr noalias %out, i64 %mode"
)


def _at(e: Emitter, unit: str, pointer: str, index: int | str) -> str:
    return e.put(f"getelementptr {unit}, ptr {pointer}, i64 {index}")


def _nests(
    nests: Nests,
    shape: Shape,
    parts: Parts,
    stride: int,
    checked: Any,
    prefix: str = "",
    samples: Rows | None = None,
) -> tuple[list[str], set[Any]]:
    """The functions forward, sweep and contribute of a section, and the helpers they use."""
    tables = parts.tables
    texts = [
        emit.function(f"{prefix}forward", nests.forward, shape, tables, stride, backward=False, checked=checked),
        emit.function(f"{prefix}sweep", nests.backward.sweep, shape, tables, stride, backward=True, checked=checked),
        emit.contributions(
            f"{prefix}contribute", nests.backward.contributions, shape, tables, stride, checked=checked, samples=samples
        ),
    ]
    return [text for text, _ in texts], set().union(*[used for _, used in texts])


def _runs(slots: Sequence[int] | None, everything: int) -> list[tuple[int, int]]:
    """Slots as (first, count) of neighbours; None means all."""
    if slots is None:
        return [(0, everything)]
    runs: list[tuple[int, int]] = []
    for slot in slots:
        if runs and sum(runs[-1]) == slot:
            runs[-1] = (runs[-1][0], runs[-1][1] + 1)
        else:
            runs.append((slot, 1))
    return runs if len(runs) <= MOST_RUNS else [(0, everything)]


def _seeds(e: Emitter, first: str) -> str:
    """The adjoint of each lane's loss: its share of the mean, or 0 beyond the last sample."""
    if e.lanes == 1:
        return "%seed"
    integers = f"<{e.lanes} x i64>"

    def everywhere(scalar: str) -> str:
        one = e.put(f"insertelement {integers} poison, i64 {scalar}, i64 0")
        return e.put(f"shufflevector {integers} {one}, {integers} poison, <{e.lanes} x i32> zeroinitializer")

    lanes = ", ".join(f"i64 {lane}" for lane in range(e.lanes))
    sample = e.put(f"add nsw {integers} {everywhere(first)}, <{lanes}>")
    valid = e.put(f"icmp slt {integers} {sample}, {everywhere('%last')}")
    return e.select(valid, e.splat("%seed"), e.number(0.0))


def _load_inputs(e: Emitter, parts: Parts, frame: str, first: str, counter: str, rows: Rows | None) -> None:
    """Transpose: sample by sample in memory, number by number in the frame, with one sample in each lane."""
    samples = []
    final = e.put("sub nsw i64 %last, 1") if e.lanes > 1 else ""
    for lane in range(e.lanes):
        place = e.put(f"add nsw i64 {first}, {lane}") if lane else first
        if e.lanes > 1:
            e.used.add("declare i64 @llvm.smin.i64(i64, i64)")
            place = e.put(f"call i64 @llvm.smin.i64(i64 {place}, i64 {final})")
        samples.append(e.put(f"load i64, ptr {_at(e, 'i64', '%rows', place)}, align 8"))
    copies = None
    if rows is not None:
        group = e.put(f"mul nuw nsw i64 {counter}, {e.lanes * rows.width}")
        copies = _at(e, "double", _at(e, "double", "%frames", group), rows.start)
    start = 0
    for k, width in enumerate(parts.widths):
        source = e.put(f"load ptr, ptr {_at(e, 'ptr', '%inputs', k)}, align 8")
        sources = [_at(e, "double", source, e.put(f"mul nsw i64 {sample}, {width}")) for sample in samples]
        copied = None if copies is None else _at(e, "double", copies, start)
        _load_input(e, width, sources, _at(e, e.type, frame, start), copied, parts.row)
        start += width


def _load_input(e: Emitter, width: int, sources: list[str], target: str, copies: str | None, row: int) -> None:
    """One input of a group of samples; `copies`: where the samples go as they are, if anywhere, `row` doubles apart."""
    squares = width // 4 * 4 if copies is not None and e.lanes % 4 == 0 else 0

    def four(counter: str, _: Any) -> list[str]:
        here = _at(e, "double", str(copies), counter)
        there = _at(e, e.type, target, counter)
        for lane in range(0, e.lanes, 4):
            square = []
            for k in range(lane, lane + 4):
                square.append(e.put(f"load <4 x double>, ptr {_at(e, 'double', sources[k], counter)}, align 8"))
                e.do(f"store <4 x double> {square[-1]}, ptr {_at(e, 'double', here, k * row)}, align 8")
            for i, column in enumerate(e.transposed(square)):
                e.do(f"store <4 x double> {column}, ptr {_at(e, 'double', there, i * e.lanes + lane)}, align 32")
        return []

    def one(number: str, _: Any) -> list[str]:
        value = "poison"
        for lane, source in enumerate(sources):
            x = e.put(f"load double, ptr {_at(e, 'double', source, number)}, align 8")
            value = e.put(f"insertelement {e.type} {value}, double {x}, i64 {lane}") if e.lanes > 1 else x
            if copies is not None:
                there = _at(e, "double", copies, number)
                e.do(f"store double {x}, ptr {_at(e, 'double', there, lane * row)}, align 8")
        e.do(f"store {e.type} {value}, ptr {_at(e, e.type, target, number)}, align {e.align}")
        return []

    if squares:
        e.loop(squares, [], four, 4)
    if width - squares <= 3:
        for number in range(squares, width):
            one(str(number), ())
    else:
        e.loop(width, [], one)


def main_module(parts: Parts, check: bool) -> str:
    """The module with `run`, `read`, both at once, and `shuffle`."""
    shape = Shape(1, 1, 8)
    shared = parts.shared
    checked = None
    if check:
        checked = parts.sizes() | {
            NODE: shared.slots,
            ADJOINT: shared.slots,
            TEMPORARY: shared.backward.temporaries,
        }
    nests, used = _nests(shared, shape, parts, 0, checked, "shared_")
    fields = "\n".join(
        f"  %{name}.place = getelementptr i64, ptr %fields, i64 {k}\n"
        f"  %{name} = load {_kind(name)}, ptr %{name}.place, align 8"
        for k, name in enumerate(FIELDS)
    )
    section = "ptr null, ptr %shared, ptr %gs, ptr %shared.temp, ptr %params, ptr null, ptr %consts, ptr %gradient, ptr null, ptr %tables, i64 1"
    seed = f"  %seed.place = getelementptr double, ptr %gs, i64 {shared.outputs}\n  store double 1.0, ptr %seed.place"
    alone = f"""
  %value.place = getelementptr double, ptr %shared, i64 {shared.outputs}
  %value = load double, ptr %value.place
  store double %value, ptr %loss.place
  call void @llvm.memcpy.p0.p0.i64(ptr %outputs, ptr %value.place, i64 {8 * parts.outputs}, i1 false)
  br label %backward"""
    text = (
        (_RUN + _READ + _SHUFFLE)
        .replace("$BLOCKS", _BLOCKS if parts.widths else alone)
        .replace("$OUTPUTS", str(parts.outputs))
        .replace("$FIELDS", fields)
        .replace("$SECTION", section)
        .replace("$SLOTS", str(shared.slots))
        .replace("$SHARED_BYTES", str(8 * shared.slots))
        .replace("$GRADIENT_BYTES", str(8 * parts.parameters))
        .replace("$SEED", "" if parts.widths else seed)
        .replace("$PARAMETERS", str(parts.parameters))
    )
    return "\n".join([
        *nests,
        text,
        "declare void @llvm.memset.p0.i64(ptr, i8, i64, i1)",
        "declare void @llvm.memcpy.p0.p0.i64(ptr, ptr, i64, i1)",
        "declare i64 @llvm.umin.i64(i64, i64)",
        "declare i32 @llvm.ctlz.i32(i32, i1)",
        *definitions(used),
        ATTRIBUTES,
    ])  # fmt: skip


def _kind(name: str) -> str:
    if name in ("momentum", "decay"):
        return "double"
    counts = ("mode", "samples", "batch", "steps", "steps_per_epoch", "lanes", "most")
    return "i64" if name in counts or name.endswith("_offset") else "ptr"


# Returns whether a number of the gradient is nan, where one was asked for.
_RUN = """
define i64 @run(ptr %fields) #0 {
entry:
$FIELDS
  %gs = getelementptr double, ptr %shared, i64 $SLOTS
  %shared.temp = getelementptr double, ptr %gs, i64 $SLOTS
  %wants = icmp ne i64 %mode, 0
  %trains = icmp eq i64 %mode, 2
  %has.momentum = fcmp une double %momentum, 0.0
  %has.decay = fcmp une double %decay, 0.0
  %any = or i1 %has.momentum, %has.decay
  %plain = xor i1 %any, true
  %momentum.1 = insertelement <8 x double> poison, double %momentum, i64 0
  %momentum.8 = shufflevector <8 x double> %momentum.1, <8 x double> poison, <8 x i32> zeroinitializer
  %decay.1 = insertelement <8 x double> poison, double %decay, i64 0
  %decay.8 = shufflevector <8 x double> %decay.1, <8 x double> poison, <8 x i32> zeroinitializer
  br i1 %wants, label %clear, label %step
clear:
  call void @llvm.memset.p0.i64(ptr %gradient, i8 0, i64 $GRADIENT_BYTES, i1 false)
  br label %step
step:
  %s = phi i64 [ 0, %entry ], [ 0, %clear ], [ %s.next, %next ]
  %loss.place = getelementptr double, ptr %losses, i64 %s
  call void @shared_forward($SECTION)
  br i1 %wants, label %clear.shared, label %compute
clear.shared:
  call void @llvm.memset.p0.i64(ptr %gs, i8 0, i64 $SHARED_BYTES, i1 false)
  br label %compute
compute:
$BLOCKS
backward:
  br i1 %wants, label %shared.backward, label %next
shared.backward:
$SEED
  call void @shared_sweep($SECTION)
  call void @shared_contribute($SECTION)
  br i1 %trains, label %update, label %look
look:
  %k = phi i64 [ 0, %shared.backward ], [ %k.next, %look ]
  %nans = phi <8 x i1> [ zeroinitializer, %shared.backward ], [ %nans.next, %look ]
  %k.place = getelementptr double, ptr %gradient, i64 %k
  %g.here = load <8 x double>, ptr %k.place, align 8
  %nans.here = fcmp uno <8 x double> %g.here, zeroinitializer
  %nans.next = or <8 x i1> %nans, %nans.here
  %k.next = add nuw nsw i64 %k, 8
  %k.more = icmp ult i64 %k.next, $PARAMETERS
  br i1 %k.more, label %look, label %looked
looked:
  %bits = bitcast <8 x i1> %nans.next to i8
  %undefined = icmp ne i8 %bits, 0
  br label %next
update:
  %rate.place = getelementptr double, ptr %rates, i64 %s
  %rate = load double, ptr %rate.place
  %rate.1 = insertelement <8 x double> poison, double %rate, i64 0
  %rate.8 = shufflevector <8 x double> %rate.1, <8 x double> poison, <8 x i32> zeroinitializer
  br label %move
move:
  %i = phi i64 [ 0, %update ], [ %i.next, %moved ]
  %p.place = getelementptr double, ptr %params, i64 %i
  %g.place = getelementptr double, ptr %gradient, i64 %i
  %v.place = getelementptr double, ptr %velocity, i64 %i
  %p = load <8 x double>, ptr %p.place, align 8
  %g = load <8 x double>, ptr %g.place, align 8
  store <8 x double> zeroinitializer, ptr %g.place, align 8
  br i1 %plain, label %moved, label %full
full:
  %v = load <8 x double>, ptr %v.place, align 8
  %decayed = fmul <8 x double> %decay.8, %p
  %g.decayed = fadd <8 x double> %g, %decayed
  %d.1 = select i1 %has.decay, <8 x double> %g.decayed, <8 x double> %g
  %kept = fmul <8 x double> %momentum.8, %v
  %d.kept = fadd <8 x double> %d.1, %kept
  %d.2 = select i1 %has.momentum, <8 x double> %d.kept, <8 x double> %d.1
  store <8 x double> %d.2, ptr %v.place, align 8
  br label %moved
moved:
  %d = phi <8 x double> [ %g, %move ], [ %d.2, %full ]
  %change = fmul <8 x double> %rate.8, %d
  %p.new = fsub <8 x double> %p, %change
  store <8 x double> %p.new, ptr %p.place, align 8
  %i.next = add nuw nsw i64 %i, 8
  %i.more = icmp ult i64 %i.next, $PARAMETERS
  br i1 %i.more, label %move, label %next
next:
  %nan = phi i1 [ false, %backward ], [ %undefined, %looked ], [ false, %moved ]
  %s.next = add nuw nsw i64 %s, 1
  %s.more = icmp ult i64 %s.next, %steps
  br i1 %s.more, label %step, label %end
end:
  %nan.64 = zext i1 %nan to i64
  ret i64 %nan.64
}
"""

_BLOCKS = """
  %epoch = udiv i64 %s, %steps_per_epoch
  %step.of.epoch = urem i64 %s, %steps_per_epoch
  %before = mul i64 %epoch, %samples
  %within = mul i64 %step.of.epoch, %batch
  %first = add i64 %before, %within
  %left = sub i64 %samples, %within
  %count = call i64 @llvm.umin.i64(i64 %batch, i64 %left)
  %last = add i64 %first, %count
  %count.double = uitofp i64 %count to double
  %share = fdiv double 1.0, %count.double
  br label %block.step
block.step:
  %b = phi i64 [ %first, %compute ], [ %b.next, %block.step ]
  %b.left = sub i64 %last, %b
  %b.up = add i64 %b.left, %lanes
  %b.up.1 = sub i64 %b.up, 1
  %b.needed = udiv i64 %b.up.1, %lanes
  %b.groups = call i64 @llvm.umin.i64(i64 %b.needed, i64 %most)
  call void %block(ptr %frames, i64 %b.groups, i64 %b, i64 %last, ptr %rows, ptr %inputs, ptr %params, ptr %shared,
    ptr %consts, ptr %tables, double %share, ptr %gradient, ptr %gs, ptr %outputs, i64 %mode)
  %b.samples = mul i64 %b.groups, %lanes
  %b.next = add i64 %b, %b.samples
  %b.more = icmp ult i64 %b.next, %last
  br i1 %b.more, label %block.step, label %mean
mean:
  %l.first = mul i64 %first, $OUTPUTS
  %l.place = getelementptr double, ptr %outputs, i64 %l.first
  %l.start = load double, ptr %l.place
  br label %mean.test
mean.test:
  %l = phi i64 [ 1, %mean ], [ %l.next, %mean.add ]
  %total = phi double [ %l.start, %mean ], [ %total.next, %mean.add ]
  %l.done = icmp uge i64 %l, %count
  br i1 %l.done, label %mean.end, label %mean.add
mean.add:
  %l.index = mul i64 %l, $OUTPUTS
  %l.there = getelementptr double, ptr %l.place, i64 %l.index
  %l.value = load double, ptr %l.there
  %total.next = fadd double %total, %l.value
  %l.next = add nuw nsw i64 %l, 1
  br label %mean.test
mean.end:
  %mean.loss = fdiv double %total, %count.double
  store double %mean.loss, ptr %loss.place
  br label %backward"""

# `read` returns how many parameters were read: it stops at one whose number is no float. See objects.py.
# `read_and_run` returns what `run` does, or -1 where not all could be read.
_READ = """
define i64 @read(ptr %fields) #0 {
entry:
$FIELDS
  br label %test
test:
  %i = phi i64 [ 0, %entry ], [ %i.next, %take ]
  %done = icmp eq i64 %i, $PARAMETERS
  br i1 %done, label %end, label %look
look:
  %value.place = getelementptr ptr, ptr %values, i64 %i
  %value = load ptr, ptr %value.place
  %data.place = getelementptr i8, ptr %value, i64 %data_offset
  %data = load ptr, ptr %data.place
  %type.place = getelementptr i8, ptr %data, i64 %type_offset
  %type = load ptr, ptr %type.place
  %is.float = icmp eq ptr %type, %float_type
  br i1 %is.float, label %take, label %end
take:
  %number.place = getelementptr i8, ptr %data, i64 %number_offset
  %number = load double, ptr %number.place
  %param.place = getelementptr double, ptr %params, i64 %i
  store double %number, ptr %param.place
  %i.next = add nuw nsw i64 %i, 1
  br label %test
end:
  ret i64 %i
}

define i64 @read_and_run(ptr %fields) #0 {
entry:
  %count = call i64 @read(ptr %fields)
  %all = icmp eq i64 %count, $PARAMETERS
  br i1 %all, label %run, label %end
run:
  %nan = call i64 @run(ptr %fields)
  br label %end
end:
  %answer = phi i64 [ %nan, %run ], [ -1, %entry ]
  ret i64 %answer
}
"""

# Returns how many random words the shuffle took, or -1 where they did not suffice. See shuffling.py.
_SHUFFLE = """
define i64 @shuffle(ptr %words, i64 %available, ptr %rows, i64 %n) #0 {
entry:
  br label %element
element:
  %i = phi i64 [ %n, %entry ], [ %i.next, %swap ]
  %used = phi i64 [ 0, %entry ], [ %used.next, %swap ]
  %more = icmp ugt i64 %i, 1
  br i1 %more, label %choices, label %end
choices:
  %choices.32 = trunc i64 %i to i32
  %shift = call i32 @llvm.ctlz.i32(i32 %choices.32, i1 false)
  br label %draw
draw:
  %k = phi i64 [ %used, %choices ], [ %used.next, %take ]
  %enough = icmp ult i64 %k, %available
  br i1 %enough, label %take, label %short
take:
  %word.place = getelementptr i32, ptr %words, i64 %k
  %word = load i32, ptr %word.place
  %used.next = add nuw nsw i64 %k, 1
  %j.32 = lshr i32 %word, %shift
  %j = zext i32 %j.32 to i64
  %fits = icmp ult i64 %j, %i
  br i1 %fits, label %swap, label %draw
swap:
  %i.next = sub nuw nsw i64 %i, 1
  %a.place = getelementptr i64, ptr %rows, i64 %i.next
  %b.place = getelementptr i64, ptr %rows, i64 %j
  %a = load i64, ptr %a.place
  %b = load i64, ptr %b.place
  store i64 %b, ptr %a.place
  store i64 %a, ptr %b.place
  br label %element
end:
  ret i64 %used
short:
  ret i64 -1
}
"""


__all__ = ["ARGUMENTS", "CALL", "FIELDS", "Nests", "Parts", "block_module", "main_module"]
