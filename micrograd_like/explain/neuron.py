"""Why a bias acts differently from a weight: ∂L/∂wᵢ = Σ xᵢ·δ and ∂L/∂b = Σ δ, with a neuron's own numbers.

δ is the derivative of the loss with respect to what the neuron adds up before its activation, once for each time the
neuron was used (for each sample of a batch). A weight sees it through its input, a bias sees it bare.
"""

from __future__ import annotations

from dataclasses import dataclass

from micrograd_like import ops
from micrograd_like.drawing.figure import Plot
from micrograd_like.engine import Value
from micrograd_like.explain.canvas import BARS, named_bars
from micrograd_like.explain.replay import Backward, Replay, describe, local_derivatives, operation
from micrograd_like.explain.report import Report, Table, check_loss, name_of, show, signed
from micrograd_like.ieee import Number, added
from micrograd_like.nn import Neuron


@dataclass(frozen=True)
class Connection:
    """Hold a weight with its input, or the bias, whose input is 1.

    >>> import micrograd_like as mg
    >>> neuron = mg.Neuron(1, nonlin=False, rng=0)
    >>> neuron.load_state_dict({"w[0]": 2.0, "b": 1.0})
    >>> bias = explain_neuron((neuron([3.0]) - 5.0) ** 2, neuron).bias
    >>> bias.value, bias.inputs, bias.gradient, bias.without
    (1.0, (1,), 4.0, -3.0)

    Attributes:
        name: "w[0]", …, or "b"
        value: of the weight, or of the bias
        inputs: what it was multiplied by, for each use of the neuron; 1 for the bias
        gradient: Σ input · δ
        without: the change of the loss if it were 0
    """

    name: str
    value: Number
    inputs: tuple[Number, ...]
    gradient: Number
    without: Number


@dataclass(frozen=True, repr=False)
class NeuronReport(Report):
    """List a neuron's connections, the strongest first: by what the loss would lose or gain without them.

    >>> import micrograd_like as mg
    >>> neuron = mg.Neuron(1, nonlin=False, rng=0)
    >>> neuron.load_state_dict({"w[0]": 2.0, "b": 1.0})
    >>> report = explain_neuron((neuron([3.0]) - 5.0) ** 2, neuron)
    >>> report.deltas, [connection.name for connection in report.by_strength]
    ((4.0,), ['w[0]', 'b'])

    Attributes:
        name: the neuron's
        deltas: δ for each use of the neuron: ∂L/∂(the sum before its activation)
        weights: a `Connection` for each, in their order
        bias: its `Connection`
    """

    name: str
    deltas: tuple[Number, ...]
    weights: tuple[Connection, ...]
    bias: Connection

    @property
    def by_strength(self) -> list[Connection]:
        """Weights and bias, the one that the loss depends on most first."""
        return sorted([*self.weights, self.bias], key=lambda connection: -abs(connection.without))

    @property
    def title(self) -> str:
        strongest = self.by_strength[0]
        verb = "raise" if strongest.without > 0 else "lower" if strongest.without < 0 else "change"
        return (
            f"{self.name or 'The neuron'}: its bias feels Σδ = {signed(self.bias.gradient)}, a weight feels Σx·δ; "
            f"cutting {strongest.name} would {verb} the loss most, by {signed(strongest.without)}"
        )

    def _table(self, rows: int | None) -> Table:
        uses = len(self.deltas)
        body = [
            (
                c.name,
                show(c.value),
                "1" if c is self.bias else show(added(c.inputs) / max(uses, 1)),
                signed(c.gradient),
                signed(c.without),
            )
            for c in self.by_strength[:rows]
        ]
        notes = [f"The neuron was used {uses} times; δ adds up to {signed(self.bias.gradient)}."]
        if uses == 1:
            notes = [f"δ = {signed(self.deltas[0])}: the bias's gradient is δ, a weight's is its input times δ."]
        return Table(("connection", "value", "mean input", "gradient", "loss without it"), body, notes=notes)

    def plot(self) -> Plot:
        """The strongest connections, as bars: what the loss would change by without each."""
        found = self.by_strength[: 2 * BARS]
        called = {c.name: c.name.removeprefix(f"{self.name}.") for c in found}
        return named_bars(
            self.title, [(called[c.name], c.without) for c in found], "change of the loss without the connection"
        )


def explain_neuron(loss: Value, neuron: Neuron) -> NeuronReport:
    """Tell what a neuron's weights and bias feel of the loss, and which of its connections are strong.

    The neuron is one of this library, or anything with its attributes `w` (weights) and `b`; the sum may have been
    recorded as one node or as products that are added up. Costs a gradient through what depends on the neuron, and an
    evaluation of that for each connection.

    >>> neuron = Neuron(2, nonlin=False, rng=1)
    >>> report = explain_neuron(neuron([3.0, 5.0]) * 2.0, neuron)
    >>> report.deltas, [weight.gradient for weight in report.weights], report.bias.gradient
    ((2.0,), [6.0, 10.0], 2.0)

    Raises:
        TypeError: the loss is not a Value, or the neuron has no weights and bias.
        ValueError: the loss is not finite or does not depend on the neuron, a weight is not multiplied with an input, or
            the graph is out of date.
    """
    weights, bias = list(getattr(neuron, "w", ())), getattr(neuron, "b", None)
    if not weights or not all(isinstance(p, Value) for p in (*weights, bias)):
        raise TypeError(f"expected a neuron with weights w and a bias b, got {type(neuron).__name__}: {neuron!r:.60}")
    replay = Replay(check_loss(loss))
    missing = [name_of(p) for p in (*weights, bias) if p not in replay.slots]
    if missing:
        raise ValueError(f"no path: the loss does not depend on {', '.join(missing[:3])}")
    slots = [replay.slots[p] for p in (*weights, bias)]
    adjoints = Backward(replay, slots)(replay.base)
    deltas = tuple(_derivative(replay, user, slots[-1]) * adjoints[user] for user in replay.consumers[slots[-1]])
    found = []
    for slot, parameter in zip(slots, (*weights, bias), strict=True):
        inputs = [_input(replay, user, slot) for user in replay.consumers[slot]] if parameter is not bias else [1]
        without = replay.root_moved(slot, 0 * replay.base[slot]) - loss.data
        found.append(Connection(name_of(parameter), parameter.data, tuple(inputs), adjoints[slot], without))
    return NeuronReport(getattr(neuron, "name", ""), deltas, tuple(found[:-1]), found[-1])


def _derivative(replay: Replay, user: int, operand: int) -> Number:
    """∂(user)/∂(operand): for a neuron in one node, 0 where its ReLU is off."""
    return local_derivatives(replay, user)[replay.operands[user].index(operand)]


def _input(replay: Replay, user: int, weight: int) -> Number:
    """What a weight is multiplied with by the node that uses it."""
    operands = replay.operands[user]
    if operation(replay, user) is ops.mul:
        return replay.base[operands[1 - operands.index(weight)]]
    if operation(replay, user) in (ops.dot, ops.relu_dot):
        weights, _, inputs = ops.dot_operands(operands)
        partners, place = (inputs, weights) if weight in weights else (weights, inputs)
        return replay.base[partners[place.index(weight)]]
    raise ValueError(
        f"expected {describe(replay.nodes[weight])} as a weight, which is multiplied with an input; "
        f"it is used by {describe(replay.nodes[user])}"
    )
