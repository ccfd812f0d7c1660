# %% [markdown]
"""
# 7. How far? Too small never arrives, too big bounces

The gradient says which way. The *learning rate* says how far: a step is the learning rate times the gradient. This
chapter finds out what happens when it is too small or too large, and where exactly "too large" begins. Then it lets the
steps gather momentum.
"""

# %%
from fractions import Fraction
from itertools import pairwise
from math import isclose

import micrograd_like as mg
from micrograd_like.data import make_moons
from micrograd_like.drawing import plot_lines
from micrograd_like.explain import explain_step, step_sweep

# %% [markdown]
"""
## A parabola

The simplest valley is a parabola: loss = 2·(w − 1)². Its lowest point is w = 1. Its slope at w is 4·(w − 1), and the
slope itself changes by 4 when w changes by 1. How fast the slope changes is called the *curvature*: a narrow valley has
a large one, a wide valley a small one. The engine finds it as the gradient of the gradient.
"""

# %%
w = mg.Value(3.0, label="w")
loss = 2 * (w - 1) ** 2
slope = mg.gradient(loss, w)
curvature = mg.gradient(slope, w)
print(f"at w = {w.data:g}: loss {loss.data:g}, slope {slope.data:g}, curvature {curvature.data:g}")

# %% [markdown] tags=["question"]
"""
> **Question.** We start at w = 3, which is 2 away from the lowest point. One step with the learning rate 0.25 goes to
> 3 − 0.25·8. And with the learning rate 0.5?
"""


# %%
def descend(rate, steps=8, start=3):
    """The places that gradient descent visits, as exact fractions."""
    places, place = [Fraction(start)], mg.Value(Fraction(start))
    for _ in range(steps):
        place = mg.Value(place.data)
        (2 * (place - 1) ** 2).backward()
        place.data -= Fraction(rate) * place.grad
        places.append(place.data)
    return places


rates = ["1/50", "1/10", "1/4", "9/20", "1/2", "11/20"]
walks = {rate: descend(rate) for rate in rates}
print("rate    " + "  ".join(f"step {i}" for i in range(6)))
for rate, places in walks.items():
    print(f"{rate:6}  " + "  ".join(f"{float(place):6.3f}" for place in places[:6]))

# %% [markdown]
"""
- 1/50 walks in the right direction, and would walk for a long time: *too small never arrives*.
- 1/4 arrives in a single step. It is 1 divided by the curvature.
- 9/20 jumps to the other side each time, but lands closer each time.
- 1/2 jumps from 3 to −1 and back, for ever: the loss stays what it was.
- 11/20 lands further away each time: *too big bounces*, and the loss grows.

Why: a step multiplies the distance from the lowest point by 1 − rate · curvature. It shrinks only if this factor is
between −1 and 1, which means that **the learning rate must be below 2 / curvature**.
"""

# %%
limit = 2 / curvature.data
print(f"2 / curvature = {limit:g}")
for rate, places in walks.items():
    factor = 1 - Fraction(rate) * 4
    after = float(places[-1] - 1)
    print(
        f"rate {rate:6} multiplies the distance by {float(factor):5.2f}; after {len(places) - 1} steps it is {after:9.4f}"
    )
lines = {f"rate {rate}": [(i, abs(place - 1) ** 2 * 2 + Fraction(1, 10**6)) for i, place in enumerate(places)]
         for rate, places in walks.items() if rate in ("1/50", "1/10", "9/20", "1/2", "11/20")}  # fmt: skip
chart = plot_lines(
    lines, title=f"A step helps below the learning rate {limit:g}", x="step", y="loss", log="y", markers=True
)
mg.show(chart, "07_parabola")

# %% [markdown]
"""
## A network

The loss of a network is no parabola, but close to where we stand it resembles one. So 2 / curvature should be a good
guess for the largest learning rate that still helps. Here the curvature is meant along the direction of the step. The
sweep takes *one* step, from the same place, with many learning rates.
"""

# %%
model = mg.MLP(2, [6, 1], activation="tanh", rng=3)
samples = make_moons(20, noise=0.1, seed=1)


def total_loss():
    return mg.mse_loss([model(x) for x, _ in samples], [target for _, target in samples])


sweep = step_sweep(total_loss(), model)
print(sweep.text(rows=None))
mg.show(sweep, "07_sweep")

# %% [markdown]
"""
*Overshoots* means: the step jumped over the valley's floor, and still ended lower than it began. *Hurts* means that it
ended higher. The largest step that helps was found by halving an interval again and again.
"""

# %% [markdown] tags=["question"]
"""
> **Question.** A step that hurts: will the report show many parameters that went the wrong way, each on its own?
"""

# %%
rate = 1.5 * sweep.largest
report = explain_step(total_loss(), model, lr=rate)
print(report.title + ".")
print(report.lesson)
mg.show(report, "07_step")

# %% [markdown]
"""
Each parameter's change *alone* is what the loss would do if only this one moved. The *interaction* is what happens
because they all move together: they all correct the same error at the same time, and so they correct it several times
over. That is why large steps bounce.

## Momentum

A valley can be narrow in one direction and wide in another. Then the narrow direction limits the learning rate, and the
wide one hardly gets anywhere with it. *Momentum* helps: keep a part of the last step's movement. In the narrow direction
the movements cancel, because they go back and forth; in the wide direction they add up.
"""


# %%
def walk(momentum, steps=60):
    """Gradient descent in the valley a²/2 + 20·b²/2: (a, b, loss) at the start and after each step."""
    a, b = mg.Value(10.0, label="a"), mg.Value(1.0, label="b")
    optimizer = mg.SGD([a, b], lr=0.05, momentum=momentum)
    visited = []
    for _ in range(steps + 1):
        loss = a**2 / 2 + 20 * b**2 / 2
        visited.append((a.data, b.data, loss.data))
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
    return visited


plain, heavy = walk(0.0), walk(0.7)
goal = 0.01
arrived = {}
for name, visited in {"without momentum": plain, "momentum 0.7": heavy}.items():
    arrived[name] = next((i for i, (*_, loss) in enumerate(visited) if all(v[2] < goal for v in visited[i:])), None)
    after = (
        f"stays below {goal} from step {arrived[name]} on" if arrived[name] is not None else f"never falls to {goal}"
    )
    print(f"{name:17} loss after {len(visited) - 1} steps {visited[-1][2]:.2e}; it {after}")
chart = plot_lines(
    {
        "without momentum": [(i, v[2]) for i, v in enumerate(plain)],
        "momentum 0.7": [(i, v[2]) for i, v in enumerate(heavy)],
    },
    title="The same learning rate, with and without momentum",
    x="step",
    y="loss",
    log="y",
)
mg.show(chart, "07_momentum")

# %% [markdown]
"""
## What this chapter claims
"""

# %%
assert (slope.data, curvature.data) == (8.0, 4.0)
for rate_, places in walks.items():  # the factor of the text, exactly
    assert all(b - 1 == (1 - Fraction(rate_) * 4) * (a - 1) for a, b in pairwise(places))
assert walks["1/4"][1] == 1
assert walks["1/2"][:3] == [3, -1, 3]
assert abs(walks["9/20"][-1] - 1) < abs(walks["9/20"][0] - 1)
assert abs(walks["11/20"][-1] - 1) > abs(walks["11/20"][0] - 1)
assert sweep.rates[0].verdict == "helps"
assert sweep.rates[-1].verdict == "hurts"
assert isclose(sweep.largest, sweep.theory, rel_tol=0.5)
assert report.change > 0 > report.predicted
assert report.interaction > 0
assert sum(p.alone > 0 for p in report.parameters) < len(report.parameters) / 2
assert arrived["momentum 0.7"] is not None
assert arrived["without momentum"] is None or arrived["momentum 0.7"] < arrived["without momentum"]
print("All of this chapter's claims hold.")
