"""Why does too large a step bounce? No weight hurts on its own, and yet together they do: one step, three learning rates."""

from __future__ import annotations

import argparse
from pathlib import Path

import micrograd_like as mg
from micrograd_like.drawing.figure import Plot, canvas
from micrograd_like.drawing.style import LOWERS, NEUTRAL, RAISES
from micrograd_like.explain import StepReport, explain_step, step_sweep

# Eight points of the plane and the side that each is on: a curve that no straight line follows.
POINTS = [(-0.9, 0.4), (-0.6, -0.7), (-0.3, 0.8), (-0.1, -0.2), (0.2, 0.5), (0.4, -0.9), (0.7, 0.1), (0.9, 0.9)]
SIDES = [1.0, -1.0, 1.0, -1.0, -1.0, 1.0, 1.0, -1.0]


def main() -> None:
    parser = argparse.ArgumentParser(prog="why_steps_bounce", description=__doc__)
    parser.add_argument(
        "--rates", type=float, nargs="+", default=[0.05, 0.5, 2.0], help="the learning rates to compare"
    )
    parser.add_argument("--seed", type=int, default=55, help="of the first weights")
    parser.add_argument("--out", type=Path, default=Path("out/why_steps_bounce.svg"), help="where the page goes")
    options = parser.parse_args()

    model = mg.MLP(2, [4, 4, 1], activation="tanh", rng=options.seed)
    loss = mg.mse_loss([mg.tanh(model(point)) for point in POINTS], SIDES)
    reports = [explain_step(loss, model, lr) for lr in options.rates]
    for report in reports:
        print(report.text(rows=5), end="\n\n\n")
    print(step_sweep(loss, model).text(rows=None))

    options.out.parent.mkdir(parents=True, exist_ok=True)
    page(reports).savefig(options.out)
    print(f"\nThe same on one page: {options.out}")


def page(reports: list[StepReport]) -> Plot:
    """Above, what the slopes say and what came of it; below, every parameter alone and in the whole step."""
    last = reports[-1]
    hurt = sum(entry.share > 0 for entry in last.parameters)
    alone = sum(entry.alone > 0 for entry in last.parameters)
    title = (
        f"With learning rate {last.lr:g} {hurt} of {len(last.parameters)} parameters hurt in the whole step, though "
        f"{f'only {alone}' if alone else 'none'} would alone: each corrects the same error, and together they go past it"
    )
    with canvas(720, 2, len(reports), title=title) as (figure, grid):
        for (above, below), report in zip(zip(*grid, strict=True), reports, strict=True):
            totals(above, report)
            every_parameter(below, report)
        grid[0, 0].set_ylabel("change of the loss")
        grid[1, 0].set_ylabel("change of the loss, by parameter")
        handles, labels = grid[1, 0].get_legend_handles_labels()
        figure.legend(handles, labels, loc="outside lower center", ncols=len(labels))
    return Plot(figure)


def totals(axes, report: StepReport) -> None:
    names = ["by the\nslopes", "alone,\nadded up", "inter-\naction", "what\nhappened"]
    heights = [report.predicted, report.alone, report.interaction, report.change]
    starts = [0, 0, report.alone, 0]
    colours = [NEUTRAL, LOWERS if report.alone < 0 else RAISES, "none", LOWERS if report.change < 0 else RAISES]
    for i, (height, start, colour) in enumerate(zip(heights, starts, colours, strict=True)):
        style = {"edgecolor": NEUTRAL, "hatch": "/////", "facecolor": "none"} if colour == "none" else {"color": colour}
        axes.bar(i, height, bottom=start, width=0.7, **style)
        tip = min(start, start + height)
        axes.annotate(f"{height:+.3g}", (i, tip), xytext=(0, -15), textcoords="offset points", ha="center", fontsize=12)
    axes.axhline(0, color=NEUTRAL, linewidth=0.8)
    axes.set_xticks(range(4), names, fontsize=12)
    axes.margins(y=0.15)
    axes.grid(False, axis="x")
    axes.set_title(f"learning rate {report.lr:g}: the loss goes\nfrom {report.before:.3g} to {report.after:.3g}")


def every_parameter(axes, report: StepReport) -> None:
    ranked = sorted(report.parameters, key=lambda entry: entry.share)
    places = range(len(ranked))
    shares = [entry.share for entry in ranked]
    axes.bar(places, shares, color=[LOWERS if x < 0 else RAISES for x in shares], label="share in what happened")
    axes.plot(places, [entry.alone for entry in ranked], "o", color=NEUTRAL, markersize=5, label="alone")
    by_slopes = [entry.predicted for entry in ranked]
    axes.plot(places, by_slopes, "_", color=NEUTRAL, markersize=7, label="by the slope")
    axes.axhline(0, color=NEUTRAL, linewidth=0.8)
    axes.set_xticks([])
    axes.grid(False, axis="x")
    axes.set_xlabel(f"the {len(ranked)} parameters, by their share")
    hurt, alone = (sum(x > 0 for x in values) for values in (shares, [entry.alone for entry in ranked]))
    axes.set_title(f"{alone or 'none'} would hurt alone, {hurt or 'none'} hurt together")


if __name__ == "__main__":
    main()
