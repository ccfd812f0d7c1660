"""A classifier of two inputs: what it says everywhere around its samples, and the boundary between its classes."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from math import isfinite
from typing import Any

from micrograd_like.checks import a_function, instance, listed, mapped, shown, texts, whole_number
from micrograd_like.drawing.figure import Plot, canvas, plain
from micrograd_like.drawing.style import NEGATIVE, NEUTRAL, PAGE_WIDTH, POSITIVE, SMALL


@dataclass(frozen=True)
class Regions:
    """Hold a classifier's scores on a grid over its two inputs, with the samples it is asked to tell apart.

    >>> from micrograd_like import Neuron
    >>> stage = regions(Neuron(2, nonlin=False, rng=0), [([0.0, 1.0], 1), ([1.0, 0.0], -1)], points=5)
    >>> len(stage.xs), len(stage.ys)
    (5, 5)

    Attributes:
        xs: the first input, at each column of the grid
        ys: the second input, at each row
        scores: what the model says, a row for each y; above 0 is the positive class
        samples: (x, y, whether it is of the positive class)
        right: how many of the samples it tells right
    """

    xs: tuple[float, ...]
    ys: tuple[float, ...]
    scores: tuple[tuple[float, ...], ...]
    samples: tuple[tuple[float, float, bool], ...]
    right: int = 0


def regions(
    model: Callable[[Sequence[float]], Any], samples: Iterable[tuple[Sequence[float], Any]], points: int = 41
) -> Regions:
    """Record what a classifier of two inputs says everywhere around its samples. Costs points² calls of the model.

    The model's parameters may change afterwards: this is how it was.

    >>> regions(lambda x: x[0] - x[1], [([0, 0], -1), ([2, 0], 1)], points=2).right
    2

    Args:
        model: gives one score for two inputs; a positive one means the positive class.
        samples: ([x, y], target) pairs, a target above 0 being the positive class.
        points: of the grid, in each direction.

    Raises:
        TypeError: the model is no function, or a number is none.
        ValueError: there are no samples, one has not two inputs, or points is below 2.
    """
    a_function("model", model)
    points = whole_number("points", points, at_least=2)
    found = [_sample(sample) for sample in listed("samples", samples, "pairs ([x, y], target)")]
    if not found:
        raise ValueError("expected at least one sample, each with two inputs")

    def score(x: float, y: float) -> float:
        return plain("what the model says", model([x, y]))

    xs, ys = (_grid([sample[axis] for sample in found], points) for axis in (0, 1))
    scores = tuple(tuple(score(x, y) for x in xs) for y in ys)
    right = sum((score(sample[0], sample[1]) > 0) is sample[2] for sample in found)
    return Regions(xs, ys, scores, tuple(found), right)


def _sample(sample: Any) -> tuple[float, float, bool]:
    try:
        inputs, target = sample
        x, y = inputs
    except (TypeError, ValueError):
        raise ValueError(
            f"expected samples as pairs ([x, y], target), each with two inputs, got {shown(sample)}"
        ) from None
    return plain("inputs", x), plain("inputs", y), plain("targets", target) > 0


def _grid(numbers: Sequence[float], points: int) -> tuple[float, ...]:
    low, high = min(numbers), max(numbers)
    margin = 0.1 * (high - low) or 1.0
    low, high = low - margin, high + margin
    return tuple(low + (high - low) * i / (points - 1) for i in range(points))


def plot_regions(stages: Mapping[str, Regions], title: str = "") -> Plot:
    """Draw the regions of a classifier at one stage or several, side by side, with the boundary between them.

    Green and dots are the positive class, purple and squares the other; a tint means that the classifier says so.

    >>> from micrograd_like import Neuron
    >>> model, samples = Neuron(2, nonlin=False, rng=0), [([0.0, 1.0], 1), ([1.0, 0.0], -1)]
    >>> plot = plot_regions({"before": regions(model, samples, points=9)}, title="Two points")
    >>> plot.title
    'Two points'

    Raises:
        ImportError: matplotlib is missing.
        TypeError: the stages are no mapping of names to what `regions` returned.
        ValueError: there is no stage, or a score is not finite.
    """
    texts(title=title)
    if not mapped("stages", stages, "names to what `regions` returned"):
        raise ValueError("expected at least one stage to plot")
    for name, stage in stages.items():
        instance("stages", stage, Regions, "what `regions` returned")
        if not all(isfinite(score) for row in stage.scores for score in row):
            raise ValueError(f"expected finite scores, got others at stage {name!r:.60}")
    last = list(stages.values())[-1]
    counted = f"{last.right} of {len(last.samples)} points on their side of the line"
    across = min(len(stages), 4)
    down = -(-len(stages) // across)
    tall = max((stage.ys[-1] - stage.ys[0]) / (stage.xs[-1] - stage.xs[0]) for stage in stages.values())
    tall = min(max(tall, 0.3), 1.5)
    size = down * (PAGE_WIDTH / across * tall + 44) + 24
    with canvas(size, down, across, title=title or f"{counted} at the end") as (figure, grid):
        places = iter(grid.flat)
        for axes, (name, stage) in zip(places, stages.items(), strict=False):  # the longer is the first
            infinite = float("inf")
            tints = [NEGATIVE, POSITIVE]
            axes.contourf(stage.xs, stage.ys, stage.scores, [-infinite, 0, infinite], colors=tints, alpha=0.22)
            if min(map(min, stage.scores)) < 0 < max(map(max, stage.scores)):
                axes.contour(stage.xs, stage.ys, stage.scores, [0], colors=[NEUTRAL], linewidths=2)
            for positive, colour, marker in ((True, POSITIVE, "o"), (False, NEGATIVE, "s")):
                chosen = [(x, y) for x, y, is_positive in stage.samples if is_positive is positive]
                if chosen:
                    axes.plot(*zip(*chosen, strict=True), marker, color=colour, markersize=5)
            axes.grid(False)
            axes.set(title=name, xticks=[], yticks=[], aspect="equal", anchor="NW")
            axes.set_xlabel(f"{stage.right} of {len(stage.samples)} right", loc="left")
        for axes in places:
            axes.remove()
        figure.supxlabel("● class above 0 · ■ the other · tint: what the network says there", fontsize=SMALL)
    return Plot(figure, "; ".join(f"{name}: {s.right} of {len(s.samples)} right" for name, s in stages.items()) + ".")
