# %% [markdown] minutes=10 ideas=["layer", "network", "activation", "matrix"]
"""
# 2. A layer is neurons that share their inputs

Chapter 1 built one neuron. Here several of them look at the same inputs: that is a *layer*. Layers one after the other,
each looking at the outputs of the one before, are a *network*. We compute a layer by hand, draw a network, and see what
the bend of the activation is good for: without it, ten layers can do no more than one.
"""

# %% What the chapter needs tags=["fold"]
from fractions import Fraction

import micrograd_like as mg
from micrograd_like.drawing import plot_lines

# %% [markdown]
"""
## Three neurons, two inputs

Each neuron has its own weights, one for each input, and its own bias. `Layer(2, 3)` makes three neurons with two inputs
each; its weights start at random, so we put in numbers that can be followed. A name such as `neurons[1].w[0]` says
where a weight is: the second neuron's first weight (Python counts from 0).
"""

# %%
layer = mg.Layer(2, 3)
layer.load_state_dict({
    "neurons[0].w[0]": 1.0, "neurons[0].w[1]": -1.0, "neurons[0].b": 0.0,
    "neurons[1].w[0]": 0.5, "neurons[1].w[1]": 0.5, "neurons[1].b": -1.0,
    "neurons[2].w[0]": -1.0, "neurons[2].w[1]": 1.5, "neurons[2].b": 0.5,
})  # fmt: skip
inputs = [1.0, 2.0]

# %% [markdown] tags=["question"] answer="outputs[2]" tolerance=0.01
"""
> **Question.** The inputs are 1 and 2, the activation is ReLU, which turns negative numbers into 0. What does the third
> neuron give, whose weights are −1 and 1.5 and whose bias is 0.5?
"""

# %%
outputs = [out.data for out in layer(inputs)]

# %% writes out the three sums tags=["fold"]
totals = []
for neuron, out in zip(layer.neurons, outputs, strict=True):
    w, b = [weight.data for weight in neuron.w], neuron.b.data
    totals.append(w[0] * inputs[0] + w[1] * inputs[1] + b)
    formula = f"{w[0]:g}·{inputs[0]:g} + ({w[1]:g})·{inputs[1]:g} + ({b:g})"
    print(f"{neuron.name}: {formula} = {totals[-1]:g}, and ReLU makes it {out:g}")

# %% [markdown]
"""
Written as a table, the weights are a *matrix*, with a row for each neuron: the layer multiplies this matrix with the
inputs, adds the biases, and applies the activation. That is all that a layer computes. (A row may also be read as "what
this neuron is looking for": its total is large when the inputs resemble its weights.)
"""

# %% [markdown]
"""
## A network, and how many numbers it has

A *multi-layer perceptron* (MLP) is layers in a row. `MLP(2, [3, 1])` takes two inputs to a layer of three neurons, and
those to one last neuron. The layers between the inputs and the last one are called *hidden*.
"""

# %%
network = mg.MLP(2, [3, 1], rng=4)
print(network)
by_layer = [len(each.parameters()) for each in network.layers]
print(f"first layer: 3 neurons with 2 weights and a bias: {by_layer[0]} numbers")
print(f"last layer: 1 neuron with 3 weights and a bias: {by_layer[1]} numbers")
print(f"{sum(by_layer)} parameters in all: these are the numbers that learning will change")

# %% [markdown]
"""
All weights and biases together are called the *parameters*. Below is the network for one pair of inputs: a box is a
neuron with its output, an arrow is a weight. As in chapter 1, orange means "raising this raises the output", blue
"lowers it", and thick means "strongly". A neuron whose ReLU gave 0 has no effect just now: its arrows are thin and grey.
"""

# %%
out = network([0.6, -0.9])
out.backward()
mg.show(mg.draw_dot(out, depth="neurons"), "02_network")
hidden = network.layers[0]([0.6, -0.9])
silent = [neuron.name for neuron, value in zip(network.layers[0].neurons, hidden, strict=True) if value.data == 0]
print(f"The output is {out.data:.4f}. Silent for these inputs: {', '.join(silent) or 'no neuron'}.")

# %% [markdown]
"""
## What the bend is good for

Take away the activation, and a layer is only multiplications and additions. There is a simple test of whether a formula
is a *straight line*: its value in the middle between two points is the mean of its values at the two points. We use
fractions here, so that nothing is rounded and "equal" means equal.
"""

# %% [markdown] tags=["question"] choices=["yes", "no"] answer="passes"
"""
> **Question.** Three layers without activation, one after the other: does their result pass the test of a straight line?
"""


# %%
def with_fractions(model):
    """The same model with each parameter as the exact fraction that it is."""
    for parameter in model.parameters():
        parameter.data = Fraction(parameter.data)
    return model


def off_the_line(model, left, right):
    """How far the value in the middle is from the mean of the values at both ends; 0 for a straight line."""
    middle = [(a + b) / 2 for a, b in zip(left, right, strict=True)]
    return model(middle).data - (model(left).data + model(right).data) / 2


left, right = [Fraction(-1), Fraction(2)], [Fraction(3), Fraction(-2)]
straight = with_fractions(mg.MLP(2, [3, 3, 1], activation=lambda total: total, rng=4))
bent = with_fractions(mg.MLP(2, [3, 3, 1], activation="relu", rng=4))
passes = "yes" if off_the_line(straight, left, right) == 0 else "no"

# %% says by how much tags=["fold"]
print(f"three layers without activation are off the line by {off_the_line(straight, left, right)}")
print(f"the same layers with ReLU are off by {float(off_the_line(bent, left, right)):.4f}")

# %% [markdown]
"""
Exactly 0: layers without activation are one straight formula, however many there are. So it must be possible to write
them as a single neuron. Its bias is the network's value where all inputs are 0, and each weight is how much the value
rises when that input rises from 0 to 1.
"""

# %%
bias = straight([Fraction(0), Fraction(0)]).data
w1 = straight([Fraction(1), Fraction(0)]).data - bias
w2 = straight([Fraction(0), Fraction(1)]).data - bias
print(f"one neuron says the same: {float(w1):.4f}·x1 + ({float(w2):.4f})·x2 + ({float(bias):.4f})")
points = [[Fraction(a, 3), Fraction(b, 7)] for a in range(-5, 6) for b in range(-5, 6)]
differences = [straight(p).data - (w1 * p[0] + w2 * p[1] + bias) for p in points]
print(f"largest difference at {len(points)} points: {max(map(abs, differences))}")

# %% [markdown]
"""
With ReLU every hidden neuron puts a bend where its total passes through 0. To see which neuron makes which bend, we take
a network with one hidden layer, and walk in a straight line from the one point to the other. On this way each neuron's
total changes evenly, so that it can be computed where it is 0.
"""

# %%
hidden_layer = with_fractions(mg.MLP(2, [3, 1], activation="relu", rng=33))
bends = {}
for neuron in hidden_layer.layers[0].neurons:
    start, end = ((neuron.w[0] * x + neuron.w[1] * y + neuron.b).data for x, y in (left, right))
    bends[neuron.name] = start / (start - end)  # where the total is 0: as a share of the way
    where = (
        f"bends after {float(bends[neuron.name]):.0%} of the way"
        if 0 < bends[neuron.name] < 1
        else "does not bend here"
    )
    print(f"{neuron.name} {where}")

# %% [markdown]
"""
Here it is, beside the three layers without activation. Below the line of the network, each neuron's own part in it (its
output times the weight with which the last neuron looks at it): flat, and from its bend on a straight slope.
"""


# %%
def along(model, steps=240):
    """(share of the way, the model's value there) along the way from left to right."""
    shares = [Fraction(i, steps) for i in range(steps + 1)]
    return [(t, model([a + t * (b - a) for a, b in zip(left, right, strict=True)])) for t in shares]


def part(i):
    """What hidden neuron i adds to the output, from left to right."""
    weight = hidden_layer.layers[1].neurons[0].w[i]
    return along(lambda point: hidden_layer.layers[0](point)[i] * weight)


parts = {f"neuron {i}": part(i) for i in range(len(bends))}
picture = plot_lines(
    {"the network": along(hidden_layer), **parts, "without activation": along(straight)},
    title="Each neuron makes one bend, and the network has them all",
    x="share of the way from (−1, 2) to (3, −2)",
    y="output",
)
mg.show(picture, "02_bends")

# %% [markdown] tags=["exercise"]
"""
## Your turn

Two neurons are enough for a shape that no straight line has. Write the absolute value |x| as a sum of two ReLUs.

```python
def absolute(x):
    return mg.relu(x) + ...
```

<details><summary>Hint 1</summary>
relu(x) is right where x is positive, and 0 where x is negative. There the other one has to work.
</details>
<details><summary>Hint 2</summary>
Where x is negative, |x| is −x. And ReLU keeps a positive number.
</details>
<details><summary>Hint 3</summary>
The second neuron has the weight −1: `mg.relu(-x)`.
</details>
"""


# %% tags=["solution"]
def absolute(x):
    return mg.relu(x) + mg.relu(-x)


# %% tags=["check"]
assert absolute(3.0) == 3.0, "the absolute value of 3 is 3"
assert absolute(-2.5) == 2.5, "that of −2.5 is 2.5"
assert absolute(0.0) == 0.0, "that of 0 is 0"
assert absolute(Fraction(-1, 3)) == Fraction(1, 3), "and it is exact for fractions"

# %% [markdown]
"""
## What this chapter claims
"""

# %% tags=["claims"]
assert outputs == [max(total, 0.0) for total in totals], "a layer gives the ReLU of each sum"
assert by_layer == [3 * (2 + 1), 1 * (3 + 1)], "a neuron has a weight for each input, and a bias"
assert len(network.parameters()) == sum(by_layer), "a network's parameters are those of its layers"
assert off_the_line(straight, left, right) == 0, "layers without activation are one straight formula"
assert off_the_line(bent, left, right) != 0, "with ReLU they are not"
assert set(differences) == {0}, "a single neuron says the same as three layers without activation, to the last digit"
for neuron in hidden_layer.layers[0].neurons:
    x, y = (a + bends[neuron.name] * (b - a) for a, b in zip(left, right, strict=True))
    assert (neuron.w[0] * x + neuron.w[1] * y + neuron.b).data == 0, "a neuron bends exactly where its total is 0"
print("All of this chapter's claims hold.")
