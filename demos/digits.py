"""Which digit is it? Train on real handwriting, meet the digit that the network gets most wrong, and see why."""

from __future__ import annotations

import argparse
import html
import random
import time
from pathlib import Path

import micrograd_like as mg
from micrograd_like.data import load_digits
from micrograd_like.drawing import plot_lines, plot_weights
from micrograd_like.drawing.show import to_svg
from micrograd_like.explain import StepReport, explain_step

WIDTH = 8  # of a picture, in pixels, and its height


def main() -> None:
    options = arguments()
    out = options.out
    out.mkdir(parents=True, exist_ok=True)
    print(f"All of it will be on one page: {out / 'index.html'}\n")
    begin = time.perf_counter()

    train, held_out = (
        [(x, options.classes.index(digit)) for x, digit in part] for part in load_digits(options.classes)
    )
    model = mg.MLP(WIDTH**2, [16, len(options.classes)], rng=options.seed)
    beginning = model.state_dict()
    names = ", ".join(map(str, options.classes))
    print(f"Which of {names} is it?")
    print(f"{len(train):,} handwritten digits to learn from, {len(held_out)} held out. A network of")
    print(
        f"{len(model.parameters()):,} weights and biases: 64 pixels, 16 hidden neurons, {len(options.classes)} scores.\n"
    )
    curve = learn(model, train, held_out, options)

    pixels, target = most_wrong(model, held_out)
    digit, shown = options.classes[target], probabilities(model, pixels)
    answered = max(range(len(shown)), key=shown.__getitem__)
    read = options.classes[answered]
    print(f"\nOf all the digits it has never seen, it gets this {digit} most wrong:\n")
    print(drawn(pixels))
    print(f"\nIt reads a {read} and is {shown[answered]:.0%} sure; that it is a {digit} it gives {shown[target]:.1%}.")

    causes(model, pixels, target, answered, options.classes)
    network = mg.cross_entropy(model(pixels), target)
    network.label = "loss"
    network.backward()
    step = one_step(model, network, pixels, target, held_out, options.classes)

    pictures = {
        "learning": (plot_lines({"read rightly": curve}, "It learns: the share of held-out digits that are read rightly", "epoch", "share", markers=True), "How it learned, epoch by epoch."),
        "digit": (as_svg(pixels), f"The digit that it got most wrong: a {digit}, read as a {read}."),
        "network": (mg.draw_dot(network, depth="neurons", shape=(WIDTH, WIDTH), report=step), "What each weight did in the one step on that digit: blue lowered its loss, orange raised it."),
        "weights": (plot_weights(model.layers[0], since=beginning, gradients=False), "What learning has added to each hidden neuron's 64 weights."),
        "step": (step, "The step on that digit, parameter by parameter."),
    }  # fmt: skip
    for name, (picture, _) in pictures.items():
        (out / f"{name}.svg").write_text(to_svg(picture), encoding="utf-8", newline="\n")
    names = [str(each) for each in options.classes]
    optimizer = mg.SGD(model.parameters(), lr=options.lr, momentum=0.9)
    title = "The network itself, alive: draw a digit, drag a weight, train on"
    live = mg.play(
        model, train, mg.cross_entropy, optimizer, batch_size=16, held_out=held_out, classes=names, title=title
    )
    live.save(out / "live.html")
    write_page(out, {name: text for name, (_, text) in pictures.items()}, digit, read)
    print(
        f"\nDone in {time.perf_counter() - begin:.0f} seconds. The pictures and the live network: {out / 'index.html'}"
    )


def learn(model: mg.MLP, train: list, held_out: list, options: argparse.Namespace) -> list[tuple[int, float]]:
    """Train, and show it while it happens: the share of held-out digits that are read rightly, after each epoch."""
    optimizer = mg.SGD(model.parameters(), lr=options.lr, momentum=0.9)
    shuffler, curve = random.Random(options.seed), []
    for epoch in range(options.epochs + 1):
        if epoch:
            mg.fit(model, train, mg.cross_entropy, optimizer, 1, 16, rng=shuffler, progress=False, compiled=True)
        loss, accuracy = mg.evaluate(model, held_out, mg.cross_entropy)
        curve.append((epoch, accuracy))
        bar = "█" * round(40 * accuracy)
        print(f"epoch {epoch:2}  {bar:40}  {accuracy:6.1%} read rightly, loss {loss:.3f}", flush=True)
    return curve


def probabilities(model: mg.MLP, pixels: list[float]) -> list[float]:
    return [float(p) for p in mg.softmax(model(pixels))]


def most_wrong(model: mg.MLP, held_out: list) -> tuple[list[float], int]:
    """The sample with the largest loss."""
    return max(held_out, key=lambda sample: float(mg.cross_entropy(model(sample[0]), sample[1])))


def causes(model: mg.MLP, pixels: list[float], target: int, answered: int, classes: list[int]) -> None:
    """Say which neurons and which pixels led it there; both lists add up to the difference of the two scores."""
    digit, read = classes[target], classes[answered]
    canvas = [mg.Value(pixel) for pixel in pixels]
    hidden = model.layers[0](canvas)
    scores = [float(score) for score in model.layers[1](hidden)]
    difference = scores[answered] - scores[target]
    print(f"\nThe score of {read} is {scores[answered]:.2f} and that of {digit} is {scores[target]:.2f}.")
    print(f"Where do the {difference:+.2f} for {read} come from?\n")
    for_read, for_digit = (model.layers[1].neurons[i] for i in (answered, target))
    parts = [
        (float(h) * (float(a) - float(b)), i)
        for i, (h, a, b) in enumerate(zip(hidden, for_read.w, for_digit.w, strict=True))
    ]
    ranked = sorted(parts, key=lambda part: -abs(part[0]))
    for part, i in ranked[:5]:
        side = read if part > 0 else digit
        a, b = float(for_read.w[i]), float(for_digit.w[i])
        says = f"hidden neuron {i:2} ({float(hidden[i]):.2f}) speaks for {side}"
        print(f"  {part:+6.2f}  {says}: weights {a:+.2f} to {read}, {b:+.2f} to {digit}")
    rest = difference - sum(part for part, _ in ranked[:5])
    print(f"  {rest:+6.2f}  all other neurons, and the biases")

    outputs = model.layers[1](hidden)
    (outputs[answered] - outputs[target]).backward()
    ink = sorted(((pixel.data * pixel.grad, i) for i, pixel in enumerate(canvas)), key=lambda each: -abs(each[0]))
    print("\nAnd which pixels? Ink times the slope of that difference; these add up as well:\n")
    for part, i in ink[:5]:
        row, column = divmod(i, WIDTH)
        print(
            f"  {part:+6.2f}  the {pixels[i]:.0%} of ink in row {row + 1}, column {column + 1} speak for {read if part > 0 else digit}"
        )
    print(f"  {difference - sum(part for part, _ in ink[:5]):+6.2f}  all other pixels, and the biases")
    model.zero_grad()


def one_step(
    model: mg.MLP, loss: mg.Value, pixels: list[float], target: int, held_out: list, classes: list[int]
) -> StepReport:
    """Take one step on that digit alone, and say what it did and what it cost."""
    before = mg.evaluate(model, held_out, mg.cross_entropy)[1]
    lr = enough(model, loss, pixels, target)
    step = explain_step(loss, model, lr=lr)
    print(f"\nNow one step of gradient descent on this digit alone, learning rate {lr:.2g}.")
    print(f"Its loss goes from {step.before:.3f} to {step.after:.3f}. What did most for it:\n")
    for entry in sorted(step.parameters, key=lambda entry: entry.share)[:5]:
        print(
            f"  {entry.share:+.3f}  {entry.name}, which goes from {entry.value:.3f} to {entry.value + entry.step:.3f}"
        )
    weights = {entry.name: entry.value + entry.step for entry in step.parameters}
    model.load_state_dict(weights)
    shown = probabilities(model, pixels)
    says = max(range(len(shown)), key=shown.__getitem__)
    after = mg.evaluate(model, held_out, mg.cross_entropy)[1]
    beside = "" if says == target else f"; that it is a {classes[target]} it gives {shown[target]:.1%}"
    print(f"\nNow the network reads a {classes[says]} and is {shown[says]:.0%} sure{beside}.")
    print(f"Of all held-out digits it reads {after:.1%} rightly; before the step it was {before:.1%}.")
    return step


def enough(model: mg.MLP, loss: mg.Value, pixels: list[float], target: int) -> float:
    """The smallest learning rate, of 0.0005, 0.001, 0.002 and so on, whose step makes the network read the digit."""
    start, slopes, lr = model.state_dict(), [parameter.grad for parameter in model.parameters()], 0.0005
    while True:
        for parameter, slope in zip(model.parameters(), slopes, strict=True):
            parameter.data -= lr * slope
        shown = probabilities(model, pixels)
        model.load_state_dict(start)
        if shown[target] == max(shown) or lr > 1:
            return lr
        lr *= 2


def drawn(pixels: list[float]) -> str:
    """The 64 pixels in five shades of grey."""
    rows = [pixels[i : i + WIDTH] for i in range(0, WIDTH**2, WIDTH)]
    return "\n".join("    " + "".join(" ░▒▓█"[round(4 * p)] * 2 for p in row).rstrip() for row in rows)


def as_svg(pixels: list[float]) -> str:
    """The pixels as a picture, 0 white and 1 black."""
    squares = "".join(
        f'<rect x="{i % WIDTH}" y="{i // WIDTH}" width="1" height="1" fill="rgb({grey},{grey},{grey})"/>'
        for i, grey in enumerate(round(255 * (1 - pixel)) for pixel in pixels)
    )
    size = f'width="220" height="220" viewBox="0 0 {WIDTH} {WIDTH}" shape-rendering="crispEdges"'
    return f'<svg xmlns="http://www.w3.org/2000/svg" {size}>{squares}</svg>\n'


PAGE = """<!doctype html>
<html lang="en"><meta charset="utf-8"><meta name="viewport" content="width=device-width">
<meta name="color-scheme" content="light dark"><title>Handwritten digits</title>
<style>
:root {{ color-scheme: light dark; background: #fff; color: #1d2127 }}
@media (prefers-color-scheme: dark) {{ :root {{ background: #14171c; color: #d7dce4 }} }}
body {{ font: 16px/1.5 system-ui, sans-serif; max-width: 1100px; margin: 2rem auto; padding: 0 1rem }}
figure {{ margin: 2rem 0 }} img {{ width: 100%; height: auto; display: block; margin: 0.5rem auto }} img[src="digit.svg"] {{ width: 220px; margin: 0.5rem 0 }}
iframe {{ width: 100%; height: 90vh; border: 0 }}
</style>
<h1>{title}</h1>
{figures}
<h2>The network, alive</h2>
<p>Draw a digit and see it read, drag a weight and see what it changes, or train on.</p>
<iframe src="live.html" title="The live network"></iframe>
</html>
"""


def write_page(out: Path, texts: dict[str, str], digit: int, read: int) -> None:
    figures = "\n".join(
        f'<figure><figcaption>{html.escape(text)}</figcaption><img src="{name}.svg" alt="{html.escape(text)}"></figure>'
        for name, text in texts.items()
    )
    title = html.escape(f"Handwritten digits, and the {digit} that was read as a {read}")
    (out / "index.html").write_text(PAGE.format(title=title, figures=figures), encoding="utf-8", newline="\n")


def classes(text: str) -> list[int]:
    if text == "all":
        return list(range(10))
    try:
        chosen = [int(digit) for digit in text.split(",")]
    except ValueError:
        chosen = []
    if len(set(chosen)) < 2 or len(set(chosen)) < len(chosen) or not set(chosen) <= set(range(10)):
        raise argparse.ArgumentTypeError(f"expected 'all' or at least two different digits such as 3,1; got {text!r}")
    return chosen


def epochs(text: str) -> int:
    if not text.isdecimal() or not 1 <= int(text) <= 1000:
        raise argparse.ArgumentTypeError(f"expected a number of epochs from 1 to 1000, got {text!r}")
    return int(text)


def arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="digits", description=__doc__)
    parser.add_argument("--classes", type=classes, default="all", help="digits such as 3,1, or 'all' (the default)")
    parser.add_argument("--epochs", type=epochs, default=12, help="how often every image is seen (default: 12)")
    parser.add_argument("--lr", type=float, default=0.05, help="the learning rate (default: 0.05)")
    parser.add_argument("--seed", type=int, default=0, help="of the first weights and the order of the images")
    parser.add_argument("--out", type=Path, default=Path("out/digits"), help="where the page goes")
    return parser.parse_args()


if __name__ == "__main__":
    main()
