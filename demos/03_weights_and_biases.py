# %% [markdown] minutes=12 ideas=["weight", "bias", "strong and weak"]
"""
# 3. What a weight does, what a bias does

Weights and biases are the knobs of a network. Which of them is "strong", and which is "weak"? One reads that a bias does
not have quite as big an effect as a weight, because 10 · 10 is 100 and 10 + 10 is only 20. This chapter looks at what
each knob does, with numbers, and finds a rule that is as short as it is exact.

One word first. The *loss* is a number that says how wrong the result is: 0 is perfect, and learning makes it smaller.
Chapter 4 is about losses; here we use the square of the error.
"""

# %% What the chapter needs tags=["fold"]
from math import isclose

import micrograd_like as mg
from micrograd_like.data import load_digits
from micrograd_like.drawing import plot_lines
from micrograd_like.explain import explain_neuron, what_if

# %% [markdown]
"""
## A strong and a weak connection

A neuron without activation has two inputs. Its first weight is large, its second is small: 2 against 0.1.
"""

# %%
neuron = mg.Neuron(2, nonlin=False)
neuron.load_state_dict({"w[0]": 2.0, "w[1]": 0.1, "b": -1.0})
inputs, target = [0.5, 8.0], 1.5
out = neuron(inputs)
loss = (out - target) ** 2
loss.backward()

# %% writes out both sums tags=["fold"]
w = [weight.data for weight in neuron.w]
print(f"out  = {w[0]:g}·{inputs[0]:g} + {w[1]:g}·{inputs[1]:g} + ({neuron.b.data:g}) = {out.data:g}")
print(f"loss = ({out.data:g} - {target:g})² = {loss.data:g}")

# %% [markdown]
"""
The first connection is *strong* in this sense: if its **input** rises by 1, the output rises by 2; with the second, only
by 0.1. But an input is given, and cannot be learned. What learning turns is the **weight**.
"""

# %% [markdown] tags=["question"] choices=["the strong one", "the weak one"] answer="larger"
"""
> **Question.** We raise one of the weights by 0.01. Which one changes the loss more: the strong one (2, whose input is
> 0.5) or the weak one (0.1, whose input is 8)?
"""

# %%
changes = {
    name: what_if(loss, {name: weight.data + 0.01}).change
    for name, weight in zip(("w[0]", "w[1]"), neuron.w, strict=True)
}
larger = "the strong one" if abs(changes["w[0]"]) > abs(changes["w[1]"]) else "the weak one"

# %% prints both changes tags=["fold"]
for name, change in changes.items():
    print(f"{name} + 0.01 changes the loss by {change:+.5f}")
print(
    f"The weak one, {changes['w[1]'] / changes['w[0]']:.1f} times as much: its input is {inputs[1] / inputs[0]:g} times as large."
)

# %% [markdown]
"""
(`what_if` computes the loss again with another number in the graph; the graph itself stays as it is.)
"""

# %% [markdown]
"""
## The rule

The neuron adds up w0·x0 + w1·x1 + b. Call **δ** (delta) how fast the loss changes when this *sum* rises. Then:

- raising weight i by a little raises the sum by x_i times as much, so **∂L/∂w_i = x_i · δ**;
- raising the bias by a little raises the sum by just as much, so **∂L/∂b = δ**.

(∂L/∂w is the usual way to write "the slope of the loss L with respect to w, while all else is held".) A weight sees the
error through its input; a bias sees it bare. A bias is nothing but a weight whose input is always 1.
"""

# %%
report = explain_neuron(loss, neuron)
delta = report.deltas[0]
print(report)

# %% compares the rule with the engine tags=["fold"]
for weight, x in zip(neuron.w, inputs, strict=True):
    print(f"{weight.label}: {x:g} · {delta:g} = {x * delta:g}, and the engine says {weight.grad:g}")
print(f"b: {delta:g}, and the engine says {neuron.b.grad:g}")

# %% [markdown]
"""
The last column of the table answers another question: what would the loss be *without* this connection, that is, with
this number set to 0? There the size of the weight counts as well.

Turn the knobs yourself, on a live page of this neuron: drag a weight, an input or the bias, and see what the loss does.
"""

# %% makes the live page tags=["fold"]
mg.show(
    mg.play(loss, parameters=[*neuron.w, neuron.b], lr=0.005, title="Three knobs: two weights and a bias"), "03_live"
)

# %% [markdown]
"""
## 10 · 10 against 10 + 10

Now to the claim. With x = 10, w = 10 and b = 10 the product is 100 and the sum with the bias is only 20: true, and it
compares the wrong things. The question is what *turning* each knob does. Here both are turned by 1, for several inputs:
"""

# %%
effects = {}
print("input x   w·x + b   w turned by 1   b turned by 1   ∂/∂w   ∂/∂b")
for x in (10.0, 2.0, 1.0, 0.1, 0.0):
    weight, bias = mg.Value(10.0, label="w"), mg.Value(10.0, label="b")
    result = weight * x + bias
    result.backward()
    turned_w, turned_b = what_if(result, {weight: 11.0}).change, what_if(result, {bias: 11.0}).change
    effects[x] = (turned_w, turned_b)
    print(f"{x:7g}   {result.data:7g}   {turned_w:+13.4g}   {turned_b:+13.4g}   {weight.grad:4g}   {bias.grad:4g}")

# %% [markdown]
"""
With the input 10 the weight has ten times the effect of the bias, with the input 0.1 it has a tenth, and with the input
0 it has none, while the bias acts all the same. So it is the *input* that decides, not the kind of knob.
"""

# %% [markdown] tags=["question"] choices=["the bias", "a weight"] answer="feels_more"
"""
> **Question.** The pixels of our handwritten digits are numbers from 0 (white) to 1 (black). For a picture, which feels
> the error more: a neuron's bias, or one of its 64 weights?
"""

# %%
train, _ = load_digits([1, 3], seed=1)
model = mg.MLP(64, [4, 1], activation="tanh", rng=7)
pixels, digit = train[0]
mg.binary_cross_entropy_with_logits(model(pixels), int(digit == 3)).backward()
below = silent = total = 0
for hidden in model.layers[0].neurons:
    total += len(hidden.w)
    below += sum(abs(weight.grad) <= abs(hidden.b.grad) for weight in hidden.w)
    silent += sum(weight.grad == 0 for weight in hidden.w)
feels_more = "the bias" if below == total else "a weight"

# %% says how many tags=["fold"]
print(f"{below} of {total} weights feel no more than their neuron's bias,")
print(f"and {silent} of them feel nothing at all, because their pixel is white.")

# %% [markdown]
"""
For a single picture it must be so: |x·δ| is at most |δ| when x is between 0 and 1. Here the bias is the strongest knob of
each neuron.
"""

# %% [markdown]
"""
## Several samples: what cancels

With several samples, a bias feels the sum of all δ, and a weight the sum of all x·δ. Either sum can cancel. Take two
samples with the inputs −2 and 2 and targets that lie on a steeper line: the error is negative at one, positive at the
other.
"""

# %%
slope, start = mg.Value(1.0, label="w"), mg.Value(0.0, label="b")
both = mg.mse_loss([slope * x + start for x in (-2.0, 2.0)], [-3.0, 3.0])
both.backward()
print(f"∂L/∂w = {slope.grad:g}, ∂L/∂b = {start.grad:g}")
print("The line must become steeper and its start must stay: the bias feels two errors that cancel.")

# %% [markdown]
"""
## What each does to a neuron

A picture to remember. With the activation tanh, a weight changes how *steeply* the neuron answers to its input, and the
bias *where* it does: it shifts the curve to the side, without changing its shape.
"""

# %% draws both tags=["fold"]
xs = [i / 20 for i in range(-80, 81)]
picture = plot_lines(
    {
        "tanh(1·x + 0)": [(x, mg.tanh(x)) for x in xs],
        "weight 3: tanh(3·x + 0)": [(x, mg.tanh(3 * x)) for x in xs],
        "bias 2: tanh(1·x + 2)": [(x, mg.tanh(x + 2)) for x in xs],
    },
    title="A weight makes it steeper, a bias shifts it",
    x="input",
    y="output",
)
mg.show(picture, "03_steeper_or_shifted")
mg.show(report, "03_connections")

# %% [markdown] tags=["exercise"]
"""
## Your turn

Back to the neuron of the beginning, with the inputs 0.5 and 8, the weights 2 and 0.1, and the target 1.5. Set one of its
parameters so that the loss is 0. Leave the weights as they are.

```python
neuron.b.data = -1.0
```

<details><summary>Hint 1</summary>
The loss is 0 when the output is the target. The bias goes straight into the output.
</details>
<details><summary>Hint 2</summary>
Without the bias the sum is 2·0.5 + 0.1·8.
</details>
<details><summary>Hint 3</summary>
That sum is 1.8. What must be added, so that it becomes 1.5?
</details>
"""

# %% tags=["solution"]
neuron.b.data = target - (2.0 * 0.5 + 0.1 * 8.0)

# %% tags=["check"]
assert [weight.data for weight in neuron.w] == [2.0, 0.1], "the weights are as they were"
assert isclose(neuron(inputs).data, target, rel_tol=1e-9), "the neuron gives 1.5"

# %% [markdown]
"""
## What this chapter claims
"""

# %% tags=["claims"]
assert changes["w[1]"] / changes["w[0]"] > 10, (
    "the weak connection's weight changes the loss more than ten times as much"
)
assert isclose(delta, 2 * (out.data - target), rel_tol=1e-12), "δ is 2·(out − target)"
assert all(isclose(weight.grad, x * delta, rel_tol=1e-12) for weight, x in zip(neuron.w, inputs, strict=True)), (
    "a weight's gradient is its input times δ"
)
assert isclose(neuron.b.grad, delta, rel_tol=1e-12), "the bias's gradient is δ"
assert all(isclose(by_weight, x, abs_tol=1e-12) for x, (by_weight, _) in effects.items()), (
    "turning a weight by 1 changes the result by the input"
)
assert all(isclose(by_bias, 1.0, rel_tol=1e-12) for _, by_bias in effects.values()), (
    "turning a bias by 1 changes it by 1"
)
assert below == total, "for a picture, no weight feels more than the bias"
assert silent == len(model.layers[0].neurons) * sum(pixel == 0 for pixel in pixels), (
    "weights of white pixels feel nothing"
)
assert start.grad == 0 != slope.grad, "over several samples a bias can feel nothing where a weight feels something"
shift = 2.0  # shifted, and not otherwise changed
assert all(isclose(mg.tanh(x + 2), mg.tanh(1 * (x + shift)), rel_tol=1e-12) for x in xs), "a bias shifts the curve"
print("All of this chapter's claims hold.")
