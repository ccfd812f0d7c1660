"""Is it a 3 or a 1? Train on real handwritten digits, then look inside: what does each weight do to the loss?"""

from __future__ import annotations

import argparse
import sys
import time
from pathlib import Path

import micrograd_like as mg
from micrograd_like.data import load_digits
from micrograd_like.drawing import plot_learning, plot_weights
from micrograd_like.explain import ExplainSteps, StepReport, weight_pictures


def main() -> None:
    options = arguments()
    binary = len(options.classes) == 2
    train, held_out = load_digits(options.classes)
    if binary:  # one output: positive says the first class, negative the second
        yes, no = options.classes
        train, held_out = ([(x, int(digit == yes)) for x, digit in part] for part in (train, held_out))
        model, loss = mg.MLP(64, [8, 1], rng=options.seed), mg.binary_cross_entropy_with_logits
    else:  # one output for each digit, the largest wins
        train, held_out = ([(x, options.classes.index(digit)) for x, digit in part] for part in (train, held_out))
        model, loss = mg.MLP(64, [32, len(options.classes)], rng=options.seed), mg.cross_entropy
    question = f"Is it a {yes} or a {no}?" if binary else f"Which of {', '.join(map(str, options.classes))} is it?"
    print(f"{question} {len(train)} handwritten digits to learn from, {len(held_out)} held out.")
    print(f"{len(model.parameters()):,} weights and biases, each a Value: {64} pixels -> {shape(model)}.\n")

    start = time.perf_counter()
    optimizer = mg.SGD(model.parameters(), lr=options.lr, momentum=0.9)
    watch = ExplainSteps(every=sys.maxsize)  # the first step alone
    history = mg.fit(
        model, train, loss, optimizer, options.epochs, 16, held_out=held_out, rng=options.seed, callbacks=[watch]
    )
    if not sys.stderr.isatty():  # on a terminal the progress bar has shown them
        print("\n".join(map(str, history.epochs)))
    last = history.epochs[-1]
    print(
        f"\n{len(history.losses):,} steps in {time.perf_counter() - start:.1f} seconds: "
        f"{last.held_out_accuracy:.1%} of the images it has never seen are told right.\n"
    )

    # The held-out image with the largest loss is the one that teaches most.
    pixels, target = max(held_out, key=lambda sample: float(loss(model(sample[0]), sample[1])))
    model.zero_grad()
    surprise = loss(model(pixels), target)
    surprise.label = "loss"
    surprise.backward()
    digit = options.classes[1 - target if binary else target]
    print(f"The held-out image it finds hardest is this {digit}, with a loss of {surprise.data:.4f}:\n")
    print(picture(pixels))
    explain(model, surprise)
    first = watch.reports[0]
    explain_first_step(first)

    out = options.out
    out.mkdir(parents=True, exist_ok=True)
    plot_learning(history).savefig(out / "learning.svg")
    mg.draw_dot(surprise, depth="neurons", shape=(8, 8)).save(out / "network.svg")
    outputs = model.layers[-1].neurons  # of several, the one that should win is drawn, and the others as numbers
    leaves = ["layers[0]", *(neuron.name for neuron in outputs if neuron is not outputs[0 if binary else target])]
    mg.draw_dot(surprise, expand=True, stop=leaves).save(out / "output_neuron.svg")
    plot_weights(model.layers[0], shape=(8, 8)).savefig(out / "weights.svg")
    first.plot().savefig(out / "first_step.svg")
    weight_pictures(first, model.layers[0], shape=(8, 8)).savefig(out / "first_step_weights.svg")
    names = [str(digit) for digit in ((no, yes) if binary else options.classes)]
    live = mg.play(model, train, loss, optimizer, batch_size=16, held_out=held_out, classes=names, title=question)
    live.save(out / "live.html")
    print("\nPictures of what it learned:")
    for name, text in {
        "learning.svg": "loss and accuracy over the steps, training and held-out",
        "network.svg": "the network for that image: what each neuron says and which way it pulls the loss",
        "output_neuron.svg": "from the last layer's weights to the loss, number by number",
        "weights.svg": "every hidden neuron's 64 weights as an image, beside their gradients",
        "first_step.svg": "from the loss before the first step to the loss after it, weight by weight",
        "first_step_weights.svg": "what each of the 64 weights did in it, beside what its gradient promised",
        "live.html": "the network itself, live: open it in a browser, draw a digit, drag a weight, train on",
    }.items():
        print(f"  {out / name}: {text}")


def explain(model: mg.MLP, loss: mg.Value, count: int = 10, move: float = 0.01) -> None:
    """Say which parameters the loss depends on most, and which way each should move."""
    ranked = sorted(model.named_parameters(), key=lambda item: -abs(item[1].grad))[:count]
    print(f"\nThe {count} weights and biases on which its loss depends most:")
    for place, (name, parameter) in enumerate(ranked, start=1):
        up = parameter.grad > 0
        print(
            f"{place:3}. {name} is {parameter.data:+.4f}. Raising it by {move} would {'raise' if up else 'lower'} "
            f"the loss by about {abs(move * parameter.grad):.5f}, so it should go {'down' if up else 'up'}."
        )


def explain_first_step(report: StepReport, count: int = 10) -> None:
    """Say what the first step of the training did to the loss of its 16 images, and which weights did it."""
    print("\nThe first step of the training, on its 16 images, explained afterwards:\n")
    print(report.text(rows=count))
    best = min(report.parameters, key=lambda entry: entry.share)
    worst = max(report.parameters, key=lambda entry: entry.share)
    print(f"\nMost of all {best.name} helped: its gradient promised {best.predicted:+.3g}, alone it would have changed")
    print(f"the loss by {best.alone:+.3g}, and its share in what really happened is {best.share:+.3g}.")
    if worst.share > 0:
        print(f"Most of all {worst.name} hurt: promised {worst.predicted:+.3g}, alone {worst.alone:+.3g},")
        print(f"but in the step together with all others {worst.share:+.3g}.")


def picture(pixels: list[float]) -> str:
    """The 64 pixels in five shades of grey."""
    rows = [pixels[i : i + 8] for i in range(0, 64, 8)]
    return "\n".join("    " + "".join(" ░▒▓█"[round(4 * p)] * 2 for p in row) for row in rows)


def shape(model: mg.MLP) -> str:
    sizes = [len(layer.neurons) for layer in model.layers]
    return " -> ".join(f"{n} neuron{'s' if n > 1 else ''}" for n in sizes)


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


def arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="digits", description=__doc__)
    parser.add_argument("--classes", type=classes, default=[3, 1], help="digits such as 3,1, or 'all' (default: 3,1)")
    parser.add_argument("--epochs", type=int, help="how often every image is seen (default: 12, or 25 for all)")
    parser.add_argument("--lr", type=float, help="the learning rate (default: 0.1, or 0.03 for more than two classes)")
    parser.add_argument("--seed", type=int, default=0, help="of the first weights and the order of the images")
    parser.add_argument("--out", type=Path, default=Path("out/digits"), help="where the pictures go")
    options = parser.parse_args()
    many = len(options.classes) > 2
    options.epochs = (25 if many else 12) if options.epochs is None else options.epochs
    options.lr = (0.03 if many else 0.1) if options.lr is None else options.lr
    return options


if __name__ == "__main__":
    main()
