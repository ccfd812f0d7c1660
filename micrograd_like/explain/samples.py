"""Who pulls which way: a parameter's gradient, split over the training samples."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from micrograd_like import graph
from micrograd_like.checks import listed
from micrograd_like.drawing.figure import Plot
from micrograd_like.engine import Value
from micrograd_like.explain.canvas import BARS, named_bars
from micrograd_like.explain.replay import Backward, Replay
from micrograd_like.explain.report import Report, Table, check_loss, find, name_of, rest, show, signed
from micrograd_like.ieee import Number, added
from micrograd_like.jobs import Crew


@dataclass(frozen=True)
class SampleShare:
    """Say how large one sample's loss is, and how it pulls on the parameter.

    >>> from micrograd_like import Value
    >>> w = Value(2.0, label="w")
    >>> [(pull.loss, pull.gradient) for pull in sample_shares([(w - 1.0) ** 2, (w - 5.0) ** 2], w).samples]
    [(1.0, 2.0), (9.0, -6.0)]

    Attributes:
        name: the sample's
        loss: its loss
        gradient: of this sample's loss; a positive one pulls the parameter down
    """

    name: str
    loss: Number
    gradient: Number


@dataclass(frozen=True, repr=False)
class SampleShares(Report):
    """Split the gradient of a sum of losses over the samples; `samples` are in the order given.

    >>> from micrograd_like import Value
    >>> w = Value(2.0, label="w")
    >>> shares = sample_shares([(w - 1.0) ** 2, (w - 5.0) ** 2], w)
    >>> shares.gradient, shares.mean
    (-4.0, -2.0)

    Attributes:
        parameter: the parameter's name
        samples: a `SampleShare` for each, in the order given
    """

    parameter: str
    samples: tuple[SampleShare, ...]

    @property
    def gradient(self) -> Number:
        """The gradient of the sum of the losses."""
        return added(sample.gradient for sample in self.samples)

    @property
    def mean(self) -> Number:
        """The gradient of the mean of the losses."""
        return self.gradient / len(self.samples)

    @property
    def by_size(self) -> list[SampleShare]:
        """The samples, the strongest pull first."""
        return sorted(self.samples, key=lambda sample: -abs(sample.gradient))

    @property
    def title(self) -> str:
        if not any(sample.gradient for sample in self.samples):
            return f"No sample pulls {self.parameter}: its gradient is 0 in each of {len(self.samples)}"
        up = sum(sample.gradient < 0 for sample in self.samples)
        down = sum(sample.gradient > 0 for sample in self.samples)
        return (
            f"{up} of {len(self.samples)} samples pull {self.parameter} up and {down} pull it down; "
            f"the mean gradient is {signed(self.mean)}"
        )

    def _table(self, rows: int | None) -> Table:
        body = [
            (s.name, show(s.loss), signed(s.gradient), "up" if s.gradient < 0 else "down" if s.gradient > 0 else "–")
            for s in self.by_size[:rows]
        ]
        body.append(("sum", show(added(s.loss for s in self.samples)), signed(self.gradient), ""))
        return Table(("sample", "loss", "gradient", "pulls"), body, notes=rest(len(self.samples), rows, "samples"))

    def plot(self) -> Plot:
        """The samples that pull hardest, as bars."""
        found = self.by_size[: 2 * BARS]
        pulls = "gradient of the sample's loss: orange pulls the parameter down, blue pulls it up"
        return named_bars(self.title, [(sample.name, sample.gradient) for sample in found], pulls)


def sample_shares(
    losses: Iterable[Value],
    parameter: Value | str,
    names: Sequence[str] | None = None,
    n_jobs: int | None = None,
) -> SampleShares:
    """Split a parameter's gradient over the samples: how each sample's loss pulls on it.

    `names` are the samples' names, their numbers by default. Costs a walk over each sample's graph and, through what
    depends on the parameter, a gradient. `n_jobs` processes share the samples, as in `explain_step`.

    >>> w = Value(1.0, label="w")
    >>> shares = sample_shares([(w - target) ** 2 for target in (0.0, 3.0)], w)
    >>> [sample.gradient for sample in shares.samples], shares.mean
    ([2.0, -4.0], -1.0)

    Raises:
        TypeError: a loss is not a Value, or the parameter neither a Value nor a label.
        ValueError: there are no losses, or another number of names; a loss is not finite or its graph out of date; no
            single node has that label; or the Value was computed in another graph.
    """
    losses = [check_loss(loss) for loss in listed("losses", losses, "one Value for each sample")]
    if not losses:
        raise ValueError("expected at least one sample's loss, got none")
    names = (
        [f"sample {i}" for i in range(len(losses))]
        if names is None
        else listed("names", names, "one text for each sample")
    )
    if len(names) != len(losses):
        raise ValueError(f"expected as many names as losses, got {len(names)} and {len(losses)}")
    node = find(dict.fromkeys(graph.nodes(*losses)), parameter)

    def pull(i: int) -> Number:
        replay = Replay(losses[i])
        slot = replay.slots.get(node)
        return 0 if slot is None else Backward(replay, [slot])(replay.base)[slot]

    floats = all(type(loss.data) is float for loss in losses)
    with Crew(pull, n_jobs if floats else 1) as crew:
        pulls = crew.map(range(len(losses)))
    samples = zip(names, losses, pulls, strict=True)
    return SampleShares(name_of(node), tuple(SampleShare(name, loss.data, g) for name, loss, g in samples))
