"""The reports as pictures, by matplotlib in the house style: blue lowers the loss, red raises it."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from math import isfinite
from typing import TYPE_CHECKING, Any

from micrograd_like._extras import require
from micrograd_like.drawing.plots import SIGNED, Pictures, Plot, house_style, plot_pictures
from micrograd_like.drawing.style import LOWERS, NEUTRAL, RAISES
from micrograd_like.drawing.text import elided, visible
from micrograd_like.explain.report import Parameters, named, show, signed
from micrograd_like.explain.slices import loss_slice
from micrograd_like.ieee import as_float

if TYPE_CHECKING:
    from micrograd_like.engine import Value
    from micrograd_like.explain.direction import ProbeReport, Sweep
    from micrograd_like.explain.neuron import NeuronReport
    from micrograd_like.explain.paths import Paths
    from micrograd_like.explain.samples import SampleShares
    from micrograd_like.explain.slices import Contour, Slice
    from micrograd_like.explain.step import StepReport
    from micrograd_like.explain.training import ExplainSteps
    from micrograd_like.explain.what_if import WhatIf

BARS = 14  # the most bars with a name; the rest are added up in one


@contextmanager
def canvas(size: tuple[float, float], rows: int = 1, columns: int = 1) -> Iterator[tuple[Any, Any]]:
    """A figure in the house style and its grid of axes, within which texts are taken literally."""
    with house_style() as matplotlib, matplotlib.rc_context({"text.parse_math": False}):
        require("matplotlib.figure", extra="plots")
        figure = matplotlib.figure.Figure(figsize=size, layout="constrained")
        yield figure, figure.subplots(rows, columns, squeeze=False)


def text(label: str, length: int = 64) -> str:
    """A label as a picture shows it: on one line, without what cannot be printed."""
    return elided(visible(label).replace("\n", " "), length)


def headline(figure: Any, sentence: str) -> None:
    """A sentence above a figure, on as many lines as it needs."""
    figure.suptitle(_wrapped(sentence, int(13 * figure.get_figwidth())), x=0.01, ha="left", fontsize=9.5)


def _wrapped(sentence: str, width: int) -> str:
    lines = [""]
    for word in visible(sentence).split():
        if lines[-1] and len(lines[-1]) + 1 + len(word) > width:
            lines.append(word)
        else:
            lines[-1] = f"{lines[-1]} {word}".strip()
    return "\n".join(lines)


def colour(change: Any) -> str:
    """Blue for what lowers the loss, red for what raises it."""
    return LOWERS if change < 0 else RAISES if change > 0 else NEUTRAL


def bars(axes: Any, names: Sequence[str], values: Sequence[Any], **style: Any) -> None:
    """Horizontal bars from 0, the first on top, each with its number; coloured by their sign."""
    numbers = [as_float(x) for x in values]
    places = range(len(numbers))
    axes.barh(places, numbers, color=[colour(x) for x in numbers], height=0.7, **style)
    axes.set_yticks(places, [text(name) for name in names])
    axes.set_ylim(max(len(numbers), 1) - 0.5, -0.5)
    axes.axvline(0, color=NEUTRAL, linewidth=0.8)
    axes.margins(x=0.18)
    axes.grid(False, axis="y")
    for place, x in zip(places, numbers, strict=True):
        axes.annotate(
            signed(x),
            (x, place),
            xytext=(-3 if x < 0 else 3, 0),
            textcoords="offset points",
            ha="right" if x < 0 else "left",
            va="center",
            fontsize=7.5,
        )


def waterfall(report: StepReport, count: int = BARS) -> Plot:
    """From the old loss to the new one: a bar for each of the largest shares, one for the others together.

    What a parameter would have done alone ends where its hatching begins: the hatched part is its interaction.
    """
    first = report.by_share[:count]
    others = report.by_share[count:]
    rows = [(entry.name, as_float(entry.share), as_float(entry.alone)) for entry in first]
    if others:
        name = f"{len(others)} others"
        rows.append((name, as_float(sum(e.share for e in others)), as_float(sum(e.alone for e in others))))
    with canvas((8.0, 1.9 + 0.27 * len(rows))) as (figure, grid):
        axes = grid[0, 0]
        level = as_float(report.before)
        for place, (_, share, alone) in enumerate(rows, 1):
            axes.barh(place, share, left=level, color=colour(share), height=0.64)
            axes.barh(
                place,
                share - alone,
                left=level + alone,
                height=0.64,
                fill=False,
                edgecolor=NEUTRAL,
                hatch="/////",
                linewidth=0.6,
                label="interaction: from its change alone to its share" if place == 1 else None,
            )
            right = max(level, level + share, level + alone)
            axes.annotate(
                signed(share),
                (right, place),
                xytext=(4, 0),
                textcoords="offset points",
                va="center",
                fontsize=7.5,
            )
            axes.plot([level + share] * 2, [place, place + 1], color=NEUTRAL, linewidth=0.8)
            level += share
        last = len(rows) + 1
        for place, loss in ((0, as_float(report.before)), (last, as_float(report.after))):
            axes.plot([loss] * 2, [place - 0.4, place + 0.4], color=NEUTRAL, linewidth=2.5)
            axes.annotate(show(loss), (loss, place), xytext=(5, 0), textcoords="offset points", va="center")
        axes.set_yticks(range(last + 1), ["loss before", *[text(name) for name, _, _ in rows], "loss after"])
        axes.set_ylim(last + 0.6, -0.6)
        axes.use_sticky_edges = False
        axes.margins(x=0.14)
        axes.grid(False, axis="y")
        axes.set_xlabel("loss")
        headline(figure, f"{report.title}. {report.lesson}")
        figure.legend(loc="outside lower right")
    return Plot(figure)


def _draw_slice(axes: Any, curve: Slice, legend: bool = True) -> None:
    xs, ys = zip(*[(as_float(x), as_float(y)) for x, y in curve.points], strict=True)
    value, loss = as_float(curve.value), as_float(curve.loss)
    tangent, parabola = ([as_float(f(x)) for x, _ in curve.points] for f in (curve.tangent, curve.parabola))
    axes.plot(xs, tangent, color=NEUTRAL, linewidth=1, linestyle="--", label="tangent: what the gradient sees")
    axes.plot(xs, parabola, color=NEUTRAL, linewidth=1, linestyle=":", label="parabola: with the curvature")
    axes.plot(xs, ys, color=LOWERS, linewidth=1.8, label="the loss")
    finite = [y for y in ys if isfinite(y)]
    marks = [loss]
    if curve.kinks:
        corners = [as_float(kink) for kink in curve.kinks]
        at = dict(zip(xs, ys, strict=True))
        axes.plot(
            corners, [at[x] for x in corners], "|", color=NEUTRAL, markersize=9, label="kinks: something switches"
        )
    axes.plot([value], [loss], "o", color=NEUTRAL, label="now")
    if curve.lr is not None and curve.step:
        there = as_float(curve.value + curve.step)
        promised, true = as_float(curve.loss + curve.predicted), as_float(curve.loss + curve.alone)
        axes.plot([there, there], [promised, true], color=NEUTRAL, linewidth=1)
        axes.plot([there], [promised], "D", color=NEUTRAL, fillstyle="none", label="the step as promised")
        axes.plot([there], [true], "D", color=colour(curve.alone), label="the step in truth")
        marks += [promised, true]
    low, high = min(finite + marks), max(finite + marks)
    pad = 0.08 * (high - low) or 1.0
    axes.set_ylim(low - pad, high + pad)
    axes.set_xlim(xs[0], xs[-1])
    if legend:
        axes.legend(fontsize=7.5)


def slice_plot(curve: Slice) -> Plot:
    """The loss over one parameter, with tangent, parabola, kinks and the step at its promised and its true height."""
    with canvas((6.4, 4.0)) as (figure, grid):
        _draw_slice(grid[0, 0], curve)
        grid[0, 0].set(xlabel=text(curve.name), ylabel="loss")
        headline(figure, curve.title)
    return Plot(figure)


def small_multiples(loss: Value, parameters: Parameters, lr: Any, *, span: Any = None, count: int = 12) -> Plot:
    """A slice of the loss for each of the parameters that a step would change it most through, largest effect first.

    `span` is how far a slice reaches to each side of the parameter's value; by default half as far again as its step.

    Raises:
        ImportError: matplotlib is missing.
        TypeError, ValueError: as `loss_slice`, or none of the parameters moves.
    """
    slices = []
    for parameter in named(parameters).values():
        probe = loss_slice(loss, parameter, 1, lr, points=3)
        if probe.step:
            slices.append((probe, parameter))
    if not slices:
        raise ValueError("expected a parameter that the step moves: the gradient of each is 0")
    slices.sort(key=lambda pair: -abs(pair[0].alone))
    curves = [
        loss_slice(loss, parameter, span if span is not None else abs(probe.step) * 3 / 2, lr)
        for probe, parameter in slices[:count]
    ]
    columns = min(4, len(curves))
    rows = -(-len(curves) // columns)
    with canvas((2.6 * columns + 0.4, 2.0 * rows + 1.1), rows, columns) as (figure, grid):
        for axes, curve in zip(grid.flat, curves, strict=False):
            _draw_slice(axes, curve, legend=False)
            axes.set_title(
                f"{text(curve.name, 30)}\npromised {signed(curve.predicted)}, true {signed(curve.alone)}", fontsize=8
            )
            axes.tick_params(labelsize=7)
        for axes in list(grid.flat)[len(curves) :]:
            axes.set_axis_off()
        handles, labels = grid[0, 0].get_legend_handles_labels()
        figure.legend(handles, labels, loc="outside lower center", ncols=3, fontsize=8)
        hurt = sum(curve.alone > 0 for curve in curves)
        title = f"With learning rate {show(lr)}, {hurt or 'none'} of these {len(curves)} parameters would raise the loss alone"
        headline(figure, title)
    return Plot(figure)


def contour(square: Contour) -> Plot:
    """The loss over two parameters as a map, with the path of gradient descent."""
    with canvas((6.0, 4.6)) as (figure, grid):
        axes = grid[0, 0]
        xs, ys = ([as_float(x) for x in side] for side in (square.xs, square.ys))
        losses = [[as_float(z) for z in row] for row in square.losses]
        flat = min(map(min, losses)) == max(map(max, losses))
        if not flat:
            filled = axes.contourf(xs, ys, losses, levels=14, cmap="cividis", alpha=0.85)
            figure.colorbar(filled, ax=axes, label="loss")
        path = [(as_float(x), as_float(y)) for x, y, _ in square.path]
        line = {"color": "white", "markeredgecolor": "black", "markeredgewidth": 0.6}
        axes.plot(*zip(*path, strict=True), marker="o", markersize=4, linewidth=1.2, clip_on=True, **line)
        axes.plot(*path[0], marker="*", markersize=13, linestyle="none", **line)
        axes.set_xlim(xs[0], xs[-1])
        axes.set_ylim(ys[0], ys[-1])
        axes.grid(False)
        axes.set(xlabel=text(square.names[0]), ylabel=text(square.names[1]))
        headline(figure, square.title)
    return Plot(figure)


def _named_bars(title: str, names: Sequence[str], values: Sequence[Any], xlabel: str) -> Plot:
    with canvas((7.4, 1.3 + 0.26 * max(len(names), 1))) as (figure, grid):
        bars(grid[0, 0], names, values)
        grid[0, 0].set_xlabel(xlabel)
        headline(figure, title)
    return Plot(figure)


def path_bars(why: Paths, count: int = BARS) -> Plot:
    """The largest paths' products as bars."""
    found = why.largest(count)
    return _named_bars(why.title, [path.through for path in found], [path.product for path in found], "product")


def node_changes(answer: WhatIf, count: int = BARS) -> Plot:
    """The nodes that change most, as bars."""
    found = sorted(answer.changed, key=lambda c: -abs(as_float(c.after - c.before)))[:count]
    return _named_bars(answer.title, [c.name for c in found], [c.after - c.before for c in found], "change of the node")


def sample_bars(answer: SampleShares, count: int = 2 * BARS) -> Plot:
    """The samples that pull hardest, as bars."""
    found = answer.by_size[:count]
    return _named_bars(
        answer.title,
        [sample.name for sample in found],
        [sample.gradient for sample in found],
        "gradient: red pulls down, blue pulls up",
    )


def connections(report: NeuronReport, count: int = 2 * BARS) -> Plot:
    """A neuron's strongest connections, as bars: what the loss would change by without them."""
    found = report.by_strength[:count]
    return _named_bars(
        report.title, [c.name for c in found], [c.without for c in found], "change of the loss without it"
    )


def probes(report: ProbeReport, count: int = BARS) -> Plot:
    """What p+ε and p−ε do to the loss, for the parameters of the largest gradients."""
    found = sorted(report.probes, key=lambda p: -abs(p.gradient))[:count]
    with canvas((7.4, 1.5 + 0.3 * len(found))) as (figure, grid):
        axes = grid[0, 0]
        for shift, attribute, hatch, label in ((-0.19, "up", "", "p + ε"), (0.19, "down", "////", "p − ε")):
            changes = [as_float(getattr(probe, attribute)) for probe in found]
            places = [i + shift for i in range(len(found))]
            axes.barh(
                places,
                changes,
                height=0.36,
                facecolor="none" if hatch else NEUTRAL,
                edgecolor=NEUTRAL,
                hatch=hatch,
                label=label,
            )
        for i, probe in enumerate(found):
            arrow = {1: "gradient says up", -1: "gradient says down", 0: "gradient says neither"}[probe.downhill]
            axes.annotate(arrow, (1.0, i), xycoords=("axes fraction", "data"), va="center", ha="right", fontsize=7)
        axes.set_yticks(range(len(found)), [text(probe.name) for probe in found])
        axes.set_ylim(len(found) - 0.5, -0.5)
        axes.margins(x=0.25)
        axes.axvline(0, color=NEUTRAL, linewidth=0.8)
        axes.grid(False, axis="y")
        axes.set_xlabel("change of the loss")
        headline(figure, report.title)
        figure.legend(loc="outside lower right", ncols=2)
    return Plot(figure)


def sweep(report: Sweep) -> Plot:
    """The change of the loss over the learning rate, with the promise, the largest helpful rate and 2/curvature."""
    with canvas((6.8, 4.0)) as (figure, grid):
        axes = grid[0, 0]
        rates = [as_float(rate.lr) for rate in report.rates]
        changes = [as_float(rate.change) for rate in report.rates]
        shown = [x for x in changes if isfinite(x)]
        low = min([*shown, 0.0])
        axes.plot(rates, changes, color=NEUTRAL, linewidth=1)
        for verdict, tint, marker in (
            ("helps", LOWERS, "o"),
            ("overshoots", LOWERS, "s"),
            ("hurts", RAISES, "X"),
            ("stays", NEUTRAL, "o"),
        ):
            points = [(x, y) for x, y, r in zip(rates, changes, report.rates, strict=True) if r.verdict == verdict]
            if points:
                axes.plot(*zip(*points, strict=True), marker, color=tint, linestyle="none", label=verdict)
        promise = [as_float(rate.predicted) for rate in report.rates]
        axes.plot(rates, promise, color=NEUTRAL, linestyle="--", linewidth=1, label="what the gradient promised")
        for x, style, label in ((report.largest, "-", "largest that helps"), (report.theory, ":", "2/curvature")):
            if x:
                axes.axvline(as_float(x), color=NEUTRAL, linestyle=style, linewidth=1.2, label=f"{label}: {show(x)}")
        axes.axhline(0, color=NEUTRAL, linewidth=0.8)
        axes.set_xscale("log", base=2)
        axes.set_ylim(1.6 * low or -1.0, max(-1.2 * low, 1e-12) or 1.0)
        axes.set(xlabel="learning rate", ylabel="change of the loss")
        headline(figure, report.title)
        axes.legend(fontsize=7.5)
    return Plot(figure)


def weight_pictures(report: StepReport | ExplainSteps, layer: Any, shape: tuple[int, int] = (8, 8)) -> Plot:
    """Every neuron's weights as two pictures: what each really did to the loss in the step, and what was promised.

    Args:
        report: an explained step of a model that holds the layer, or many steps' sums.
        layer: its parameters' labels are their names in the report.
        shape: (height, width) of the picture that the neurons look at.

    Raises:
        ImportError: matplotlib is missing.
        KeyError: the report does not have one of the layer's weights.
        ValueError: a neuron has not as many weights as the shape has pixels.
    """
    entries = {entry.name: entry for entry in report.parameters}
    found = [[entries[w.label] for w in neuron.w] for neuron in layer.neurons]
    kinds = [
        Pictures("share", [[as_float(e.share) for e in row] for row in found],
                 "what the weight did to the loss in the step: blue lowered it, red raised it", SIGNED),
        Pictures("promised", [[as_float(e.predicted) for e in row] for row in found],
                 "what its gradient promised: gradient · step", SIGNED),
    ]  # fmt: skip
    return plot_pictures([f"neurons[{i}]" for i in range(len(found))], kinds, shape)


def total_shares(watch: ExplainSteps, count: int = 2 * BARS) -> Plot:
    """The parameters that did most, for better or worse, over the explained steps of a training."""
    found = watch.by_share[:count]
    return _named_bars(watch.title, [t.name for t in found], [t.share for t in found], "cumulated share in the loss")
