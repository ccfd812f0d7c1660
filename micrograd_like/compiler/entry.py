"""Stage 10, entry: what Python calls, down to the training loop itself.

The main module has `run`: for every mini-batch the section that all samples share, the blocks, the mean loss, and where
training is asked for the step of SGD. It also has `read`, which fetches the parameters' numbers, and `shuffle`.
"""

from __future__ import annotations

from micrograd_like.compiler.blocks import ATTRIBUTES, Parts, section
from micrograd_like.compiler.emit import Shape, definitions
from micrograd_like.compiler.nest import ADJOINT, NODE, TEMPORARY

# What the main module is told, eight bytes each. What changes from call to call comes first.
CALL = (
    "mode", "samples", "batch", "steps", "steps_per_epoch", "stride", "rows", "inputs", "rates", "block", "lanes", "most",
    "momentum", "decay",
)  # fmt: skip
FIELDS = (
    *CALL, "params", "shared", "consts", "tables", "gradient", "outputs", "losses", "velocity", "frames", "values",
    "data_offset", "type_offset", "number_offset", "float_type",
)  # fmt: skip
FORWARD, GRADIENT, TRAIN = range(3)


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
    nests, used = section(shared, shape, parts, 0, checked, "shared_")
    fields = "\n".join(
        f"  %{name}.place = getelementptr i64, ptr %fields, i64 {k}\n"
        f"  %{name} = load {_kind(name)}, ptr %{name}.place, align 8"
        for k, name in enumerate(FIELDS)
    )
    pointers = "ptr null, ptr %shared, ptr %gs, ptr %shared.temp, ptr %params, ptr null, ptr %consts, ptr %gradient, ptr null, ptr %tables, i64 1"
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
        .replace("$SECTION", pointers)
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
    counts = ("mode", "samples", "batch", "steps", "steps_per_epoch", "stride", "lanes", "most")
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
  %before = mul i64 %epoch, %stride
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
  %deleted = icmp eq ptr %data, null
  br i1 %deleted, label %end, label %ask
ask:
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


__all__ = ["CALL", "FIELDS", "FORWARD", "GRADIENT", "TRAIN", "main_module"]
