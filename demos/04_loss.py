# %% [markdown] minutes=12 ideas=["loss", "reward", "softmax", "cross-entropy", "tangent"]
"""
# 4. The loss says how wrong the network is

To learn, a network must be told how wrong it is, as a single number: the *loss*. 0, or close to it, is good; the larger,
the worse. This chapter puts three losses side by side and then looks at the loss the way learning sees it: as a function
of one weight.

A remark on words. One reads that "the loss function is usually based on SGD". It is the other way round. The loss is the
landscape; *stochastic gradient descent* (SGD) is a way to walk downhill in it, and works for every loss of this chapter.
Chapter 5 takes the first step.
"""

# %% What the chapter needs tags=["fold"]
from math import exp, isclose, log

import micrograd_like as mg
from micrograd_like.drawing import plot_lines
from micrograd_like.explain import loss_slice

# %% [markdown]
"""
## One score, three opinions

Say the network has to answer yes or no. It gives a *score*: above 0 means yes, below 0 means no, and the further away
from 0, the surer it is. The right answer is yes, as a number: the *target* is 1.

- The **squared error** is (score − target)². Averaged over several answers it is called *mse*, mean squared error.
- The **hinge loss** is max(0, 1 − target · score): once the score is right by a margin of 1, it is satisfied.
- **Cross-entropy** turns the score into a probability for yes, p = 1 / (1 + e^−score), and takes −log p: the *surprise*
  that the right answer causes. At p = 1 nothing is surprising; at p close to 0 the surprise grows without end.
"""

# %%
losses = {
    "squared error": lambda score: mg.mse_loss(score, 1),
    "hinge": lambda score: mg.hinge_loss(score, 1),
    "cross-entropy": lambda score: mg.binary_cross_entropy_with_logits(score, 1),
}

# %% prints a table tags=["fold"]
print("score  " + "  ".join(f"{name:>13}" for name in losses))
for score in (-3.0, -1.0, 0.0, 0.5, 1.0, 2.0, 4.0):
    print(f"{score:5.1f}  " + "  ".join(f"{loss(score):13.3f}" for loss in losses.values()))

# %% [markdown]
"""
## What counts is the slope

Learning does not use the loss itself, but its slope: which way to move the score, and how urgently. A slope below 0 says
"raise the score and the loss will fall".
"""

# %% [markdown] tags=["question"] choices=["squared error", "hinge", "cross-entropy"] answer="most"
"""
> **Question.** The score is 4: the network says yes, it is right, and it is very sure. Which of the three losses wants
> most to change that?
"""


# %%
def slope(loss, score):
    value = mg.Value(score)
    loss(value).backward()
    return value.grad


at_four = {name: slope(loss, 4.0) for name, loss in losses.items()}
most = max(at_four, key=lambda name: abs(at_four[name]))

# %% prints a table tags=["fold"]
print("score  " + "  ".join(f"{name:>13}" for name in losses))
for score in (-3.0, -1.0, 0.5, 2.0, 4.0):
    print(f"{score:5.1f}  " + "  ".join(f"{slope(loss, score):13.3f}" for loss in losses.values()))
print(
    f"\nThe squared error pulls the score back with a slope of {at_four['squared error']:g}: to it, a score of 4 "
    f"is as wrong as one of -2.\nHinge is satisfied ({at_four['hinge']:g}), and cross-entropy asks for hardly anything "
    f"({at_four['cross-entropy']:.3f})."
)

# %% [markdown]
"""
So the squared error fits when a *number* is to be met (a price, a temperature), and the other two when an *answer* is to
be right.
"""

# %% draws the three losses tags=["fold"]
scores = [i / 20 for i in range(-60, 81)]
curves = {name: [(s, loss(s)) for s in scores if loss(s) <= 6] for name, loss in losses.items()}
mg.show(plot_lines(curves, title="Target: yes. What each loss says to a score", x="score", y="loss"), "04_losses")

# %% [markdown]
"""
## Loss and reward

One also reads of a *reward*. That is a number that says how **good** something is: the points of a game, say. Where there
is a loss one goes downhill, and where there is a reward one goes uphill. But a reward turned over is a loss: take
loss = −reward, and every slope changes its sign, so that a step downhill on the one is a step uphill on the other.
"""

# %% [markdown] tags=["question"] choices=["the same", "the opposite", "neither"] answer="same_step"
"""
> **Question.** Say the reward is minus the squared error. One learner goes against the gradient of the loss, another goes
> along the gradient of the reward, both from the score −1 and by a tenth of the gradient. Is their step the same?
"""

# %%
loss_gradient = slope(lambda score: mg.mse_loss(score, 1), -1.0)
reward_gradient = slope(lambda score: -mg.mse_loss(score, 1), -1.0)
down_the_loss = -1.0 - 0.1 * loss_gradient
up_the_reward = -1.0 + 0.1 * reward_gradient
same_step = "the same" if down_the_loss == up_the_reward else "the opposite"
print(f"the gradient of the loss is {loss_gradient:g}, that of the reward {reward_gradient:g}")
print(f"down the loss: the score becomes {down_the_loss:g}; up the reward: {up_the_reward:g}")

# %% [markdown]
"""
The difference is elsewhere. A loss knows the right answer for each sample. A reward often comes late and only says how
good it all was, and not which of the many moves was the good one; learning from that is called *reinforcement learning*,
and it is harder because the gradient has to be guessed from trying.
"""

# %% [markdown]
"""
## Several classes

With ten digits to tell apart, the network gives ten scores. *Softmax* turns them into probabilities: it takes e^score of
each, which makes them positive, and divides by their sum, which makes them add up to 1. Cross-entropy is again −log of
the probability of the right class. Three classes show it:
"""

# %%
class_scores = [mg.Value(2.0, label="cat"), mg.Value(1.0, label="dog"), mg.Value(-1.0, label="bird")]
probabilities = [p.data for p in mg.softmax(class_scores)]
by_hand = [exp(s.data) / sum(exp(other.data) for other in class_scores) for s in class_scores]
loss = mg.cross_entropy(class_scores, 1)
loss.backward()
print("it is a dog:     score  probability  slope of the loss")
for score, p in zip(class_scores, probabilities, strict=True):
    print(f"  {score.label:12}  {score.data:6.2f}  {p:11.4f}  {score.grad:+17.4f}")
print(f"loss = -log({probabilities[1]:.4f}) = {loss.data:.4f}")

# %% [markdown]
"""
The slopes have a simple form: for a wrong class, its probability; for the right class, its probability minus 1. The
network is to give probability away to the right class, and the slopes add up to 0.
"""

# %% [markdown]
"""
## The loss as a function of one weight

Now take a neuron, score = w·x + b, and a few samples with their targets. The samples are given, so the loss depends on
nothing but `w` and `b`. Hold `b` and move only `w`: then the loss is a curve, and its *tangent*, the straight line that
touches it where we stand, is what the gradient knows about it.
"""

# %%
w, b = mg.Value(-1.0, label="w"), mg.Value(0.5, label="b")
samples = [(1.0, 1), (2.0, 1), (-1.0, 0), (-2.5, 0), (0.5, 0)]  # (x, is it a yes?)
total = mg.binary_cross_entropy_with_logits([w * x + b for x, _ in samples], [target for _, target in samples])
total.backward()
print(f"at w = {w.data:g} the loss is {total.data:.4f} and its slope {w.grad:.4f}")

# %% [markdown] tags=["question"] choices=["less", "as much", "more"] answer="fell"
"""
> **Question.** We move w against its slope, by 2 times the size of the slope. Compared with what the tangent says, the
> loss will fall by …
"""

# %%
curve = loss_slice(total, w, span=4.0, lr=2.0)
fell = "less" if curve.alone > curve.predicted else "more" if curve.alone < curve.predicted else "as much"

# %% says by how much, and draws the curve tags=["fold"]
print(curve.title + ".")
print(f"w would go from {curve.value:g} to {curve.value + curve.step:.3f}.")
print(
    f"The curve bends upwards (its curvature is {curve.curvature:.3f}), so the tangent says too much: "
    f"{-curve.predicted:.3f} where {-curve.alone:.3f} is true."
)
mg.show(curve, "04_slice")

# %% [markdown]
"""
How far one may trust the tangent is the subject of chapter 7.
"""

# %% [markdown] tags=["exercise"]
"""
## Your turn

Write the hinge loss yourself, with `mg.relu`: satisfied (0) from the margin of 1 on, and below it a straight line.

```python
def hinge(score, target):
    ...
```

<details><summary>Hint 1</summary>
target · score says how right it is: above 1 there is nothing left to wish for.
</details>
<details><summary>Hint 2</summary>
What is missing is 1 − target · score. If nothing is missing, this is negative.
</details>
<details><summary>Hint 3</summary>
ReLU makes 0 of what is negative: `mg.relu(1 - target * score)`.
</details>
"""


# %% tags=["solution"]
def hinge(score, target):
    return mg.relu(1 - target * score)


# %% tags=["check"]
assert hinge(0.5, 1) == 0.5, "a score of 0.5 lacks 0.5"
assert hinge(4.0, 1) == 0.0, "a score of 4 is satisfied"
assert hinge(-2.0, -1) == 0.0, "so is −2, where the answer is no"
assert slope(lambda score: hinge(score, 1), -3.0) == -1.0, "below the margin the slope is −1"

# %% [markdown]
"""
## What this chapter claims
"""

# %% tags=["claims"]
for score in scores:  # the formulas of the text
    assert isclose(losses["squared error"](score), (score - 1) ** 2, abs_tol=1e-12), (
        "the squared error is (score − target)²"
    )
    assert losses["hinge"](score) == max(0.0, 1 - score), "hinge is max(0, 1 − target · score)"
    assert isclose(losses["cross-entropy"](score), -log(1 / (1 + exp(-score))), rel_tol=1e-9), "cross-entropy is −log p"
assert losses["squared error"](4.0) == losses["squared error"](-2.0), "to the squared error, 4 is as wrong as −2"
assert at_four["squared error"] > 0, "it pulls a score of 4 back"
assert at_four["hinge"] == 0, "hinge is satisfied with it"
assert -0.05 < at_four["cross-entropy"] < 0, "cross-entropy asks for hardly anything"
assert down_the_loss == up_the_reward, "a step down a loss is a step up the reward that it turns over"
assert all(isclose(p, q, rel_tol=1e-12) for p, q in zip(probabilities, by_hand, strict=True)), (
    "softmax is e^score, divided"
)
assert isclose(sum(probabilities), 1.0, rel_tol=1e-12), "its probabilities add up to 1"
for i, (score, p) in enumerate(zip(class_scores, probabilities, strict=True)):
    assert isclose(score.grad, p - (i == 1), rel_tol=1e-12), (
        "a class's slope is its probability, minus 1 for the right one"
    )
assert isclose(loss.data, -log(probabilities[1]), rel_tol=1e-12), "the loss is −log of the right one's probability"
assert curve.curvature > 0, "the curve bends upwards"
assert curve.predicted < curve.alone < 0, "so the loss falls by less than the tangent says"
print("All of this chapter's claims hold.")
