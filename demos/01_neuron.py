# %% [markdown]
"""
# 1. A neuron holds a number

A neural network is made of neurons, and a neuron is a small formula that ends in a number. This chapter builds one from
the straight line of school, `y = m·x + n`, and then asks the question that all learning comes down to:
*if I turn this knob a little, how much does the result change?*
"""

# %%
from math import isclose

import micrograd_like as mg
from micrograd_like import Value

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
## How much does the result change?

Raise `x` by a small amount, say a thousandth, and see how much `y` rises. The ratio of the two is the *slope* of `y`
with respect to `x`. (School calls it the derivative, and writes dy/dx.)
"""

# %% [markdown] tags=["question"]
"""
> **Question.** The line is y = 2·x − 1. By how much does y rise for each unit that x rises? And for each unit that n
> rises?
"""

# %%
nudge = 0.001


def line(m, x, n):
    return m * x + n


slope_of_x = (line(2.0, 3.0 + nudge, -1.0) - line(2.0, 3.0, -1.0)) / nudge
slope_of_m = (line(2.0 + nudge, 3.0, -1.0) - line(2.0, 3.0, -1.0)) / nudge
slope_of_n = (line(2.0, 3.0, -1.0 + nudge) - line(2.0, 3.0, -1.0)) / nudge
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
print("total   ReLU    tanh")
for number in (-2.0, -0.5, 0.0, 0.5, 2.0):
    print(f"{number:5.1f}  {mg.relu(number):5.1f}  {mg.tanh(number):6.3f}")

out = total.tanh()
out.label = "out"
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

# %% [markdown] tags=["question"]
"""
> **Question.** The inputs are x1 = 3 and x2 = −2. If both weights are raised by the same small amount, which of the two
> has the larger effect on the neuron, and which of the two makes it smaller?
"""

# %%
by_hand = {"total": 1 - out.data**2}
by_hand["w1"] = by_hand["total"] * inputs[0].data
by_hand["w2"] = by_hand["total"] * inputs[1].data
by_hand["b"] = by_hand["total"] * 1
by_hand["x1"] = by_hand["total"] * weights[0].data
by_hand["x2"] = by_hand["total"] * weights[1].data

out.backward()
engine = {value.label: value.grad for value in (total, *weights, bias, *inputs)}
print("        by hand     engine")
for name, gradient in by_hand.items():
    print(f"{name:5}  {gradient:9.6f}  {engine[name]:9.6f}")
w1, w2 = weights
larger, smaller = (w1, w2) if abs(w1.grad) > abs(w2.grad) else (w2, w1)
print(
    f"\nAnswer: {larger.label} has the larger effect, {abs(larger.grad / smaller.grad):.2f} times that of {smaller.label}:"
    f" its input is that much larger. Raising {w2.label} lowers the neuron, because its input is negative."
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
print(neuron, "gives", f"{ready_made.data:.6f}")
for name, parameter in neuron.named_parameters():
    print(f"  {name} = {parameter.data:g}, gradient {parameter.grad:.6f}")

# %% [markdown]
"""
## What this chapter claims

A chapter ends with its claims as assertions: if one were wrong, the chapter would stop here with an error.
"""

# %%
assert y.data == 2.0 * 3.0 - 1.0
assert (x.grad, m.grad, n.grad) == (2.0, 3.0, 1.0)
assert all(isclose(nudged, v.grad, rel_tol=1e-9) for nudged, v in ((slope_of_x, x), (slope_of_m, m), (slope_of_n, n)))
assert all(isclose(by_hand[name], engine[name], rel_tol=1e-12) for name in by_hand)
assert larger is w1
assert w2.grad < 0 < w1.grad
assert isclose(abs(larger.grad / smaller.grad), abs(inputs[0].data / inputs[1].data), rel_tol=1e-12)
assert isclose(ready_made.data, out.data, rel_tol=1e-12)
assert all(isclose(p.grad, v.grad, rel_tol=1e-12) for p, v in zip(neuron.parameters(), (*weights, bias), strict=True))
print("All of this chapter's claims hold.")
