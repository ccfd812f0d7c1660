# %% [markdown] minutes=12 ideas=["epoch", "batch", "shuffle", "over-fitting"]
"""
# 8. How often to step: epochs, mini-batches and noise

The loss of chapter 5 was that of a single sample. Real data has hundreds or millions of them, and the loss we mean is the
mean over all. Must every step look at all samples? This chapter compares three answers, with the same number of samples
looked at, and then shows the danger of looking at the same samples too often.
"""

# %% What the chapter needs tags=["fold"]
import random
from math import sqrt
from statistics import fmean

import micrograd_like as mg
from micrograd_like.data import load_digits
from micrograd_like.drawing import plot_lines

# %% [markdown]
"""
## Words

- A **batch** is the samples that one step looks at. Its loss is the mean of their losses.
- *Full batch*: all of them. *Mini-batch*: some, say 16. *One by one*: a single one.
- An **epoch** is a walk through all samples, each once. With mini-batches it takes many steps.
- Before each epoch the samples are **shuffled**, so that the batches are always other ones. Otherwise every epoch would
  repeat the same steps, and the last batch would always have the last word.
- *Stochastic* means "by chance": descent with batches drawn by chance is stochastic gradient descent, **SGD**.

The samples are handwritten digits, pictures of 8×8 pixels, and the network answers a single question: is it a 3 or a 1?
Chapter 9 looks at the pictures themselves; here they are just data.
"""

# %%
train, held_out = load_digits([1, 3], seed=1)
train = [(pixels, int(digit == 3)) for pixels, digit in train]
held_out = [(pixels, int(digit == 3)) for pixels, digit in held_out]
print(f"{len(train)} pictures to learn from, {len(held_out)} held out: the network never learns from those")


def new_network():
    return mg.MLP(64, [4, 1], activation="tanh", rng=7)


loss_of = mg.binary_cross_entropy_with_logits

# %% [markdown]
"""
## Three ways to walk through the same samples

Each way gets three epochs, so each computes exactly as many gradients of single samples. And each gets the learning rate
that is best for it, out of six: few steps may be long, many steps must be short. What counts in the end is the loss over
*all* pictures. (`compiled=True` only makes it fast; chapter 13 says how.)
"""

# %% [markdown] tags=["question"] choices=["full batch", "mini-batches of 16", "one by one"] answer="winner"
"""
> **Question.** Which has the lowest loss in the end: three steps with all pictures, steps with 16 pictures each, or
> hundreds of steps with one picture each, every one of which looks at hardly anything?
"""

# %%
EPOCHS, RATE = 3, 0.1
ways = {"full batch": None, "mini-batches of 16": 16, "one by one": 1}
rates = (0.03, 0.1, 0.3, 1.0, 3.0, 10.0)
losses = {name: {} for name in ways}
for name, size in ways.items():
    for rate in rates:
        model = new_network()
        optimizer = mg.SGD(model.parameters(), lr=rate)
        mg.fit(model, train, loss_of, optimizer, EPOCHS, size, rng=3, progress=False, compiled=True)
        losses[name][rate] = mg.evaluate(model, train, loss_of)[0]
best_rates = {name: min(rates, key=found.get) for name, found in losses.items()}
results = {name: losses[name][rate] for name, rate in best_rates.items()}
winner = min(results, key=results.get)

# %% prints a table tags=["fold"]
print("the loss over all pictures, by learning rate")
print(f"{'':19}" + "".join(f"{rate:9g}" for rate in rates))
for name, found in losses.items():
    print(f"{name:19}" + "".join(f"{loss:9.4f}" for loss in found.values()))
for name, size in ways.items():
    steps = EPOCHS * -(-len(train) // (size or len(train)))
    print(f"{name}: {steps} steps with the rate {best_rates[name]:g} end at {results[name]:.4f}")

# %% [markdown]
"""
## Noise against progress

A step on a few samples follows *their* gradient, which is not the gradient of all. How far off is it? We compare the
gradients of random batches with the full one, as vectors (lists of numbers, one for each parameter). The *noise* is the
length of the difference, on average.
"""

# %%
model = new_network()


def gradient_of(batch):
    model.zero_grad()
    mg.mean([loss_of(model(x), target) for x, target in batch]).backward()
    return [parameter.grad for parameter in model.parameters()]


def length(vector):
    return sqrt(sum(x * x for x in vector))


full = gradient_of(train)
draw = random.Random(5)
noise = {}

# %% measures the noise tags=["fold"]
print(f"the full gradient has the length {length(full):.3f}")
for size in (1, 4, 16, 64):
    batches = [draw.sample(train, size) for _ in range(25)]
    noise[size] = fmean(length([a - b for a, b in zip(gradient_of(batch), full, strict=True)]) for batch in batches)
    print(f"batches of {size:2}: noise {noise[size]:.3f}, {noise[size] / length(full):.1f} times the full gradient")

# %% [markdown]
"""
Four times as many samples in a batch make about half the noise. (It is the law of means: the error of a mean over n
draws shrinks like 1/√n.) So a batch four times as large costs four times as much and is only twice as precise. That is
why small batches win here: they take many more steps for the same work, and the noise averages out *over the steps*. The
full batch may take longer steps, but only up to the limit of chapter 7, and three of them are not enough.

Here is the loss over all pictures on the way, each with its best learning rate:
"""

# %% trains once more, and measures after each tenth of an epoch tags=["fold"]
curves = {}
for name, size in ways.items():
    model, points = new_network(), []
    size_ = size or len(train)
    every = max(1, len(train) // size_ // 10)

    def measure(step, model=model, points=points, size_=size_, every=every):
        if step.number % every == 0:  # before the step
            points.append((min(step.number * size_, EPOCHS * len(train)), mg.evaluate(model, train, loss_of)[0]))

    optimizer = mg.SGD(model.parameters(), lr=best_rates[name])
    mg.fit(model, train, loss_of, optimizer, EPOCHS, size, rng=3, progress=False, callbacks=[measure])
    curves[name] = [*points, (EPOCHS * len(train), mg.evaluate(model, train, loss_of)[0])]
picture = plot_lines(
    curves,
    title="The same work: many short steps get further than three long ones",
    x="pictures looked at",
    y="loss over all pictures",
    log="y",
)
mg.show(picture, "08_batches")

# %% [markdown]
"""
## Why shuffle?

Suppose the pictures come sorted, first all 1s and then all 3s, and nobody shuffles them. We write the loop ourselves to
see it: an epoch, one by one, in the order given, and the same in a shuffled order.
"""


# %%
def one_epoch(samples, lr=RATE):
    model = new_network()
    optimizer = mg.SGD(model.parameters(), lr=lr)
    for x, target in samples:
        optimizer.zero_grad()
        loss_of(model(x), target).backward()
        optimizer.step()
    return mg.evaluate(model, held_out, loss_of)


in_order = sorted(train, key=lambda sample: sample[1])
shuffled = random.Random(3).sample(train, len(train))
sorted_result, shuffled_result = one_epoch(in_order), one_epoch(shuffled)

# %% prints both tags=["fold"]
print(f"sorted:   held-out loss {sorted_result[0]:.3f}, {sorted_result[1]:.1%} right")
print(f"shuffled: held-out loss {shuffled_result[0]:.3f}, {shuffled_result[1]:.1%} right")

# %% [markdown]
"""
## Too many epochs: learning by heart

More epochs lower the loss on the samples that are learned from, always further. That is not the aim: the aim is to be
right about *new* samples. We make it hard: only 30 pictures to learn from, and six of them labelled wrongly, as happens
with real data. The network is large enough to remember each of them.
"""

# %% [markdown] tags=["question"] choices=["it falls too", "it falls, then rises", "it rises from the start"] answer="held_out_does"
"""
> **Question.** The loss on the 30 pictures falls and falls. What does the loss on the held-out pictures do?
"""

# %%
few = [(x, 1 - target if i < 6 else target) for i, (x, target) in enumerate(train[:30])]
model = mg.MLP(64, [8, 1], activation="tanh", rng=1)
optimizer = mg.SGD(model.parameters(), lr=0.1, momentum=0.5)
history = mg.fit(model, few, loss_of, optimizer, epochs=60, batch_size=5, held_out=held_out[:40], rng=0, progress=False)
best = min(history.epochs, key=lambda epoch: epoch.held_out_loss)
last = history.epochs[-1]
rises, falls = last.held_out_loss > best.held_out_loss, best.held_out_loss < history.epochs[0].held_out_loss
held_out_does = "it falls, then rises" if rises and falls else "it falls too" if falls else "it rises from the start"

# %% prints and draws both tags=["fold"]
print(f"the best epoch for held-out pictures is number {best.epoch}: {best}")
print(f"the last one: {last}")
picture = plot_lines(
    {
        "30 pictures learned from": [(e.epoch, e.loss) for e in history.epochs],
        "40 held-out pictures": [(e.epoch, e.held_out_loss) for e in history.epochs],
    },
    title=f"From epoch {best.epoch} on the network learns by heart",
    x="epoch",
    y="loss",
)
mg.show(picture, "08_overfitting")

# %% [markdown]
"""
This is called *over-fitting*: the network fits the samples, with their mistakes, better than the truth behind them. That
is why some samples are held out: only they can tell. One may stop at the best epoch, use more data, or a smaller network.
"""

# %% [markdown] tags=["exercise"]
"""
## Your turn

Write an epoch's plan: a function that shuffles the samples and cuts them into batches. Every sample comes exactly once,
and the last batch may be smaller. `random.Random(seed)` makes the same order each time.

```python
def batches(samples, size, seed):
    ...
```

<details><summary>Hint 1</summary>
First a shuffled copy, then pieces of it.
</details>
<details><summary>Hint 2</summary>
`random.Random(seed).sample(samples, len(samples))` is a shuffled copy.
</details>
<details><summary>Hint 3</summary>
The pieces begin at 0, size, 2·size, …: `[order[i : i + size] for i in range(0, len(order), size)]`.
</details>
"""


# %% tags=["solution"]
def batches(samples, size, seed):
    order = random.Random(seed).sample(samples, len(samples))
    return [order[i : i + size] for i in range(0, len(order), size)]


# %% tags=["check"]
plan = batches(list(range(10)), 4, seed=1)
assert [len(batch) for batch in plan] == [4, 4, 2], "ten samples in fours make 4, 4 and 2"
assert sorted(x for batch in plan for x in batch) == list(range(10)), "every sample comes exactly once"
assert [x for batch in plan for x in batch] != list(range(10)), "they are shuffled"
assert batches(list(range(10)), 4, seed=1) == plan, "the same seed makes the same plan"
assert batches(list(range(10)), 4, seed=2) != plan, "another seed makes another one"

# %% [markdown]
"""
## What this chapter claims
"""

# %% tags=["claims"]
assert results["full batch"] > results["mini-batches of 16"] > results["one by one"], (
    "for the same work, each at its best rate, smaller batches get further"
)
assert results["full batch"] > 20 * results["one by one"], "and much further"
assert best_rates["full batch"] >= best_rates["mini-batches of 16"] > best_rates["one by one"], (
    "long steps need large batches"
)
assert all(0.35 < noise[4 * size] / noise[size] < 0.65 for size in (1, 4, 16)), (
    "four times the samples make half the noise"
)
assert sorted_result[0] > shuffled_result[0], "sorted samples teach less than shuffled ones"
assert sorted_result[1] < shuffled_result[1], "and fewer held-out pictures are right"
assert best.epoch < last.epoch, "the best epoch for held-out pictures is not the last one"
assert last.loss < best.loss, "while the loss on the 30 pictures still falls"
assert last.held_out_loss > 1.2 * best.held_out_loss, "the held-out loss has risen by a fifth and more"
print("All of this chapter's claims hold.")
