# %% [markdown] minutes=15 ideas=["learning rate", "curvature", "momentum"]
"""
# 7. How far? Too small never arrives, too big bounces

The gradient says which way. The *learning rate* says how far: a step is the learning rate times the gradient. This
chapter finds out what happens when it is too small or too large, and where exactly "too large" begins. Then it lets the
steps gather momentum.
"""

# %% What the chapter needs tags=["fold"]
from fractions import Fraction
from itertools import pairwise
from math import isclose

import micrograd_like as mg
from micrograd_like.data import make_moons
from micrograd_like.drawing import Plot, house_style, plot_lines
from micrograd_like.drawing.style import LOWERS, RAISES
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

# %% [markdown] tags=["question"] answer="float(walks['1/2'][1])" tolerance=0.001
"""
> **Question.** We start at w = 3, which is 2 away from the lowest point, and the slope there is 8. One step with the
> learning rate 0.25 goes to 3 − 0.25·8 = 1. Where does one with the learning rate 0.5 go?
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

# %% prints the places tags=["fold"]
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

# %% draws the ball in the valley tags=["fold"]
with house_style() as matplotlib:
    figure = matplotlib.figure.Figure(figsize=(880 / 72, 325 / 72), layout="constrained")
    valley = [i / 50 - 2.8 for i in range(381)]
    shown = {
        "1/10": "rolls down",
        "9/20": "jumps, and lands closer",
        "1/2": "jumps to and fro",
        "11/20": "lands further away",
    }
    for ax, (rate_shown, what) in zip(figure.subplots(1, 4, sharey=True), shown.items(), strict=True):
        ax.plot(valley, [2 * (at - 1) ** 2 for at in valley], color="#8a8f98", linewidth=1)
        balls = [(float(at), float(2 * (at - 1) ** 2)) for at in walks[rate_shown][:6]]
        colour = LOWERS if Fraction(rate_shown) < Fraction(1, 2) else RAISES
        for (x0, y0), (x1, y1) in pairwise(balls):
            arrow = {
                "arrowstyle": "->",
                "color": colour,
                "connectionstyle": "arc3,rad=-0.25",
                "shrinkA": 4,
                "shrinkB": 4,
            }
            ax.annotate("", (x1, y1), (x0, y0), arrowprops=arrow)
        ax.plot(*zip(*balls, strict=True), "o", color=colour, markersize=6)
        ax.set(title=f"rate {rate_shown}\n{what}\nloss", xlabel="w", xlim=(-2.9, 4.9), ylim=(-1, 25))
    figure.suptitle(
        "Above the rate 1/2 each step lands further from the lowest point", x=0.005, ha="left", fontweight="bold"
    )
mg.show(Plot(figure), "07_parabola")

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
mg.show(sweep, "07_sweep")
print(f"The largest step that helps has the learning rate {sweep.largest:.4g};")
print(f"2 / curvature along the step is {sweep.theory:.4g}.")

# %% [markdown]
"""
*Overshoots* means: the step jumped over the valley's floor, and still ended lower than it began. *Hurts* means that it
ended higher. The largest step that helps was found by halving an interval again and again.

Here is the network for one of the points, with each parameter coloured by what it did in a single step: blue lowered the
loss, orange raised it. First a small step, then one that overshoots, then one that hurts.
"""

# %%
x, target = samples[0]
steps_drawn = {}
for name, factor in {"small": 0.1, "overshoots": 0.9, "hurts": 1.5}.items():
    one_loss = (model(x) - target) ** 2
    own_sweep = step_sweep(one_loss, model)
    one_loss.backward()
    step = explain_step(one_loss, model, lr=factor * own_sweep.largest)
    steps_drawn[name] = step
    print(f"rate {step.lr:.3g}: the loss goes from {step.before:.3g} to {step.after:.3g}")
    mg.show(mg.draw_dot(one_loss, depth="neurons", report=step), f"07_{name}")

# %% [markdown] tags=["question"] choices=["none", "a few", "most"] answer="alone_hurt"
"""
> **Question.** A step on all the points that hurts: how many of the 25 parameters went the wrong way, each on its own?
"""

# %%
rate = 1.5 * sweep.largest
report = explain_step(total_loss(), model, lr=rate)
wrong_alone = sum(p.alone > 0 for p in report.parameters)
alone_hurt = "none" if not wrong_alone else "a few" if wrong_alone < len(report.parameters) / 2 else "most"

# %% says what happened, and draws it tags=["fold"]
print(report.title + ".")
print(report.lesson)
mg.show(report, "07_step")

# %% [markdown]
"""
Each parameter's change *alone* is what the loss would do if only this one moved. The *interaction* is what happens
because they all move together: they all correct the same error at the same time, and so they correct it several times
over. That is why large steps bounce.
"""

# %% [markdown]
"""
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

# %% prints and draws both tags=["fold"]
goal = 0.01
arrived = {}
for name, visited in {"without momentum": plain, "momentum 0.7": heavy}.items():
    arrived[name] = next((i for i, (*_, loss) in enumerate(visited) if all(v[2] < goal for v in visited[i:])), None)
    after = (
        f"stays below {goal} from step {arrived[name]} on" if arrived[name] is not None else f"never falls to {goal}"
    )
    print(f"{name}: after {len(visited) - 1} steps the loss is {visited[-1][2]:.2e}; it {after}")
chart = plot_lines(
    {
        "without momentum": [(i, v[2]) for i, v in enumerate(plain)],
        "momentum 0.7": [(i, v[2]) for i, v in enumerate(heavy)],
    },
    title=f"After {len(plain) - 1} steps the loss is {heavy[-1][2]:.1g} with momentum, {plain[-1][2]:.1g} without",
    x="step",
    y="loss",
    log="y",
)
mg.show(chart, "07_momentum")

# %% [markdown] tags=["exercise"]
"""
## Your turn

Find the largest learning rate that still lowers the loss of the network on the twenty points, to a twentieth. One step is
`explain_step(total_loss(), model, lr=...)`, and its `.change` is below 0 if the step helps. (The sweep above has found it
with more digits. Find it yourself: you may write a loop.)

```python
largest = 0.1
```

<details><summary>Hint 1</summary>
Try a rate. If the step helps, go higher; if it hurts, go lower.
</details>
<details><summary>Hint 2</summary>
Keep two rates: one that helps and one that hurts. The one you look for is between them.
</details>
<details><summary>Hint 3</summary>
Try the middle of the two. If it helps, it takes the place of the first, otherwise of the second. Repeat ten times.
</details>
"""

# %% tags=["solution"]
largest, too_large = 0.001, 10.0
for _ in range(15):
    middle = (largest + too_large) / 2
    if explain_step(total_loss(), model, lr=middle).change < 0:
        largest = middle
    else:
        too_large = middle

# %% tags=["check"]
assert explain_step(total_loss(), model, lr=largest).change < 0, "a step with your rate lowers the loss"
assert explain_step(total_loss(), model, lr=1.05 * largest).change > 0, "a step a twentieth longer raises it"

# %% [markdown]
"""
## What this chapter claims
"""

# %% tags=["claims"]
assert (slope.data, curvature.data) == (8.0, 4.0), "at w = 3 the slope is 8 and the curvature 4"
for rate_, places in walks.items():  # the factor of the text, exactly
    assert all(b - 1 == (1 - Fraction(rate_) * 4) * (a - 1) for a, b in pairwise(places)), (
        "a step multiplies the distance by 1 − rate · curvature"
    )
assert walks["1/4"][1] == 1, "1 / curvature arrives in one step"
assert walks["1/2"][:3] == [3, -1, 3], "2 / curvature jumps to and fro"
assert abs(walks["9/20"][-1] - 1) < abs(walks["9/20"][0] - 1), "below that it comes closer"
assert abs(walks["11/20"][-1] - 1) > abs(walks["11/20"][0] - 1), "above it goes further away"
assert sweep.rates[0].verdict == "helps", "in a network, a small step helps"
assert sweep.rates[-1].verdict == "hurts", "and a large one hurts"
assert isclose(sweep.largest, sweep.theory, rel_tol=0.5), "2 / curvature is a good guess for where that begins"
assert report.change > 0 > report.predicted, "the slopes said that the loss would fall, and it rose"
assert report.interaction > 0, "because the parameters moved together"
assert wrong_alone < len(report.parameters) / 2, "alone, most of them would have helped"
assert [steps_drawn[name].change < 0 for name in ("small", "overshoots", "hurts")] == [True, True, False], (
    "of the three steps that were drawn, the last one raises the loss"
)
assert arrived["momentum 0.7"] is not None, "with momentum it arrives"
assert arrived["without momentum"] is None or arrived["momentum 0.7"] < arrived["without momentum"], "and sooner"
print("All of this chapter's claims hold.")
