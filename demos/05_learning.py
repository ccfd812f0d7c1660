# %% [markdown] minutes=10 ideas=["forward", "backward", "update"]
"""
# 5. Learning is one small step, again and again

One step of learning has three parts: **forward** (compute the loss), **backward** (find each parameter's gradient) and
**update** (move each parameter a little against its gradient). This chapter takes a single step, frame by frame, with
numbers that can be followed with pencil and paper. Then you take one yourself.
"""

# %% What the chapter needs tags=["fold"]
from itertools import pairwise
from math import isclose

import micrograd_like as mg
from micrograd_like import Value
from micrograd_like.drawing import plot_lines

# %% [markdown]
"""
## The network

Two inputs, one hidden neuron `h` with ReLU, and an output that multiplies `h` by `v` and adds `c`. Five parameters in all.
For the inputs 1 and 3 the output should be 2; the loss is the squared error.
"""

# %%
x1, x2, target = Value(1.0, label="x1"), Value(3.0, label="x2"), 2.0
w1, w2, b = Value(1.0, label="w1"), Value(-0.5, label="w2"), Value(1.0, label="b")
v, c = Value(2.0, label="v"), Value(0.0, label="c")
parameters = [w1, w2, b, v, c]

# %% [markdown]
"""
## Frame 1: forward

From the inputs to the loss, one operation after the other.
"""

# %% [markdown] tags=["question"] answer="loss" tolerance=0.001
"""
> **Question.** Take a pencil: w1 = 1, w2 = −0.5, b = 1, v = 2, c = 0, and the inputs are 1 and 3. What will the loss be?
"""


# %%
def forward():
    """The network's values, by name, from the parameters as they are now."""
    total = mg.dot([w1, w2], [x1, x2], b)  # w1·x1 + w2·x2 + b
    h = total.relu()
    out = mg.dot([v], [h], c)  # v·h + c
    loss = (out - target) ** 2
    total.label, h.label, out.label, loss.label = "total", "h", "out", "loss"
    return total, h, out, loss


total, h, out, loss = forward()

# %% prints each line and draws the graph tags=["fold"]
print(f"total = {w1.data:g}·{x1.data:g} + ({w2.data:g})·{x2.data:g} + {b.data:g} = {total.data:g}")
print(f"h     = ReLU({total.data:g}) = {h.data:g}")
print(f"out   = {v.data:g}·{h.data:g} + {c.data:g} = {out.data:g}")
print(f"loss  = ({out.data:g} - {target:g})² = {loss.data:g}")


def drawn(root):
    return mg.draw_dot(root, parameters=parameters)


frames, roomy = [drawn(loss)], forward()[-1]
roomy.backward()  # a second graph, whose gradients take the room that those of the next frame will need
mg.show(mg.draw_frames([frames[0], drawn(roomy)])[0], "05_forward")
for parameter in parameters:
    parameter.grad = 0

# %% [markdown]
"""
## Frame 2: backward

From the loss back to the parameters, one slope after the other; each is the slope behind it times the local slope. The
loss changes by 2·(out − target) when `out` changes by 1 (the slope of a square). From there on every line multiplies by
what stands on the arrow.
"""

# %% [markdown] tags=["question"] choices=["w1", "w2"] answer="more.label"
"""
> **Question.** In a moment the parameters will move. Which of the two weights will move more, w1 = 1 (whose input is 1)
> or w2 = −0.5 (whose input is 3)?
"""

# %%
slope = {"out": 2 * (out.data - target)}
slope["c"] = slope["out"] * 1
slope["v"] = slope["out"] * h.data
slope["h"] = slope["out"] * v.data
slope["total"] = slope["h"] * (1 if total.data > 0 else 0)
slope["b"] = slope["total"] * 1
slope["w1"] = slope["total"] * x1.data
slope["w2"] = slope["total"] * x2.data

loss.backward()

# %% compares the two and draws the graph tags=["fold"]
print("parameter  by hand  engine")
for parameter in parameters:
    print(f"{parameter.label:9}  {slope[parameter.label]:7g}  {parameter.grad:6g}")
gradients = [parameter.grad for parameter in parameters]
more = max(w1, w2, key=lambda w: abs(w.grad))
print(f"\nA weight's gradient is its input times the slope of the total, {slope['total']:g}: {more.label} moves more.")
frames.append(drawn(loss))
mg.show(mg.draw_frames(frames)[1], "05_backward")

# %% [markdown]
"""
## Frame 3: update

Each gradient says which way is up, so each parameter goes the other way, by a small multiple of its gradient. The
multiple is called the *learning rate*. This rule is *gradient descent*:

    new parameter = old parameter − learning rate · gradient
"""

# %% [markdown] tags=["question"] answer="w2" kind="expression" tolerance=1e-9
"""
> **Question.** The learning rate is 0.01. Write the rule for w2 as Python, with `w2.data` and `w2.grad` in it.
"""

# %%
learning_rate = 0.01
before, loss_before = [p.data for p in parameters], loss.data
expected = -learning_rate * sum(p.grad**2 for p in parameters)
for parameter in parameters:
    old = parameter.data
    parameter.data = old - learning_rate * parameter.grad
    print(f"{parameter.label:2} = {old:g} - {learning_rate:g}·({parameter.grad:g}) = {parameter.data:g}")
frames.append(drawn(loss))

# %% [markdown]
"""
## Frame 4: forward again

Did it help? (A graph keeps the numbers with which it was computed. So a parameter that has moved changes nothing in it:
the loss must be computed again, forward.)
"""

# %% [markdown] tags=["question"] choices=["above 0.5", "between 0.1 and 0.5", "below 0.1"] answer="range_of_loss"
"""
> **Question.** The loss was 1. Each of the five parameters has moved by a hundredth of its gradient. What is the loss now?
"""

# %%
total, h, out, loss = forward()

# %% prints both losses and draws the graph tags=["fold"]
print(f"out  = {v.data:g}·{h.data:g} + ({c.data:g}) = {out.data:.6g}")
print(f"loss = ({out.data:.6g} - {target:g})² = {loss.data:.6g}, and before it was {loss_before:g}")
print(f"\nBy the slopes alone it should change by {expected:.4g}; it changed by {loss.data - loss_before:.4g}.")
print("A square cannot fall below 0: the slopes said more than there was. Chapter 7 is about this.")
range_of_loss = "above 0.5" if loss.data > 0.5 else "between 0.1 and 0.5" if loss.data > 0.1 else "below 0.1"
for parameter in parameters:
    parameter.grad = 0  # of the loss before
frames.append(drawn(loss))
mg.show(mg.draw_frames(frames), "05_after")

# %% [markdown]
"""
## The same with the library

`SGD` holds the parameters and does the update. `zero_grad` forgets the gradients of the step before: they would
otherwise be added to the new ones. We go back to the beginning and take ten steps.
"""

# %%
after_by_hand = [p.data for p in parameters]
for parameter, start in zip(parameters, before, strict=True):
    parameter.data = start

optimizer = mg.SGD(parameters, lr=learning_rate)
losses, outputs = [], []
for step in range(10):
    *_, out, loss = forward()
    losses.append(loss.data)
    outputs.append(out.data)
    optimizer.zero_grad()
    loss.backward()
    optimizer.step()
    if step == 0:
        after_one_step = [p.data for p in parameters]
    print(f"step {step}: output {outputs[-1]:.6f}, loss {losses[-1]:.3g}")

# %% draws the losses tags=["fold"]
chart = plot_lines(
    {"loss": enumerate(losses)}, title="Ten steps: each divides what is left", x="step", y="loss", log="y", markers=True
)
mg.show(chart, "05_steps")
kept = [abs(later - target) / abs(earlier - target) for earlier, later in pairwise(outputs)]
print(f"Each step leaves between {min(kept):.1%} and {max(kept):.1%} of the error before it.")

# %% [markdown]
"""
And alive: every number of the same loss on a page. Drag a parameter, or take a step, and everything that depends on it
answers.
"""

# %% makes the live page tags=["fold"]
mg.show(mg.play(forward()[-1], parameters=parameters, lr=learning_rate), "05_live")

# %% [markdown] tags=["exercise"]
"""
## Your turn

The library hid the loop. Write it: a function that takes `count` steps of gradient descent on a parabola,
`(w − 3)²`, beginning at w = 0, and returns where it arrives. Use `Value` and `backward`, and no `SGD`.

```python
def descend(count, rate=0.1):
    w = Value(0.0)
    for _ in range(count):
        ...
    return w.data
```

<details><summary>Hint 1</summary>
Three lines, one for each frame: forward, backward, update.
</details>
<details><summary>Hint 2</summary>
Forward is `loss = (w - 3) ** 2`, backward is `loss.backward()`. After that, `w.grad` is there to be used.
</details>
<details><summary>Hint 3</summary>
The update changes `w.data`. And forget the gradient before the next step, as `zero_grad` does: `w.grad = 0`.
</details>
"""


# %% tags=["solution"]
def descend(count, rate=0.1):
    w = Value(0.0)
    for _ in range(count):
        loss = (w - 3) ** 2
        loss.backward()
        w.data -= rate * w.grad
        w.grad = 0
    return w.data


# %% tags=["check"]
assert descend(0) == 0, "no steps: it stays at 0"
assert isclose(descend(1), 0.6), "one step goes to 0.6, which is 0 − 0.1·(−6)"
assert isclose(descend(2), 1.08), "the second step starts from there, without the first one's gradient"
assert isclose(descend(100), 3, rel_tol=1e-6), "a hundred steps arrive at 3"

# %% [markdown]
"""
## What this chapter claims
"""

# %% tags=["claims"]
assert gradients == [-4.0, -12.0, -4.0, -1.0, -2.0], "the gradients can be found with pencil and paper"
assert gradients == [slope[p.label] for p in parameters], "by hand and by the engine they are the same"
assert more is w2, "of the two weights, the one with the larger input moves more"
assert after_one_step == after_by_hand, "SGD's first step is ours, to the last digit"
assert losses[0] == loss_before, "the library begins where we began"
assert expected < -loss_before, "the slopes of the first step say more than there is to lose"
assert all(later < earlier for earlier, later in pairwise(losses)), "each of the ten steps lowers the loss"
assert isclose(outputs[-1], target, rel_tol=1e-3), "after ten steps the output is 2, to a thousandth"
print("All of this chapter's claims hold.")
