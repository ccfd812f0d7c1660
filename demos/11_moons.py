# %% [markdown] minutes=10 ideas=["boundary", "margin", "hinge loss"]
"""
# 11. Two moons: watching a boundary bend

This is the demo that made micrograd known: points on two half circles, interleaved like two moons, and a network that
learns to tell the two apart. With two inputs a network can be seen whole: colour the plane by what it answers. We watch
the boundary between yes and no at every stage of the training.
"""

# %% What the chapter needs tags=["fold"]
import random

import micrograd_like as mg
from micrograd_like.data import make_moons
from micrograd_like.drawing import plot_learning, plot_regions, regions

# %% [markdown]
"""
## The data and the network

100 points. Those of the upper moon have the target −1, those of the lower one 1. The network has two hidden layers of 16
ReLU neurons each, and one output whose sign is the answer.
"""

# %%
samples = make_moons(100, noise=0.1, seed=1337)
model = mg.MLP(2, [16, 16, 1], rng=random.Random(1337))
print(f"{len(model.parameters())} parameters, {len(samples)} points")

# %% [markdown]
"""
## Training

The loss is the *hinge loss* (chapter 4): it is satisfied with a point as soon as its score has the right sign and a size
of at least 1. Every step uses all the points. The learning rate begins at 1 and falls to 0.1, so that the first steps are
bold and the last ones careful. *Weight decay* pulls every parameter a little towards 0 in each step; it is what micrograd's
demo writes as a penalty on the squares of the parameters.

A *callback* is a function that is called at each step. Ours keeps what the network answers, everywhere in the plane, at
some of the steps.
"""

# %%
STEPS = 80
stages, halfway = {}, {}


def keep(step):
    if step.number == 20:
        halfway.update(model.state_dict())
    if step.number in (0, 5, 20):
        accuracy = mg.evaluate(model, samples, mg.hinge_loss)[1]
        stages[f"step {step.number}: {accuracy:.0%} right"] = regions(model, samples, points=33)


optimizer = mg.SGD(model.parameters(), lr=lambda step: 1.0 - 0.9 * step / STEPS, weight_decay=2e-4)
history = mg.fit(model, samples, mg.hinge_loss, optimizer, epochs=STEPS, callbacks=[keep], progress=False)
loss, accuracy = mg.evaluate(model, samples, mg.hinge_loss)
stages[f"step {STEPS}: {accuracy:.0%} right"] = regions(model, samples, points=33)
print(f"before: loss {history.losses[0]:.3f}; after {STEPS} steps: loss {loss:.4f}, {accuracy:.0%} of the points right")

# %% [markdown] tags=["question"] answer="right_before" tolerance=0.15
"""
> **Question.** The network begins with random weights. What share of the points does it get right before the first step?
> (For example: 50 %.)
"""

# %%
right_before = int(next(iter(stages)).split()[2].rstrip("%")) / 100

# %% draws the stages tags=["fold"]
for title in stages:
    print(title)
mg.show(plot_regions(stages), "11_moons")

# %% [markdown]
"""
Every hidden neuron has a bend where its total is 0 (chapter 2): a straight line across the plane. The boundary is put
together from pieces between these lines, so it has corners, if you look closely. Training moves the lines until the
pieces follow the gap between the moons.
"""

# %% [markdown]
"""
Watch it happen: the live page trains the same network before your eyes, with the points where you drag them.
"""

# %% makes the live page tags=["fold"]
pupil = mg.MLP(2, [16, 16, 1], rng=random.Random(1337))
live = mg.play(
    pupil, samples, mg.hinge_loss, mg.SGD(pupil.parameters(), lr=0.3), title="Two moons: watch the boundary bend"
)
mg.show(live, "11_live")

# %% [markdown]
"""
## Who pulls at the boundary?

The *margin* of a point is its score times its target: positive if the point is on the right side, and at least 1 where
the hinge loss is satisfied. We go back to step 20, whose parameters the callback has kept, and look at the margins.
"""

# %%
trained = model.state_dict()
model.load_state_dict(halfway)
margins = [model(x).data * target for x, target in samples]
undecided = [sample for sample, margin in zip(samples, margins, strict=True) if margin < 1]
wrong = sum(margin < 0 for margin in margins)
print(f"at step 20, {len(samples) - len(undecided)} of {len(samples)} points have a margin of at least 1")
print(f"{len(undecided)} do not; {wrong} of them are on the wrong side")

# %% [markdown] tags=["question"] choices=["not at all", "a little", "a lot"] answer="changes"
"""
> **Question.** Suppose we take away all the points that are satisfied. How will that change the gradient of the summed
> loss?
"""


# %%
def summed_gradient(points):
    model.zero_grad()
    mg.sum([mg.hinge_loss(model(x), target) for x, target in points]).backward()
    return [parameter.grad for parameter in model.parameters()]


difference = max(abs(a - b) for a, b in zip(summed_gradient(samples), summed_gradient(undecided), strict=True))
changes = "not at all" if difference == 0 else "a little" if difference < 0.1 else "a lot"

# %% says by how much tags=["fold"]
print(f"largest difference between the two gradients: {difference:g}")
print(f"Only the {len(undecided)} undecided points pull at the boundary.")
model.load_state_dict(trained)

# %%
mg.show(plot_learning(history), "11_learning")

# %% [markdown]
"""
## New points

One hundred points are few. Does the boundary hold for points the network has never seen?
"""

# %%
unseen = make_moons(500, noise=0.1, seed=2)
unseen_loss, unseen_accuracy = mg.evaluate(model, unseen, mg.hinge_loss)
print(f"{unseen_accuracy:.1%} of {len(unseen)} new points are on the right side")

# %% [markdown] tags=["exercise"]
"""
## Your turn

Write `pulls(model, sample)`: whether a point still pulls at the boundary. A sample is a pair, the point and its target.

```python
def pulls(model, sample):
    point, target = sample
    return ...
```

<details><summary>Hint 1</summary>
A point pulls if the hinge loss is not satisfied with it.
</details>
<details><summary>Hint 2</summary>
Satisfied means: its margin is at least 1. The margin is its score times its target.
</details>
<details><summary>Hint 3</summary>
The score is `model(point).data`, so the answer is `model(point).data * target < 1`.
</details>
"""


# %% tags=["solution"]
def pulls(model, sample):
    point, target = sample
    return model(point).data * target < 1


# %% tags=["check"]
model.load_state_dict(halfway)
assert [sample for sample in samples if pulls(model, sample)] == undecided, "at step 20 it finds the undecided points"
model.load_state_dict(trained)
assert sum(pulls(model, sample) for sample in samples) < len(undecided), "at the end fewer points pull"

# %% [markdown]
"""
## What this chapter claims
"""

# %% tags=["claims"]
assert accuracy == 1.0, "all points are on the right side in the end"
assert loss < 0.05 < history.losses[0], "the loss has fallen below 0.05"
assert 0 < wrong < len(undecided) < len(samples), "at step 20 some points are wrong, and more are undecided"
assert difference == 0, "satisfied points do not change the gradient at all"
assert unseen_accuracy > 0.95, "of new points, more than 95 % are on the right side"
print("All of this chapter's claims hold.")
