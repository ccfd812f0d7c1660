# %% [markdown]
"""
# 5. Learning is one small step, again and again

One step of learning has three parts: **forward** (compute the loss), **backward** (find each parameter's gradient) and
**update** (move each parameter a little against its gradient). This chapter takes a single step, frame by frame, with
numbers that can be followed with pencil and paper. Then it lets the library do the same, and repeats it.
"""

# %%
from itertools import pairwise
from math import isclose

import micrograd_like as mg
from micrograd_like import Value
from micrograd_like.drawing import plot_lines

# %% [markdown]
"""
## The network

Two inputs, one hidden neuron with ReLU, and an output that multiplies the hidden neuron by `v` and adds `c`. Five
parameters in all. For the inputs 1 and 3 the output should be 2; the loss is the squared error.
"""

# %%
x1, x2, target = 1.0, 3.0, 2.0
w1, w2, b = Value(1.0, label="w1"), Value(-0.5, label="w2"), Value(1.0, label="b")
v, c = Value(2.0, label="v"), Value(0.0, label="c")
parameters = [w1, w2, b, v, c]

# %% [markdown]
"""
## Frame 1: forward

From the inputs to the loss, one operation after the other.
"""


# %%
def forward():
    """The network's values, by name, from the parameters as they are now."""
    total = w1 * x1 + w2 * x2 + b
    hidden = total.relu()
    out = v * hidden + c
    loss = (out - target) ** 2
    total.label, hidden.label, out.label, loss.label = "total", "hidden", "out", "loss"
    return total, hidden, out, loss


total, hidden, out, loss = forward()
print(f"total  = {w1.data:g}·{x1:g} + ({w2.data:g})·{x2:g} + {b.data:g} = {total.data:g}")
print(f"hidden = ReLU({total.data:g}) = {hidden.data:g}")
print(f"out    = {v.data:g}·{hidden.data:g} + {c.data:g} = {out.data:g}")
print(f"loss   = ({out.data:g} - {target:g})² = {loss.data:g}")
mg.show(mg.draw_dot(loss, parameters=parameters, legend=False), "05_forward")

# %% [markdown] tags=["question"]
"""
> **Question.** In a moment the parameters will move. Which of the two weights will move more, w1 = 1 (whose input is 1)
> or w2 = −0.5 (whose input is 3)?
"""

# %% [markdown]
"""
## Frame 2: backward

From the loss back to the parameters, one slope after the other; each is the slope behind it times the local slope. The
loss changes by 2·(out − target) when `out` changes by 1 (the slope of a square). From there on every line multiplies by
what stands on the arrow.
"""

# %%
slope = {"out": 2 * (out.data - target)}
slope["c"] = slope["out"] * 1
slope["v"] = slope["out"] * hidden.data
slope["hidden"] = slope["out"] * v.data
slope["total"] = slope["hidden"] * (1 if total.data > 0 else 0)
slope["b"] = slope["total"] * 1
slope["w1"] = slope["total"] * x1
slope["w2"] = slope["total"] * x2

loss.backward()
print("parameter  by hand  engine")
for parameter in parameters:
    print(f"{parameter.label:9}  {slope[parameter.label]:7g}  {parameter.grad:6g}")
gradients = [parameter.grad for parameter in parameters]
more = max(w1, w2, key=lambda w: abs(w.grad))
print(
    f"\nAnswer: {more.label}. A weight's gradient is its input times the slope of the total, which is {slope['total']:g}."
)
mg.show(mg.draw_dot(loss, parameters=parameters), "05_backward")

# %% [markdown]
"""
## Frame 3: update

Each gradient says which way is up, so each parameter goes the other way, by a small multiple of its gradient. The
multiple is called the *learning rate*. This rule is *gradient descent*:

    new parameter = old parameter − learning rate · gradient
"""

# %%
learning_rate = 0.01
before, loss_before = [p.data for p in parameters], loss.data
promised = -learning_rate * sum(p.grad**2 for p in parameters)
for parameter in parameters:
    old = parameter.data
    parameter.data = old - learning_rate * parameter.grad
    print(f"{parameter.label:2} = {old:g} - {learning_rate:g}·({parameter.grad:g}) = {parameter.data:g}")

# %% [markdown]
"""
## Frame 4: forward again

Did it help?
"""

# %%
total, hidden, out, loss = forward()
print(f"total  = {w1.data:g}·{x1:g} + ({w2.data:g})·{x2:g} + {b.data:g} = {total.data:g}")
print(f"hidden = ReLU({total.data:g}) = {hidden.data:g}")
print(f"out    = {v.data:g}·{hidden.data:g} + ({c.data:g}) = {out.data:.6g}")
print(f"loss   = ({out.data:.6g} - {target:g})² = {loss.data:.6g}, and before it was {loss_before:g}")
mg.show(mg.draw_dot(loss, parameters=parameters, legend=False), "05_after")
print(
    f"The gradients promised a change of {promised:.4g}, and it was {loss.data - loss_before:.4g}. The promise was more than "
    f"there was to lose: a squared error cannot fall below 0. Chapter 7 is about this."
)

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

chart = plot_lines(
    {"loss": enumerate(losses)}, title="Ten steps: each divides what is left", x="step", y="loss", log="y", markers=True
)
mg.show(chart, "05_steps")
errors = [abs(output - target) for output in outputs]
kept = [later / earlier for earlier, later in pairwise(errors)]
print(f"Each step leaves between {min(kept):.1%} and {max(kept):.1%} of the error before it.")

# %% [markdown]
"""
## What this chapter claims
"""

# %%
assert [slope[name] for name in ("w1", "w2", "b", "v", "c")] == [-4.0, -12.0, -4.0, -1.0, -2.0]
assert gradients == [slope[p.label] for p in parameters]
assert more is w2
assert after_one_step == after_by_hand
assert losses[0] == loss_before
assert promised < -loss_before
assert all(later < earlier for earlier, later in pairwise(losses))
assert isclose(outputs[-1], target, rel_tol=1e-3)
print("All of this chapter's claims hold.")
