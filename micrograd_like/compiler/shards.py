"""Stage 10, shards: a batch is cut into shards, and the shards' sums are added in a tree. Any number of threads may help.

A shard's size is the program's alone. So is the tree: neighbours are added first, an odd one moves up. So who computes
which shard changes no bit. A single thread walks the tree from left to right, with the sums of unfinished parts on a
stack. Several take chunks, equal runs of 2^k shards, whoever is free the next one; a sum goes up where its neighbour's
is done already, so whoever comes second adds the two.

The thread that Python called publishes a step by writing its ticket: the step's number, and the next chunk to take. The
helpers wait for it, turning round, and then letting others run. They wait for nothing else, and the caller waits only
for chunks that were taken: a helper that never comes, or comes late, is not missed.
"""

from __future__ import annotations

from collections.abc import Sequence
from math import prod
from typing import Any, NamedTuple

from micrograd_like.compiler.blocks import Parts
from micrograd_like.compiler.fields import FORWARD, Entry
from micrograd_like.compiler.loops import Choice, For, Table, Term
from micrograd_like.compiler.nest import Assign, Reduce
from micrograd_like.compiler.spaces import padded
from micrograd_like.compiler.trace import LENGTH

EIGHT = "<8 x double>"
LEAST_WORK = 1 << 18  # scalar operations of a shard, some tens of microseconds, beside which its fixed cost is nothing
LEAST_SHARE = 128  # of them for each number that has to be added afterwards
LEAST, MOST = 32, 1 << 16  # samples in a smallest shard: whole vectors, as a block writes whole ones
GROWS = (8, 32)  # smallest shards, beyond which a batch is cut into shards of twice, and of four times that size
CHUNKS = 4  # for each thread, so that no one has much to wait for
MOST_CHUNKS = 1 << 16
TICKET, OPENED, CLOSED, INSIDE, FINISHED, MEETING = range(0, 48, 8)  # places in a meeting, each in a line of its own
OVER = -1
TURNS, PATIENCE = 4096, 1 << 15  # looks before others may run; how often those may run before a helper goes home


def operations(terms: Sequence[Term]) -> int:
    """How many scalar operations the loops take."""
    total = 0
    for term in terms:
        if isinstance(term, For):
            total += int(term.trips) * operations(term.body)
        elif isinstance(term, Table):
            each = [operations(body) for body in term.bodies]
            total += max(each) if isinstance(term, Choice) else sum(each[row[0]] for row in term.rows)
        elif isinstance(term, Reduce):
            total += prod(map(int, term.trips)) * (1 + len(term.code))
        else:
            total += max(1, len(term.code)) if isinstance(term, Assign) else 1
    return total


def shard_size(smallest: int, samples: int) -> int:
    """The samples in a shard of a batch: larger ones in a large batch, where there are enough of them anyway."""
    return smallest << sum(samples > limit * smallest for limit in GROWS)


def smallest_shard(parts: Parts) -> int:
    """The smallest power of two with which a shard's own work makes its fixed cost small."""
    work = max(operations(parts.sample.forward), 1)
    fixed = parts.parameters + operations(parts.shared.forward)
    least = max(LEAST_WORK, LEAST_SHARE * fixed)
    size = LEAST
    while size < MOST and size * work < least:
        size *= 2
    return size


def room(parameters: int) -> int:
    """The doubles of a sum: one for each parameter, filled up to whole eights, and eight of which the first is the loss."""
    return padded(parameters) + 8


def tree_sum(parts: Sequence[Any]) -> Any:
    """Add arrays in the order in which a program adds its shards: neighbours first, an odd one moves up.

    >>> import numpy as np
    >>> tree_sum([np.array([1.0]), np.array([2.0]), np.array([4.0])])
    array([7.])
    """
    sums = list(parts)
    if not sums:
        raise ValueError("expected at least one part to add, got none")
    if len(sums) == 1:
        return sums[0].copy()
    while len(sums) > 1:
        sums = [sum(sums[k + 1 : k + 2], sums[k]) for k in range(0, len(sums), 2)]
    return sums[0]


def definitions(parts: Parts) -> list[tuple[str, set[Any]]]:
    """The functions `add`, `shards`, `chunks` and `help`, and what they use."""
    found = []
    for name, write, arguments, linkage in (
        ("add", _add, "ptr noalias %sum, ptr noalias %other, i64 %count", "internal "),
        ("shards", _shards, "ptr %fields, ptr %desk, i64 %step, i64 %from, i64 %until, ptr %result", "internal "),
        ("chunks", _chunks, "ptr %fields, ptr %desk, i64 %before", "internal "),
        ("help", _help, "ptr %fields, i64 %thread, i64 %call", ""),
    ):
        w = Entry()
        answer = write(w, parts)
        found.append((w.function(name, arguments, answer, "i64" if answer else "void", linkage), w.used))
    return found


class Batch(NamedTuple):
    """A step's samples."""

    first: str  # the place in the order
    samples: str
    size: str  # of a shard
    shards: str


def batch(w: Entry, parts: Parts, step: str) -> Batch:
    """The samples of a step; all numbers in registers."""
    samples, whole, size, per_epoch, stride = w.fields("samples", "whole", "batch", "steps_per_epoch", "stride")
    within = w.integers_of("mul", w.integers_of("urem", step, per_epoch), size)
    before = w.integers_of("mul", w.integers_of("udiv", step, per_epoch), stride)
    count = w.smallest(size, w.integers_of("sub", samples, within))
    first, smallest = w.integers_of("add", before, within), smallest_shard(parts)
    total, shard = w.largest(count, whole), str(smallest)
    for limit in GROWS:
        larger = w.put(f"zext i1 {w.is_so('ugt', total, limit * smallest)} to i64")
        shard = w.integers_of("shl", shard, larger)
    return Batch(first, count, shard, w.parts_of(count, shard) if parts.widths else "1")


def shared_arguments(w: Entry, parts: Parts, desk: str, gradient: str) -> str:
    """What the functions of the shared section are given."""
    shared, params, consts, tables = w.fields("shared", "params", "consts", "tables")
    adjoints = w.load("ptr", desk, 1)
    scratch = w.at("double", adjoints, parts.once.slots)
    pointers = ("null", shared, adjoints, scratch, params, "null", consts, gradient, "null", tables)
    return ", ".join(f"ptr {p}" for p in pointers) + ", i64 1"


def wait(w: Entry, place: str, number: str, predicate: str = "eq") -> str:
    """Turn round for as long as what lies there is that number ("ne": is not); soon let others run meanwhile."""

    def look(values: Sequence[str]) -> tuple[str, list[str]]:
        now = w.put(f"load atomic i64, ptr {place} seq_cst, align 8")
        waiting = w.is_so(predicate, now, number)
        w.when(w.both(waiting, w.is_so("ugt", values[0], TURNS)), lambda: others(w))
        return waiting, [w.integers_of("add", values[0], 1), now]

    return w.again([("i64", "0"), ("i64", "0")], look)[1]


def others(w: Entry) -> None:
    """Let other threads run."""
    w.used.add("declare i32 @library_yield()")
    w.put("call i32 @library_yield()")


def _add(w: Entry, parts: Parts) -> str:
    """Add the other sum, and leave zeros there for the next one."""

    def eight(first: str, _: Any) -> list[str]:
        places = [w.at("double", array, first) for array in ("%sum", "%other")]
        x, y = (w.put(f"load {EIGHT}, ptr {place}, align 8") for place in places)
        w.do(f"store {EIGHT} {w.put(f'fadd {EIGHT} {x}, {y}')}, ptr {places[0]}, align 8")
        w.do(f"store {EIGHT} zeroinitializer, ptr {places[1]}, align 8")
        return []

    w.loop("%count", [], eight, 8)
    return ""


def _plus(w: Entry, parts: Parts, sums: str, other: str) -> None:
    """Add one sum to another; without gradients just the losses."""
    (mode,) = w.fields("mode")
    forward = w.is_so("eq", mode, FORWARD)
    start = w.put(f"select i1 {forward}, i64 {padded(parts.parameters)}, i64 0")
    count = w.put(f"select i1 {forward}, i64 8, i64 {room(parts.parameters)}")
    w.do(f"call void @add(ptr {w.at('double', sums, start)}, ptr {w.at('double', other, start)}, i64 {count})")


def _shards(w: Entry, parts: Parts) -> str:
    """Add up a run of shards of a step, by the tree."""
    (mode,) = w.fields("mode")
    stack = w.load("ptr", "%desk", 2)
    wants = w.is_so("ne", mode, FORWARD)
    first, count, size, _ = batch(w, parts, "%step")
    last = w.integers_of("add", first, count)

    def place(depth: str) -> str:
        higher = w.at("double", stack, w.integers_of("mul", w.integers_of("sub", depth, 1), room(parts.parameters)))
        return w.put(f"select i1 {w.is_so('eq', depth, 0)}, ptr %result, ptr {higher}")

    def fold(depth: str, times: str) -> str:
        """Add the topmost sum to the one below it, so many times."""

        def once(_: str, values: Sequence[str]) -> list[str]:
            lower = w.integers_of("sub", values[0], 1)
            _plus(w, parts, place(w.integers_of("sub", lower, 1)), place(lower))
            return [lower]

        return w.loop(times, [("i64", depth)], once, may_be_empty=True)[0]

    def one(k: str, values: Sequence[str]) -> list[str]:
        sums = place(values[0])
        start = w.integers_of("add", first, w.integers_of("mul", w.integers_of("add", "%from", k), size))
        end = w.smallest(last, w.integers_of("add", start, size))
        loss = _shard(w, parts, sums, start, end, count, wants)
        w.do(f"store double {loss}, ptr {w.at('double', sums, padded(parts.parameters))}, align 8")
        w.used.add("declare i64 @llvm.cttz.i64(i64, i1)")
        whole = w.put(f"call i64 @llvm.cttz.i64(i64 {w.integers_of('xor', k, -1)}, i1 false)")
        return [fold(w.integers_of("add", values[0], 1), whole)]

    (depth,) = w.loop(w.integers_of("sub", "%until", "%from"), [("i64", "0")], one)
    fold(depth, w.integers_of("sub", depth, 1))
    return ""


def _shard(w: Entry, parts: Parts, sums: str, start: str, end: str, count: str, wants: str) -> str:
    """The sum of a shard's losses, which are added from left to right; its gradient is added to the sums."""
    slots = parts.once.slots
    adjoints = w.load("ptr", "%desk", 1)
    w.when(wants, lambda: w.clear(adjoints, 8 * slots))
    if parts.widths:
        loss = _blocks(w, parts, sums, adjoints, start, end, count)
    else:
        shared, outputs = w.fields("shared", "outputs")
        for k in range(parts.outputs):
            value = w.load("double", shared, parts.once.outputs + k)
            w.do(f"store double {value}, ptr {w.at('double', outputs, k)}, align 8")
        loss = w.load("double", shared, parts.once.outputs)

    def backward() -> None:
        if not parts.widths:
            w.do(f"store double 1.0, ptr {w.at('double', adjoints, parts.once.outputs)}, align 8")
        arguments = shared_arguments(w, parts, "%desk", sums)
        w.do(f"call void @shared_sweep({arguments})")
        w.do(f"call void @shared_contribute({arguments})")

    w.when(wants, backward)
    return loss


def _blocks(w: Entry, parts: Parts, sums: str, adjoints: str, start: str, end: str, count: str) -> str:
    """Run a shard's blocks; the sum of its losses."""
    mode, whole, lanes, most, rows, inputs, block = w.fields(
        "mode", "whole", "lanes", "most", "rows", "inputs", "block"
    )
    params, shared, consts, tables, outputs = w.fields("params", "shared", "consts", "tables", "outputs")
    frames = w.load("ptr", "%desk")
    divisor = w.put(f"select i1 {w.is_so('eq', whole, 0)}, i64 {count}, i64 {whole}")
    share = w.strict("fdiv", "1.0", w.put(f"uitofp i64 {divisor} to double"))
    each = w.integers_of("mul", lanes, most)

    def block_of(first: str, last: str) -> None:
        groups = w.smallest(w.parts_of(w.integers_of("sub", last, first), lanes), most)
        w.do(
            f"call void {block}(ptr {frames}, i64 {groups}, i64 {first}, i64 {last}, ptr {rows}, ptr {inputs}, "
            f"ptr {params}, ptr {shared}, ptr {consts}, ptr {tables}, double {share}, ptr {sums}, "
            f"ptr {adjoints}, ptr {outputs}, i64 {mode})"
        )

    def run_block(done: str, _: Sequence[str]) -> list[str]:
        block_of(w.integers_of("add", start, w.integers_of("mul", done, each)), end)
        return []

    samples = w.integers_of("sub", end, start)
    if LENGTH not in parts.shapes:
        w.loop(w.parts_of(samples, each), [], run_block)
    else:  # the samples of a block have all the same length
        lengths = w.load("ptr", inputs, len(parts.shapes) - 1)

        def length(place: str) -> str:
            return w.load("double", lengths, w.load("i64", rows, place))

        def sample(done: str, begun: Sequence[str]) -> list[str]:
            place = w.integers_of("add", start, done)
            after = w.integers_of("add", place, 1)
            ends = w.when(
                w.is_so("ult", after, end),
                lambda: w.put(f"fcmp une double {length(place)}, {length(after)}"),
                "i1",
                "true",
            )
            full = w.is_so("eq", w.integers_of("sub", after, begun[0]), each)
            closes = w.put(f"or i1 {ends}, {full}")
            w.when(closes, lambda: block_of(begun[0], after))
            return [w.put(f"select i1 {closes}, i64 {after}, i64 {begun[0]}")]

        w.loop(samples, [("i64", start)], sample)
    losses = w.at("double", outputs, w.integers_of("mul", start, parts.outputs))

    def plus(k: str, totals: Sequence[str]) -> list[str]:
        place = w.integers_of("mul", w.integers_of("add", k, 1), parts.outputs)
        return [w.strict("fadd", totals[0], w.load("double", losses, place))]

    others = w.integers_of("sub", samples, 1)
    return w.loop(others, [("double", w.load("double", losses))], plus, may_be_empty=True)[0]


def _chunks(w: Entry, parts: Parts) -> str:
    """Take chunks of the published step for as long as there are any; the ticket that had none.

    `before`: the number of the last step before this call's first one.
    """
    chunk, meeting, arrivals, results, gradient = w.fields("chunk", "meeting", "arrivals", "results", "gradient")
    ticket = w.at("i64", meeting, TICKET)

    def result(k: str) -> str:
        """Where the sum of a chunk is kept."""
        place = w.at("double", results, w.integers_of("mul", w.integers_of("sub", k, 1), room(parts.parameters)))
        return w.put(f"select i1 {w.is_so('eq', k, 0)}, ptr {gradient}, ptr {place}")

    def take(_: Sequence[str]) -> tuple[str, list[str]]:
        found = w.put(f"load atomic i64, ptr {ticket} acquire, align 8")
        serial, number = w.integers_of("lshr", found, 20), w.integers_of("and", found, (1 << 20) - 1)
        step = w.integers_of("sub", w.integers_of("sub", serial, "%before"), 1)
        is_step = w.is_so("ne", number, (1 << 20) - 1)

        def there_is() -> str:
            shards = batch(w, parts, step).shards
            count = w.parts_of(shards, chunk)
            left = w.is_so("ult", number, count)
            w.when(left, lambda: try_it(found, serial, step, number, shards, count))
            return left

        return w.when(is_step, there_is, "i1", "false"), [found]

    def try_it(found: str, serial: str, step: str, number: str, shards: str, count: str) -> None:
        following = w.integers_of("add", found, 1)
        pair = w.put(f"cmpxchg ptr {ticket}, i64 {found}, i64 {following} acq_rel acquire, align 8")
        w.when(w.put(f"extractvalue {{ i64, i1 }} {pair}, 1"), lambda: do_it(serial, step, number, shards, count))

    def do_it(serial: str, step: str, number: str, shards: str, count: str) -> None:
        first = w.integers_of("mul", number, chunk)
        last = w.smallest(shards, w.integers_of("add", first, chunk))
        w.do(f"call void @shards(ptr %fields, ptr %desk, i64 {step}, i64 {first}, i64 {last}, ptr {result(number)})")
        w.again([("i64", number), ("i64", count), ("i64", "0")], lambda values: climb(serial, *values))

    def climb(serial: str, node: str, count: str, level: str) -> tuple[str, list[str]]:
        """Go up in the tree from a sum that is done, to where the neighbour's is not, or to the top."""
        top = w.is_so("eq", count, 1)
        finished = w.at("i64", meeting, FINISHED)
        w.when(top, lambda: w.do(f"store atomic i64 {serial}, ptr {finished} release, align 8"))
        sibling = w.integers_of("xor", node, 1)

        def second() -> str:
            """Whether the neighbour was there first, so that both arrivals of this step have been counted."""
            left = w.integers_of("and", node, -2)
            low = w.integers_of("shl", left, level)
            high = w.integers_of("shl", w.integers_of("add", left, 1), level)
            counter = w.at("i64", arrivals, high)
            seen = w.put(f"atomicrmw add ptr {counter}, i64 1 acq_rel, align 8")
            is_second = w.is_so("eq", w.integers_of("and", seen, 1), 1)
            w.when(is_second, lambda: _plus(w, parts, result(low), result(high)))
            return is_second

        goes_up = w.when(w.is_so("ult", sibling, count), second, "i1", "true")
        more = w.both(goes_up, w.put(f"xor i1 {top}, true"))
        halves = w.integers_of("lshr", w.integers_of("add", count, 1), 1)
        return more, [w.integers_of("lshr", node, 1), halves, w.integers_of("add", level, 1)]

    return w.again([("i64", "0")], take)[0]


def _help(w: Entry, parts: Parts) -> str:
    """What another thread calls: take chunks of each step of that call, until it is over.

    It goes home at once where the call is over, and soon where it does not begin. As it may come late, into a later call,
    a meeting's memory never moves, and nothing else is looked at before it is known that the call has begun.
    """
    desks, meeting = w.fields("desks", "meeting")
    desk = w.at("i64", desks, w.integers_of("mul", "%thread", 3))
    inside, ticket = w.at("i64", meeting, INSIDE), w.at("i64", meeting, TICKET)
    opened, closed = w.at("i64", meeting, OPENED), w.at("i64", meeting, CLOSED)
    w.put(f"atomicrmw add ptr {inside}, i64 1 seq_cst, align 8")

    def begin(values: Sequence[str]) -> tuple[str, list[str]]:
        open_now = w.is_so("uge", w.put(f"load atomic i64, ptr {opened} seq_cst, align 8"), "%call")
        over = w.is_so("uge", w.put(f"load atomic i64, ptr {closed} seq_cst, align 8"), "%call")
        begun = w.both(open_now, w.put(f"xor i1 {over}, true"))
        waits = w.put(f"xor i1 {w.put(f'or i1 {open_now}, {over}')}, true")
        waits = w.both(waits, w.is_so("ult", values[0], PATIENCE))
        w.when(waits, lambda: others(w))
        return waits, [w.integers_of("add", values[0], 1), begun]

    begun = w.again([("i64", "0"), ("i1", "false")], begin)[1]

    def steps() -> None:
        before = w.load("i64", meeting, OPENED + 1)

        def step(_: Sequence[str]) -> tuple[str, list[str]]:
            found = w.put(f"call i64 @chunks(ptr %fields, ptr {desk}, i64 {before})")
            goes_on = w.is_so("ne", found, OVER)
            w.when(goes_on, lambda: wait(w, ticket, found))
            return goes_on, []

        w.again([], step)

    w.when(begun, steps)
    w.put(f"atomicrmw sub ptr {inside}, i64 1 seq_cst, align 8")
    return "0"


def open_call(w: Entry) -> str:
    """Begin a call in which others may help; the number of the last step before its first."""
    (meeting,) = w.fields("meeting")
    before = w.load("i64", meeting, FINISHED)
    w.do(f"store i64 {before}, ptr {w.at('i64', meeting, OPENED + 1)}, align 8")
    (call,) = w.fields("call")
    nothing = w.integers_of("or", w.integers_of("shl", before, 20), (1 << 20) - 1)
    w.do(f"store atomic i64 {nothing}, ptr {w.at('i64', meeting, TICKET)} release, align 8")
    w.do(f"store atomic i64 {call}, ptr {w.at('i64', meeting, OPENED)} seq_cst, align 8")
    return before


def close_call(w: Entry) -> None:
    """End it: no helper is at work afterwards, and none that comes later finds any."""
    meeting, call = w.fields("meeting", "call")
    w.do(f"store atomic i64 {OVER}, ptr {w.at('i64', meeting, TICKET)} release, align 8")
    w.do(f"store atomic i64 {call}, ptr {w.at('i64', meeting, CLOSED)} seq_cst, align 8")
    wait(w, w.at("i64", meeting, INSIDE), "0", "ne")


def publish(w: Entry, step: str, before: str, desk: str) -> None:
    """Let everybody compute a step, and wait until it is done."""
    (meeting,) = w.fields("meeting")
    serial = w.integers_of("add", w.integers_of("add", before, step), 1)
    ticket, finished = w.at("i64", meeting, TICKET), w.at("i64", meeting, FINISHED)
    w.do(f"store atomic i64 {w.integers_of('shl', serial, 20)}, ptr {ticket} release, align 8")
    w.put(f"call i64 @chunks(ptr %fields, ptr {desk}, i64 {before})")
    wait(w, finished, serial, "ne")


__all__ = ["LEAST", "definitions", "operations", "room", "shard_size", "smallest_shard", "tree_sum"]
