# %% [markdown] minutes=12 ideas=["neuron", "gradient", "chain rule", "topological order"]
"""
# 1. A neuron holds a number

A neural network is made of neurons, and a neuron is a small formula that ends in a number. This chapter builds one from
the straight line of school, `y = m·x + n`, and then asks the question that all learning comes down to:
*if I turn this knob a little, how much does the result change?*
"""

# %% What the chapter needs tags=["fold"]
from math import isclose

import micrograd_like as mg
from micrograd_like import Value
from micrograd_like.drawing import plot_lines

# %% [markdown]
"""
## A line that remembers

A `Value` is a number with a memory. It calculates like any other number, and it also remembers which operation it came
from and what went into it. The `label` is the name under which it appears in pictures.
"""

# %%
m = Value(2.0, label="m")
x = Value(3.0, label="x")
n = Value(-1.0, label="n")
y = m * x + n
y.label = "y"
print(f"y = m·x + n = {m.data:g} · {x.data:g} + ({n.data:g}) = {y.data:g}")

# %% [markdown]
"""
What the values remember is a *graph*: boxes for numbers, arrows for "goes into". Read it from left to right.
"""

# %%
mg.show(mg.draw_dot(y, legend=False), "01_line")

# %% [markdown]
"""
## Two knobs

`m` makes the line steeper, and `n` moves it up and down. These are the knobs: the input x is given, and learning will
turn the knobs.
"""

# %% draws the line with each knob turned tags=["fold"]
inputs_to_draw = [-1.0, 4.0]
turned = {"m = 2, n = −1": (2.0, -1.0), "m turned up to 3": (3.0, -1.0), "n turned up to 2": (2.0, 2.0)}
picture = plot_lines(
    {name: [(at, steep * at + start) for at in inputs_to_draw] for name, (steep, start) in turned.items()},
    title="m turns the line, n lifts it",
    x="x",
    y="y",
)
mg.show(picture, "01_knobs")

# %% [markdown]
"""
Turn them yourself, on a live page: w is the line's m, b is its n, and the line moves while you drag. The points lie on
y = −2·x + 5, and the loss (chapter 4) says how far off the line is.
"""

# %% makes the live page tags=["fold"]
knobs = mg.MLP(1, [1], rng=0)
knobs.load_state_dict({"layers[0].neurons[0].w[0]": 2.0, "layers[0].neurons[0].b": -1.0})
points = [([i / 2], 5.0 - i) for i in range(9)]
live = mg.play(
    knobs, points, mg.mse_loss, mg.SGD(knobs.parameters(), lr=0.05), title="Two knobs: w turns the line, b lifts it"
)
mg.show(live, "01_live")

# %% [markdown]
"""
## How much does the result change?

Raise `x` by a small amount, say a thousandth, and see how much `y` rises. The ratio of the two is the *slope* of `y`
with respect to `x`. (School calls it the derivative, and writes dy/dx.)
"""

# %% [markdown] tags=["question"] answer="slope_of_m" tolerance=0.001
"""
> **Question.** The line is y = m·x + n with m = 2, x = 3 and n = −1. Raise m by a thousandth: how many times as much does
> y rise?
"""

# %%
nudge = 0.001


def line(m, x, n):
    return m * x + n


slope_of_x = (line(2.0, 3.0 + nudge, -1.0) - line(2.0, 3.0, -1.0)) / nudge
slope_of_m = (line(2.0 + nudge, 3.0, -1.0) - line(2.0, 3.0, -1.0)) / nudge
slope_of_n = (line(2.0, 3.0, -1.0 + nudge) - line(2.0, 3.0, -1.0)) / nudge

# %% says what was found tags=["fold"]
print(f"y changes {slope_of_x:.3f} times as fast as x: that is m, the steepness of the line.")
print(f"y changes {slope_of_m:.3f} times as fast as m: that is x, which m is multiplied with.")
print(f"y changes {slope_of_n:.3f} times as fast as n: what is added goes straight through.")

# %% [markdown]
"""
The engine finds all three at once and without nudging. `y.backward()` walks the graph from the result back to its
beginnings, and leaves in each value's `.grad` how fast `y` changes when that value is raised. This number is called the
*gradient* of y with respect to the value.
"""

# %%
y.backward()
print(f"gradients: x {x.grad:g}, m {m.grad:g}, n {n.grad:g}")

# %% [markdown]
"""
## Several inputs

A neuron has more than one input, and a steepness of its own for each. The steepnesses are called *weights*: they say how
strongly the neuron is connected to each input. What is added at the end, the line's `n`, is called the *bias*: it is
where the neuron starts when all inputs are 0.
"""

# %%
inputs = [Value(3.0, label="x1"), Value(-2.0, label="x2")]
weights = [Value(0.5, label="w1"), Value(1.5, label="w2")]
bias = Value(2.0, label="b")

total = weights[0] * inputs[0] + weights[1] * inputs[1] + bias
total.label = "total"

# %% prints the sum tags=["fold"]
terms = " + ".join(f"{w.data:g}·({v.data:g})" for w, v in zip(weights, inputs, strict=True))
print(f"total = {terms} + {bias.data:g} = {total.data:g}")

# %% [markdown]
"""
## An activation: the line gets a bend

If a neuron were only a sum like this, a thousand of them would still be nothing but a straight line (chapter 2 shows
it). So the total passes through one more function, the *activation*. Two common ones:

- **ReLU** keeps a positive number and turns a negative one into 0: a line with one bend, max(total, 0).
- **tanh** squeezes every number smoothly into the range from −1 to 1.
"""

# %%
out = total.tanh()
out.label = "out"

# %% prints a table of both tags=["fold"]
print("total   ReLU    tanh")
for number in (-2.0, -0.5, 0.0, 0.5, 2.0):
    print(f"{number:5.1f}  {mg.relu(number):5.1f}  {mg.tanh(number):6.3f}")
print(f"\nThis neuron: tanh({total.data:g}) = {out.data:.6f}")

# %% [markdown]
"""
## Backward, by hand

Two rules are enough to find every gradient, beginning at the result and walking back:

1. *The chain rule.* If `out` changes 0.8 times as fast as `total`, and `total` changes 3 times as fast as `w1`, then
   `out` changes 0.8 · 3 times as fast as `w1`. Slopes along a way are multiplied.
2. *Sums.* If there are several ways from a value to the result, their slopes are added.

The slope of tanh is 1 − tanh². The slope of a product `w·x` with respect to `w` is `x`, as we have just seen.
"""

# %% [markdown] tags=["question"] choices=["w1", "w2"] answer="larger.label"
"""
> **Question.** The inputs are x1 = 3 and x2 = −2, the weights w1 = 0.5 and w2 = 1.5. Each weight is raised by the same
> small amount. Which of the two has the larger effect on the neuron?
"""

# %%
by_hand = {"total": 1 - out.data**2}
by_hand["w1"] = by_hand["total"] * inputs[0].data
by_hand["w2"] = by_hand["total"] * inputs[1].data
by_hand["b"] = by_hand["total"] * 1
by_hand["x1"] = by_hand["total"] * weights[0].data
by_hand["x2"] = by_hand["total"] * weights[1].data

out.backward()

# %% compares the two tags=["fold"]
engine = {value.label: value.grad for value in (total, *weights, bias, *inputs)}
print("        by hand     engine")
for name, gradient in by_hand.items():
    print(f"{name:5}  {gradient:9.6f}  {engine[name]:9.6f}")
w1, w2 = weights
larger, smaller = (w1, w2) if abs(w1.grad) > abs(w2.grad) else (w2, w1)
print(
    f"\n{larger.label} has the larger effect, {abs(larger.grad / smaller.grad):.2f} times that of {smaller.label}: its input"
    f" is that much larger.\nRaising {w2.label} lowers the neuron, because its input is negative."
)

# %% [markdown]
"""
Now the same as a picture. An arrow is the thicker, the faster the result changes with what it carries. It is orange
where raising that raises the result, and blue where raising that lowers it. The legend in the drawing explains the rest.
"""

# %%
mg.show(mg.draw_dot(out, parameters=[*weights, bias]), "01_neuron")

# %% [markdown]
"""
And the chain rule: the way from w1 to the result, each arrow with its own slope. Multiplied, they are the gradient.
"""

# %%
mg.show(mg.draw_dot(out, highlight="w1"), "01_chain")

# %% [markdown]
"""
## In which order?

We went backward from the result, one value after the other. Does the order matter? Here is the shortest way to write it:
a value hands its gradient on to what it was computed from, and these do the same at once. Try it on a sum of sums:
a = 1, b = a + a, c = b + b. So c is 4·a.
"""


# %%
def hand_on(value):
    """Backward without an order. In a sum, each operand has the local slope 1."""
    for operand in value.operands:
        operand.grad += value.grad * 1
        hand_on(operand)


# %% [markdown] tags=["question"] answer="without_order" tolerance=0.01
"""
> **Question.** c rises 4 times as fast as a. Which gradient of a will `hand_on` find? (Follow it with a pencil: c hands
> something to b, and b hands it on to a. Then c hands something to b once more.)
"""

# %%
a = Value(1.0, label="a")
b = a + a
c = b + b
c.grad = 1.0
hand_on(c)
without_order = a.grad

# %% the same in the right order tags=["fold"]
a_ = Value(1.0, label="a")
b_ = a_ + a_
b_.label = "b"
c_ = b_ + b_
c_.label = "c"
c_.backward()
print(f"without an order: {without_order:g}; in the right order: {a_.grad:g}")
mg.show(mg.draw_dot(c_), "01_order")

# %% [markdown]
"""
The mistake: c gives b a first 1, and b hands it on at once, twice. Then c gives b its second 1, b has 2 now, and hands on
those 2, twice. The first 1 has arrived two times: 2 + 4 = 6. **A value may hand on its gradient only when it has
received all of it**, that is, when everything computed from it has had its turn. An order in which this is so is called
*topological*: every value comes after all that it was computed from, and `backward` walks it from the end.
"""

# %% [markdown]
"""
## The same in one line

The library's `Neuron` does what we did by hand. Its weights start at random; with ours inside, it gives our number. It
computes the whole sum in a single step (*w·x+b* in a drawing), because networks have very many of these.
"""

# %%
neuron = mg.Neuron(2, activation="tanh", rng=0)
for parameter, ours in zip(neuron.parameters(), (*weights, bias), strict=True):
    parameter.data = ours.data
ready_made = neuron([3.0, -2.0])
ready_made.backward()

# %% prints the gradients tags=["fold"]
print(neuron, "gives", f"{ready_made.data:.6f}")
for name, parameter in neuron.named_parameters():
    print(f"  {name} = {parameter.data:g}, gradient {parameter.grad:.6f}")

# %% [markdown] tags=["exercise"]
"""
## Your turn

Choose `m` and `n` so that the line goes through two points: at x = 1 it shall be 3, and at x = 3 it shall be −1. You may
change `.data` of both, by hand or by calculating.

```python
m.data = 2.0
n.data = -1.0
```

<details><summary>Hint 1</summary>
First the steepness. From x = 1 to x = 3 the line has to go from 3 to −1.
</details>
<details><summary>Hint 2</summary>
It falls by 4 on a way of 2. So m is −2.
</details>
<details><summary>Hint 3</summary>
At x = 1 the line is m·1 + n = −2 + n, and this shall be 3.
</details>
"""

# %% tags=["solution"]
m.data = -2.0
n.data = 5.0

# %% tags=["check"]
assert isclose((m * 1.0 + n).data, 3.0), "at x = 1 the line is at 3"
assert isclose((m * 3.0 + n).data, -1.0), "at x = 3 it is at −1"

# %% [markdown]
"""
## What this chapter claims

A chapter ends with its claims, and each is checked: if one were wrong, you would see it here.
"""

# %% tags=["claims"]
assert y.data == 2.0 * 3.0 - 1.0, "2 · 3 − 1 is 5"
assert (x.grad, m.grad, n.grad) == (2.0, 3.0, 1.0), "the gradient of x is m, that of m is x, and that of n is 1"
assert all(
    isclose(nudged, v.grad, rel_tol=1e-9) for nudged, v in ((slope_of_x, x), (slope_of_m, m), (slope_of_n, n))
), "nudging finds the same slopes as the engine"
assert all(isclose(by_hand[name], engine[name], rel_tol=1e-12) for name in by_hand), "by hand they are the same too"
assert larger is w1, "of two weights, the one with the larger input has the larger effect"
assert w2.grad < 0 < w1.grad, "where the input is negative, raising the weight lowers the neuron"
assert isclose(abs(larger.grad / smaller.grad), abs(inputs[0].data / inputs[1].data), rel_tol=1e-12), (
    "the effects are to each other as the inputs are"
)
assert (without_order, a_.grad) == (6.0, 4.0), (
    "without an order a gradient arrives twice; in topological order it is right"
)
assert isclose(ready_made.data, out.data, rel_tol=1e-12), "the library's neuron gives our number"
assert all(
    isclose(p.grad, v.grad, rel_tol=1e-12) for p, v in zip(neuron.parameters(), (*weights, bias), strict=True)
), "and our gradients"
print("All of this chapter's claims hold.")
