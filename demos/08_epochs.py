# %% [markdown]
"""
# 8. How often to step: epochs, mini-batches and noise

The loss of chapter 5 was that of a single sample. Real data has hundreds or millions of them, and the loss we mean is the
mean over all. Must every step look at all samples? This chapter compares three answers, with the same number of samples
looked at, and then shows the danger of looking at the same samples too often.
"""

# %%
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

Each way gets three epochs, so each computes exactly as many gradients of single samples. The learning rate is the same.
"""

# %% [markdown] tags=["question"]
"""
> **Question.** Which has the lowest loss in the end: three steps with all pictures, or hundreds of steps with one picture
> each, every one of which looks at hardly anything?
"""

# %%
EPOCHS, RATE = 3, 0.1
ways = {"full batch": None, "mini-batches of 16": 16, "one by one": 1}
histories, results, curves = {}, {}, {}
for name, size in ways.items():
    model = new_network()
    optimizer = mg.SGD(model.parameters(), lr=RATE)
    histories[name] = mg.fit(model, train, loss_of, optimizer, EPOCHS, size, rng=3, progress=False)
    results[name] = mg.evaluate(model, train, loss_of)
    print(f"{name:19} {len(histories[name].losses):4} steps: loss {results[name][0]:.4f}, {results[name][1]:.1%} right")
    per_step = len(train) * EPOCHS / len(histories[name].losses)
    curves[name] = [(i * per_step, batch_loss) for i, batch_loss in enumerate(histories[name].losses)]

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
print(f"the full gradient has the length {length(full):.3f}")
for size in (1, 4, 16, 64):
    batches = [draw.sample(train, size) for _ in range(25)]
    noise[size] = fmean(length([a - b for a, b in zip(gradient_of(batch), full, strict=True)]) for batch in batches)
    print(f"batches of {size:2}: noise {noise[size]:.3f}, {noise[size] / length(full):.1f} times the full gradient")

# %% [markdown]
"""
Four times as many samples in a batch make about half the noise. (It is the law of means: the error of a mean over n
draws shrinks like 1/√n.) So a batch four times as large costs four times as much and is only twice as precise. That is
why small batches win here: they take many more steps for the same work, and the noise averages out *over the steps*.
One by one is the extreme: it moves a lot with every sample, and its loss jumps accordingly. (The full batch could take
longer steps than these, but only up to the limit of chapter 7; and with too long a step the noise would win.)
"""

# %%
smooth = {
    name: [(x, fmean(y for _, y in points[max(0, i - 15) : i + 1])) for i, (x, y) in enumerate(points)]
    for name, points in curves.items()
}
picture = plot_lines(
    {"full batch": curves["full batch"], "mini-batches of 16": curves["mini-batches of 16"],
     "one by one (mean of 16 steps)": smooth["one by one"]},
    title=f"The same work, {', '.join(str(len(h.losses)) for h in histories.values())} steps",
    x="samples looked at",
    y="loss of the batch",
)  # fmt: skip
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
print(f"sorted:   held-out loss {sorted_result[0]:.3f}, {sorted_result[1]:.1%} right")
print(f"shuffled: held-out loss {shuffled_result[0]:.3f}, {shuffled_result[1]:.1%} right")

# %% [markdown]
"""
## Too many epochs: learning by heart

More epochs lower the loss on the samples that are learned from, always further. That is not the aim: the aim is to be
right about *new* samples. We make it hard: only 30 pictures to learn from, and six of them labelled wrongly, as happens
with real data. The network is large enough to remember each of them.
"""

# %% [markdown] tags=["question"]
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

## What this chapter claims
"""

# %%
assert [len(history.losses) for history in histories.values()] == [
    3,
    EPOCHS * -(-len(train) // 16),
    EPOCHS * len(train),
]
assert results["full batch"][0] > results["mini-batches of 16"][0] > results["one by one"][0]
assert all(0.35 < noise[4 * size] / noise[size] < 0.65 for size in (1, 4, 16))
assert sorted_result[0] > shuffled_result[0]
assert sorted_result[1] < shuffled_result[1]
assert best.epoch < last.epoch
assert last.loss < best.loss
assert last.held_out_loss > 1.2 * best.held_out_loss
print("All of this chapter's claims hold.")
