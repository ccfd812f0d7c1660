# %% [markdown] minutes=12 ideas=["direction", "gradient", "numerical derivative"]
"""
# 6. Which way? Trying both directions, or the gradient

To lower the loss, should a weight go up or down? There is a way to find out that needs no theory: try both. Take the
weight x, compute the loss with x + 1 and with x − 1, and keep the better one. This chapter does that, sees where it goes
wrong, mends it, and counts what it costs. The gradient gives the same answer for all weights at once.
"""

# %% What the chapter needs tags=["fold"]
from itertools import pairwise

import micrograd_like as mg
from micrograd_like.drawing import plot_lines, plot_walks
from micrograd_like.explain import loss_contour, loss_slice, probe_direction

# %% [markdown]
"""
## One weight, and a step of 1

The loss is (w − 0.3)², a valley whose lowest point is at w = 0.3. We stand at w = 0.
"""

# %% [markdown] tags=["question"] choices=["w + 1", "w − 1", "staying"] answer="best"
"""
> **Question.** Which is best: w + 1, w − 1, or staying?
"""

# %%
w = mg.Value(0.0, label="w")
loss = (w - 0.3) ** 2
loss.backward()
by_one = probe_direction(loss, [w], epsilon=1.0).probes[0]
by_little = probe_direction(loss, [w], epsilon=0.001).probes[0]
best = {1: "w + 1", -1: "w − 1", 0: "staying"}[by_one.direction]

# %% says what was tried, and draws it tags=["fold"]
print(
    f"w + 1 changes the loss by {by_one.up:+.2f}, w - 1 changes it by {by_one.down:+.2f}: both are worse than staying."
)
print(f"w + 0.001 changes it by {by_little.up:+.6f}, w - 0.001 by {by_little.down:+.6f}: up is better.")
print(f"The gradient is {w.grad:.2f}: below 0, so raising w lowers the loss.")
mg.show(loss_slice(loss, w, span=1.2), "06_valley")

# %% [markdown]
"""
A step of 1 jumps over the valley: both sides look worse, and one would stay here for ever. "Try x + 1 and x − 1" is the
right idea with the wrong size. The steps must be *small*, and then what they find is the sign of the slope.
"""

# %% [markdown]
"""
## A whole network

Now a network with two inputs, four hidden neurons and one output. It is to learn "exactly one of the two" (XOR): yes for
(0, 1) and (1, 0), no for (0, 0) and (1, 1). The loss is the mean of the four squared errors. Twenty steps of gradient
descent (chapter 5) have brought it to a place where the easy progress is over.
"""

# %%
model = mg.MLP(2, [4, 1], activation="tanh", rng=5)
samples = [([0.0, 0.0], -1.0), ([0.0, 1.0], 1.0), ([1.0, 0.0], 1.0), ([1.0, 1.0], -1.0)]


def total_loss():
    return mg.mse_loss([model(x) for x, _ in samples], [target for _, target in samples])


optimizer = mg.SGD(model.parameters(), lr=0.1)
for _ in range(20):
    optimizer.zero_grad()
    total_loss().backward()
    optimizer.step()
loss = total_loss()
coarse = probe_direction(loss, model, epsilon=1.0)
fine = probe_direction(loss, model, epsilon=0.001)
print(fine)

# %% [markdown] tags=["question"] answer="coarse.agreeing" tolerance=1
"""
> **Question.** The column *tried* is what trying ±0.001 says, *gradient says* is the sign of the gradient: they agree. For
> how many of the 17 parameters will trying ±1 find that direction?
"""

# %%
count = len(model.parameters())
staying = sum(probe.direction == 0 for probe in coarse.probes)
opposite = sum(probe.direction == -probe.downhill for probe in coarse.probes)
print(f"steps of 0.001: {fine.agreeing} of {count} directions agree with the gradient")
print(f"steps of 1:     {coarse.agreeing} of {count} agree, {opposite} the opposite way, {staying} say that both hurt")
gap = max(abs(probe.slope - probe.gradient) for probe in fine.probes)
print(f"The slopes found by trying ±0.001 differ from the gradient by at most {gap:.1e}.")

# %% [markdown]
"""
## What it costs

Trying needs the loss twice for every parameter, and once to compare with. The gradient needs one pass forward and one
pass backward, for *all* parameters: a constant number of passes, however many parameters there are.
"""

# %% [markdown] tags=["question"] answer="tries['64-32-10']" tolerance=200
"""
> **Question.** A network that reads digits of 64 pixels with 32 hidden neurons and 10 outputs has 2,410 parameters. How
> many times must the loss be computed to try both directions of each, and to compare with staying?
"""

# %%
sizes = {"2-4-1": (2, [4, 1]), "64-32-10": (64, [32, 10]), "784-128-10": (784, [128, 10])}
tries = {}
print("network       parameters  by trying  by gradient")
for name, (inputs, layers) in sizes.items():
    widths = [inputs, *layers]
    parameters = sum((widths[i] + 1) * widths[i + 1] for i in range(len(layers)))
    tries[name] = 2 * parameters + 1
    print(f"{name:12}  {parameters:10,}  {tries[name]:9,}  {fine.gradient_evaluations:11}")
print("(How often the loss is computed for one direction of each parameter; a pass backward is counted as one.)")

# %% [markdown]
"""
## And then?

A direction is not yet a step: how far? "Keep the better of x + 1 and x − 1" moves each parameter by 1, or not at all. The
gradient moves each in proportion to its slope. We follow both for 60 steps, from the same place.
"""

# %%
start, before = model.state_dict(), loss.data


def follow(move_of, steps=60):
    """The losses on the way when every step moves each parameter by `move_of(probe)`."""
    losses = [before]
    for _ in range(steps):
        report = probe_direction(total_loss(), model, epsilon=1.0)
        for parameter, probe in zip(model.parameters(), report.probes, strict=True):
            parameter.data += move_of(probe)
        losses.append(total_loss().data)
    model.load_state_dict(start)
    return losses


ones = follow(lambda probe: probe.direction)
downhill = follow(lambda probe: -0.1 * probe.gradient)

# %% prints and draws both tags=["fold"]
print("step        " + "  ".join(f"{i:6}" for i in range(9)))
print("by ±1       " + "  ".join(f"{loss:6.3f}" for loss in ones[:9]))
print("by gradient " + "  ".join(f"{loss:6.3f}" for loss in downhill[:9]))
chart = plot_lines(
    {"the better of +1 and −1": enumerate(ones), "0.1 times the gradient": enumerate(downhill)},
    title=f"After {len(ones) - 1} steps the loss is {ones[-1]:.3g} by ±1 and {downhill[-1]:.3g} by the gradient",
    x="step",
    y="loss",
    log="y",
)
mg.show(chart, "06_two_ways")

# %% [markdown]
"""
The very first step by ±1 is the better one: it is far longer. But each parameter was tried while all the others stood
still, and then they all move. Each improves the loss alone, and together they overdo it, more with every step, until the
loss jumps to and fro for ever. Steps in proportion to the slope become small by themselves where the valley is flat.
(They can be too long as well; that is the next chapter.)
"""

# %% counts what each does alone, and all together tags=["fold"]
alone = [min(probe.up, probe.down) for probe in coarse.probes if probe.direction]
print(
    f"first step by ±1:  {len(alone)} parameters move, each lowers the loss on its own (by {-sum(alone):.3f} in sum);"
)
print(f"                   all together change it by {ones[1] - ones[0]:+.3f}")
print(f"second step by ±1: all together change it by {ones[2] - ones[1]:+.3f}")
print(f"and in the end it jumps between {ones[-2]:.3f} and {ones[-1]:.3f}")

# %% [markdown]
"""
## Seen from above

With two weights the whole loss can be drawn, as on a hiking map: a valley that is long in one direction and narrow in the
other. From the same place, one walker tries +1 and −1 for each weight, and moves each to the better side; the other goes
along the gradient.
"""


# %%
def height(a, b):
    return (a - 0.3) ** 2 / 4 + (a / 2 + b - 0.4) ** 2


def walk(move_of, steps=25, start=(-1.6, 1.9)):
    """The places on the way when every step moves a and b by `move_of(a, b)`."""
    places = [start]
    for _ in range(steps):
        a, b = mg.Value(places[-1][0]), mg.Value(places[-1][1])
        height(a, b).backward()
        moves = move_of(a, b)
        places.append((a.data + moves[0], b.data + moves[1]))
    return places


def better(a, b):
    """For each of the two: +1, −1, or 0 where both are worse than staying."""
    here = height(a.data, b.data)
    found = []
    for tried in (
        [height(a.data + move, b.data) for move in (1, -1)],
        [height(a.data, b.data + move) for move in (1, -1)],
    ):
        found.append(0 if min(tried) >= here else 1 if tried[0] < tried[1] else -1)
    return found


by_ones, by_slopes = walk(better), walk(lambda a, b: (-0.4 * a.grad, -0.4 * b.grad))

# %% draws the map tags=["fold"]
across, up = [i / 20 - 2.4 for i in range(81)], [i / 20 - 1.2 for i in range(81)]
picture = plot_walks(
    across,
    up,
    [[height(a, b) for a in across] for b in up],
    {"the better of +1 and −1": by_ones, "0.4 times the gradient": by_slopes},
    title="Steps of ±1 end beside the lowest place, and stay there",
    x="a",
    y="b",
)
mg.show(picture, "06_map")
print(f"by ±1 it ends at a height of {height(*by_ones[-1]):.3f}; by the gradient at {height(*by_slopes[-1]):.6f}")

# %% [markdown]
"""
On a live page you are the walker: drag `a` and `b` and see the height, or take steps along the gradient.
"""

# %% makes the live page tags=["fold"]
a, b = mg.Value(-1.6, label="a"), mg.Value(1.9, label="b")
mg.show(mg.play(height(a, b), parameters=[a, b], lr=0.4, title="A valley over two weights"), "06_live")

# %% [markdown]
"""
The network has 17 parameters, and no map has 17 directions. But two of them can be chosen while all others are held:
`loss_contour` draws the loss over those two, and the way of gradient descent from where they stand. This is no simple
valley any more. Where it leads depends on where one stands.
"""

# %% draws the network's loss over two of its weights tags=["fold"]
of_network = loss_contour(total_loss(), "layers[0].neurons[0].w[0]", "layers[0].neurons[2].w[0]", 2, lr=0.5, steps=60)
mg.show(of_network, "06_network")
print(f"{of_network.title}.")

# %% [markdown] tags=["exercise"]
"""
## Your turn

Write `slope(f, x)`: the slope of a function at x, by trying a little to both sides.

```python
def slope(f, x, epsilon=1e-4):
    ...
```

<details><summary>Hint 1</summary>
Compute f a little to the right of x, and a little to the left.
</details>
<details><summary>Hint 2</summary>
The slope is how much higher it is on the right than on the left, divided by how far the two places are apart.
</details>
<details><summary>Hint 3</summary>
They are 2·epsilon apart: `(f(x + epsilon) - f(x - epsilon)) / (2 * epsilon)`.
</details>
"""


# %% tags=["solution"]
def slope(f, x, epsilon=1e-4):
    return (f(x + epsilon) - f(x - epsilon)) / (2 * epsilon)


# %% tags=["check"]
assert abs(slope(lambda x: 3 * x + 1, 5.0) - 3) < 1e-6, "a line with the steepness 3 has the slope 3"
assert abs(slope(lambda x: x * x, 2.0) - 4) < 1e-6, "x² has the slope 4 at x = 2"
assert abs(slope(mg.tanh, 0.5) - (1 - mg.tanh(0.5) ** 2)) < 1e-6, "tanh has the slope 1 − tanh²"
assert abs(slope(lambda x: (x - 0.3) ** 2, 0.0) - w.grad) < 1e-6, "and it is the engine's gradient, at the first valley"

# %% [markdown]
"""
## What this chapter claims
"""

# %% tags=["claims"]
assert by_one.up > 0, "one step up is worse than staying"
assert by_one.down > 0, "one step down as well"
assert by_one.direction == 0, "so trying ±1 says: stay"
assert by_little.direction == by_little.downhill == 1, "trying ±0.001 says up, as the gradient does"
assert fine.agreeing == count, "in a network, small tries agree with the gradient for every parameter"
assert coarse.agreeing < count / 2, "tries of ±1 agree for less than half of them"
assert coarse.agreeing + opposite + staying == count, "the others say the opposite, or: stay"
assert opposite > 0, "some say the opposite"
assert gap < 1e-5, "small tries find the gradient to five digits"
assert fine.probe_evaluations == 2 * count + 1 == tries["2-4-1"], (
    "trying costs two losses for each parameter, and one more"
)
assert ones[1] < downhill[1], "the first step by ±1 is the better one"
assert ones[2] > ones[1], "the second is worse than none"
assert all(change < 0 for change in alone), "although each parameter's move alone would help"
assert (ones[-1], ones[-2]) == (ones[-3], ones[-4]), "in the end it jumps to and fro"
assert min(ones[-2:]) > before > downhill[-1], "and is higher than it began, while the gradient is lower"
assert all(later < earlier for earlier, later in pairwise(downhill)), "each step along the gradient helps"
assert height(*by_ones[-1]) > 0.01 > height(*by_slopes[-1]), "on the map, steps of ±1 stop short of the lowest place"
assert of_network.rising == 0, "nor does a step go uphill on the network's map"
assert of_network.path[-1][2] < before, "and its way leads down"
assert model.state_dict() == start, "the network is as it was"
print("All of this chapter's claims hold.")
