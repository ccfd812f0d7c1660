"""What each parameter has done for the loss over a whole training, kept while `fit` runs."""

from __future__ import annotations

from collections import deque
from collections.abc import Mapping
from dataclasses import dataclass, replace

from micrograd_like.checks import instance
from micrograd_like.drawing.figure import Plot
from micrograd_like.explain.canvas import BARS, named_bars, short_names
from micrograd_like.explain.report import Report, Table, cell, check_count, check_positive, rest, signed
from micrograd_like.explain.step import StepReport, explain_move
from micrograd_like.ieee import Number, added
from micrograd_like.jobs import threads_for
from micrograd_like.training import Step


@dataclass(slots=True)
class ParameterTotal:
    """Say what one parameter did in all explained steps together. Changes are of the loss: below 0 is for the better.

    >>> import micrograd_like as mg
    >>> model, watch = mg.MLP(1, [1], rng=1), ExplainSteps()
    >>> optimizer = mg.SGD(model.parameters(), lr=0.1)
    >>> _ = mg.fit(model, [([1.0], 2.0)], mg.mse_loss, optimizer, epochs=6, correct=None, callbacks=[watch])
    >>> [(total.name, total.helped) for total in watch.by_share]
    [('layers[0].neurons[0].w[0]', 6), ('layers[0].neurons[0].b', 6)]

    Attributes:
        name: the parameter's
        share: its shares in the changes of the losses, added up
        predicted: what its gradients predicted, added up
        helped: in how many explained steps its share was below 0
        hurt: in how many it was above 0
    """

    name: str
    share: Number = 0
    predicted: Number = 0
    helped: int = 0
    hurt: int = 0


class ExplainSteps(Report):
    """Explain every so many steps of `fit`, as a callback, with the move that the optimizer makes.

    A step is explained for the loss of its own mini-batch. Memory stays bounded: a few sums for each parameter, and the
    reports of the last steps that were explained. Costs an `explain_move` for each of those steps.

    >>> import micrograd_like as mg
    >>> model, watch = mg.MLP(1, [1], rng=1), ExplainSteps(every=2)
    >>> optimizer = mg.SGD(model.parameters(), lr=0.1)
    >>> _ = mg.fit(model, [([1.0], 2.0)], mg.mse_loss, optimizer, epochs=6, correct=None, callbacks=[watch])
    >>> watch.explained, watch.change < 0
    (3, True)

    Args:
        every: explain one step in so many, beginning with the first.
        keep: how many of the last reports to keep, in `reports`.
        tolerance: of the shares, as for `explain_step`.
        budget: of the shares, as for `explain_step`.
        n_jobs: how many processes, as for `explain_step`.

    Raises:
        ValueError: a number is out of its range.
    """

    def __init__(
        self,
        every: int = 1,
        keep: int = 1,
        tolerance: float = 1e-6,
        budget: int | None = None,
        n_jobs: int | None = None,
    ) -> None:
        self.every = check_count("every", every)
        self.reports: deque[StepReport] = deque(maxlen=check_count("keep", keep, at_least=0))
        self.tolerance = check_positive("tolerance", tolerance)
        self.budget = None if budget is None else check_count("budget", budget)
        threads_for(n_jobs)  # what is none is told at once
        self.n_jobs = n_jobs
        self.explained = 0  # steps
        self.change: Number = 0  # of the mini-batches' losses in the explained steps, added up
        self.predicted: Number = 0
        self._totals: dict[str, ParameterTotal] = {}

    def __call__(self, step: Step) -> None:
        """Explain the step that is about to be made, if it is its turn. Raises TypeError for what is no step of `fit`."""
        instance("step", step, Step, "a step of `fit`")
        if step.number % self.every:
            return
        names = {parameter: name for name, parameter in step.model.named_parameters()}
        parameters = {names.get(p, p.label or f"parameter {i}"): p for i, p in enumerate(step.optimizer.parameters)}
        moves = dict(zip(parameters, step.optimizer.moves(), strict=True))
        report = explain_move(
            step.loss,
            parameters,
            moves,
            tolerance=self.tolerance,
            budget=self.budget,
            progress=False,
            n_jobs=self.n_jobs,
        )
        self.reports.append(replace(report, loss=None))  # what it was recorded with is not kept
        self.explained += 1
        self.change += report.change
        self.predicted += report.predicted
        for entry in report.parameters:
            total = self._totals.setdefault(entry.name, ParameterTotal(entry.name))
            total.share += entry.share
            total.predicted += entry.predicted
            total.helped += entry.share < 0
            total.hurt += entry.share > 0

    @property
    def parameters(self) -> tuple[ParameterTotal, ...]:
        """Every parameter's sums, in the optimizer's order."""
        return tuple(self._totals.values())

    @property
    def by_share(self) -> list[ParameterTotal]:
        """The parameters, the largest cumulated share first, whether it helped or hurt."""
        return sorted(self._totals.values(), key=lambda total: -abs(total.share))

    @property
    def title(self) -> str:
        return self._title({})

    def _title(self, called: Mapping[str, str]) -> str:
        if not self.explained:
            return "No step has been explained yet"
        best = min(self._totals.values(), key=lambda total: total.share)
        steps = "1 explained step" if self.explained == 1 else f"{self.explained:,} explained steps"
        verb = "changed their batches' losses by" if self.explained > 1 else "changed its batch's loss by"
        return (
            f"{steps} {verb} {signed(self.change)} in all, where the gradients predicted {signed(self.predicted)}; "
            f"{called.get(best.name, best.name)} did most for it, {signed(best.share)}"
        )

    def _table(self, rows: int | None) -> Table:
        body = [
            (total.name, cell(total.predicted), cell(total.share), str(total.helped), str(total.hurt))
            for total in self.by_share[:rows]
        ]
        shares = added(total.share for total in self._totals.values())
        body.append(("all", cell(self.predicted), cell(shares), "", ""))
        columns = ("parameter", "predicted", "share", "steps it helped", "steps it hurt")
        return Table(columns, body, notes=rest(len(self._totals), rows, "parameters"))

    def plot(self) -> Plot:
        """The parameters that did most, for better or worse, as bars."""
        called = short_names(self._totals)
        found = [(called[total.name], total.share) for total in self.by_share[:BARS]]
        return named_bars(self._title(called), found, "share in the changes of the loss, all explained steps added up")
