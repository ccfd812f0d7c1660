# %% [markdown]
"""
# 6. Which way? Trying both directions, or the gradient

To lower the loss, should a weight go up or down? There is a way to find out that needs no theory: try both. Take the
weight x, compute the loss with x + 1 and with x − 1, and keep the better one. This chapter does that, sees where it goes
wrong, mends it, and counts what it costs. The gradient gives the same answer for all weights at once.
"""

# %%
from itertools import pairwise

import micrograd_like as mg
from micrograd_like.drawing import plot_lines
from micrograd_like.explain import loss_slice, probe_direction

# %% [markdown]
"""
## One weight, and a step of 1

The loss is (w − 0.3)², a valley whose lowest point is at w = 0.3. We stand at w = 0.
"""

# %% [markdown] tags=["question"]
"""
> **Question.** Which is better: w + 1, w − 1, or staying?
"""

# %%
w = mg.Value(0.0, label="w")
loss = (w - 0.3) ** 2
loss.backward()
by_one = probe_direction(loss, [w], epsilon=1.0).probes[0]
by_little = probe_direction(loss, [w], epsilon=0.001).probes[0]
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

# %% [markdown] tags=["question"]
"""
> **Question.** The column *tried* is what trying ±0.001 says, *gradient says* is the sign of the gradient: they agree. For
> how many of the parameters will trying ±1 find that direction?
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

# %% [markdown] tags=["question"]
"""
> **Question.** A network that reads digits of 64 pixels with 32 hidden neurons and 10 outputs has about two thousand
> parameters. How many times must the loss be computed to try both directions of each?
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
print("step        " + "  ".join(f"{i:6}" for i in range(9)))
print("by ±1       " + "  ".join(f"{loss:6.3f}" for loss in ones[:9]))
print("by gradient " + "  ".join(f"{loss:6.3f}" for loss in downhill[:9]))
chart = plot_lines(
    {"the better of +1 and -1": enumerate(ones), "0.1 times the gradient": enumerate(downhill)},
    title=f"After {len(ones) - 1} steps the loss is {ones[-1]:.3g} by ±1 and {downhill[-1]:.3g} by the gradient",
    x="step",
    y="loss",
)
mg.show(chart, "06_two_ways")

# %% [markdown]
"""
The very first step by ±1 is the better one: it is far longer. But each parameter was tried while all the others stood
still, and then they all move. Each improves the loss alone, and together they overdo it, more with every step, until the
loss jumps to and fro for ever. Steps in proportion to the slope become small by themselves where the valley is flat.
(They can be too long as well; that is the next chapter.)
"""

# %%
alone = [min(probe.up, probe.down) for probe in coarse.probes if probe.direction]
print(
    f"first step by ±1:  {len(alone)} parameters move, each lowers the loss on its own (by {-sum(alone):.3f} in sum);"
)
print(f"                   all together change it by {ones[1] - ones[0]:+.3f}")
print(f"second step by ±1: all together change it by {ones[2] - ones[1]:+.3f}")
print(f"and in the end it jumps between {ones[-2]:.3f} and {ones[-1]:.3f}")

# %% [markdown]
"""
## What this chapter claims
"""

# %%
assert by_one.up > 0
assert by_one.down > 0
assert by_one.direction == 0
assert by_little.direction == by_little.downhill == 1
assert fine.agreeing == count
assert coarse.agreeing < count / 2
assert coarse.agreeing + opposite + staying == count
assert opposite > 0
assert gap < 1e-5
assert fine.probe_evaluations == 2 * count + 1 == tries["2-4-1"]
assert ones[1] < downhill[1]  # the first step
assert ones[2] > ones[1]
assert all(change < 0 for change in alone)
assert (ones[-1], ones[-2]) == (ones[-3], ones[-4])  # to and fro
assert min(ones[-2:]) > before > downhill[-1]
assert all(later < earlier for earlier, later in pairwise(downhill))
assert model.state_dict() == start
print("All of this chapter's claims hold.")
