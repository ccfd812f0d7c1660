# %% [markdown] minutes=15 ideas=["shares", "accounts", "saturation", "paths"]
"""
# 10. The black box, opened

"We do not know what the network changes when it learns", one reads. "It is a black box." But every number in it can be
looked at, and every change has a reason. This chapter follows a whole training and accounts for it: of all that the loss
has fallen, how much is the work of which weight and of which bias? The answer is exact, and the books balance.
"""

# %% What the chapter needs tags=["fold"]
from statistics import fmean

import micrograd_like as mg
from micrograd_like.data import load_digits
from micrograd_like.drawing import plot_areas
from micrograd_like.explain import ExplainSteps, paths, weight_pictures

# %% [markdown]
"""
## A share in the change

In one step all parameters move at once, and the loss changes. Which part of that came from which parameter? Go from the old parameters to the new
ones in a straight line, in very small pieces. In each piece the loss changes by the sum of *slope times movement* over
the parameters, and each term belongs to one parameter. Add up a parameter's terms over all pieces: that is its **share**.
The pieces are small enough for the sum to be exact, so the shares of all parameters add up to the true change of the
loss. (In the language of calculus: a parameter's share is the integral of its slope along the way.)

A share below 0 means: this parameter has lowered the loss. Above 0: it has raised it.

`ExplainSteps` is a callback for `fit` that keeps these books for every step of a training.
"""

# %%
train, _ = load_digits([1, 3], seed=1)
samples = [(pixels, int(digit == 3)) for pixels, digit in train[:40]]
model = mg.MLP(64, [4, 1], activation="tanh", rng=7)
loss_of = mg.binary_cross_entropy_with_logits
before = mg.evaluate(model, samples, loss_of)[0]
start = model.state_dict()

hardest, its_target = max(samples, key=lambda sample: loss_of(model(sample[0]), sample[1]).data)
books, film = ExplainSteps(every=1, keep=25), {}


def look(step=None):
    """Keep how the hardest picture is read at some of the steps, and what each parameter has done so far."""
    if step is None or step.number in (1, 2, 4, 8, 15):
        its_loss = loss_of(model(hardest), its_target)
        its_loss.label = "loss"
        film[books.explained] = (
            mg.draw_dot(its_loss, depth="neurons", shape=(8, 8), report=books),
            mg.sigmoid(model(hardest)),
        )


optimizer = mg.SGD(model.parameters(), lr=1.0)
history = mg.fit(model, samples, loss_of, optimizer, epochs=25, callbacks=[look, books], progress=False)
look()
after, accuracy = mg.evaluate(model, samples, loss_of)

# %% prints what happened tags=["fold"]
print(f"{len(model.parameters())} parameters, {len(samples)} pictures, {books.explained} steps with all of them")
print(f"loss before {before:.6f}, after {after:.6f}: it fell by {before - after:.6f}; {accuracy:.0%} are read rightly")

# %% [markdown]
"""
## The books balance
"""

# %% [markdown] tags=["question"] answer="total" tolerance=0.01
"""
> **Question.** What is the sum of all shares, of all parameters, in all steps? (The loss before and the loss after are
> printed in the step before this one; you may calculate with the names `before` and `after` at the prompt.)
"""

# %%
total = sum(entry.share for entry in books.parameters)

# %% compares it with the change of the loss tags=["fold"]
print(f"sum of all shares:      {total:.9f}")
print(f"true change of the loss: {after - before:.9f}")
print(f"unaccounted for:         {abs(total - (after - before)):.1e}")
print(f"By the slopes alone it would have been {books.predicted:.3f}: a slope is a straight line, and the loss is not.")

# %% [markdown]
"""
## Which parameters?

The largest shares over the whole training:
"""

# %%
print(books)
mg.show(books, "10_largest")

# %% [markdown]
"""
By kind of parameter: the first layer's weights, its biases, the last layer's weights, its bias.
"""

# %% adds them up by kind tags=["fold"]
groups = {}
for entry in books.parameters:
    layer = "first layer" if entry.name.startswith("layers[0]") else "last layer"
    kind = "bias" if entry.name.endswith(".b") else "weights"
    groups.setdefault(f"{layer}, {kind}", []).append(entry.share)
print("parameters              number     share  of the whole")
for name, group in groups.items():
    print(f"{name:22} {len(group):7}  {sum(group):+.5f}  {sum(group) / total:12.1%}")

# %% [markdown]
"""
As a picture: each hidden neuron's 64 weights, blue where they have lowered the loss, and beside it what their gradients
alone would have done. One sees the strokes by which a 1 and a 3 differ. The white rim are pixels that are white in all pictures:
their weights feel nothing (chapter 3), and never move.
"""

# %%
mg.show(weight_pictures(books, model.layers[0]), "10_strokes")
unmoved = [name for name, parameter in model.named_parameters() if parameter.data == start[name]]
always_white = sum(all(pixels[i] == 0 for pixels, _ in samples) for i in range(64))
print(f"{always_white} pixels are white in all pictures; {len(unmoved)} weights have never moved")

# %% [markdown]
"""
Some neurons stay pale. The engine says why: a weight's slope passes through its neuron's tanh, and the slope of tanh is
1 − tanh², which is next to nothing where tanh is close to −1 or 1. Such a neuron is called *saturated*. Here is that slope
at the start of the training, on average over the pictures, beside what the neuron's weights have done in all.
"""

# %%
trained = model.state_dict()
model.load_state_dict(start)
outputs = [[out.data for out in model.layers[0](pixels)] for pixels, _ in samples]
model.load_state_dict(trained)
by_neuron = []
for i, neuron in enumerate(model.layers[0].neurons):
    slope = fmean(1 - out[i] ** 2 for out in outputs)
    done = sum(entry.share for entry in books.parameters if entry.name.startswith(f"{neuron.name}.w"))
    by_neuron.append((slope, done))
    print(f"{neuron.name}: slope of tanh {slope:.4f}, share of its weights {done:+.5f}")

# %% [markdown]
"""
## The film of the training

And here is one picture, the one that the network read most wrongly at the start, at six moments of the training: its
pixels, each hidden neuron's answer to them, the loss, and how sure the network is. Blue is what has lowered the loss of
all pictures up to that moment, orange what has raised it.
"""

# %% puts the moments into one layout tags=["fold"]
says = {steps: f"{float(p):.0%} sure that it is a 3" for steps, (_, p) in film.items()}
captions = [
    f"After {steps} step{'s' * (steps > 1)}: {sure} (it is a {3 if its_target else 1})" for steps, sure in says.items()
]
mg.show(mg.draw_frames([picture for picture, _ in film.values()], captions), "10_film")
print("\n".join(captions))

# %% [markdown]
"""
## Does every parameter help in every step?

Each moves against its own slope, so each alone would help. But all move at the same time, and what is right alone may be wrong
together (chapter 7).
"""

# %% counts them tags=["fold"]
hurt = sum(entry.hurt for entry in books.parameters)
helped = sum(entry.helped for entry in books.parameters)
net_harm = [entry for entry in books.parameters if entry.share > 0]
print(f"in {hurt} of {hurt + helped} cases a parameter's move raised the loss ({hurt / (hurt + helped):.1%})")
print(f"over the whole training {len(net_harm)} of {len(books.parameters)} parameters did more harm than good")
worst = max(books.reports, key=lambda report: sum(max(entry.share, 0) for entry in report.parameters))
harm = sum(max(entry.share, 0) for entry in worst.parameters)
print(f"the step with most harm changed the loss by {worst.change:+.4f}, in spite of {harm:+.4f} from those that hurt")

changes, running = [], {"first layer": 0.0, "last layer": 0.0}
for number, report in enumerate(books.reports, start=1):
    for entry in report.parameters:
        running["first layer" if entry.name.startswith("layers[0]") else "last layer"] += entry.share
    changes.append((number, dict(running)))

# %% draws the accounts as areas that add up tags=["fold"]
areas = {
    f"the {layer}": [(0, 0.0), *((number, layers[layer]) for number, layers in changes)]
    for layer in ("first layer", "last layer")
}
picture = plot_areas(
    areas,
    title=f"What both layers did adds up to the fall of the loss, from {before:.2f} to {after:.2f}",
    x="step",
    y="change of the loss",
    total="the loss",
)
mg.show(picture, "10_accounts")

# %% [markdown]
"""
## And why is a single gradient what it is?

That can be followed too. Here is the strongest weight of the first layer and the mean loss of three pictures. Every path
through the graph from this weight to the loss contributes the product of the local slopes on its way, and the gradient is
the sum over the paths (chapter 1's two rules). Here there is one path for each picture.
"""

# %%
strongest = min(
    (e for e in books.parameters if e.name.startswith("layers[0]") and ".w" in e.name), key=lambda e: e.share
)
three_losses = mg.mean([loss_of(model(pixels), target) for pixels, target in samples[:3]])
why = paths(three_losses, strongest.name)
print(why)

# %% [markdown]
"""
So we do know what the network changes. What remains hard is not to *know* it but to *say* it briefly: the truth about a
network is as long as its list of parameters. Pictures, sums over layers and rankings make it shorter, and each of them
leaves something out; the books above say exactly how much.
"""

# %% [markdown] tags=["exercise"]
"""
## Your turn

Which hidden neuron did most? Write a function that adds up the shares of all parameters of a neuron, its weights and its
bias. An entry of `books.parameters` has a `.name` such as `layers[0].neurons[2].w[17]`, and a `.share`.

```python
def share_of(name):
    return ...
```

<details><summary>Hint 1</summary>
A parameter belongs to the neuron if its name begins with the neuron's name.
</details>
<details><summary>Hint 2</summary>
Beware of neurons[1] and neurons[10]: put a dot behind the name.
</details>
<details><summary>Hint 3</summary>
`sum(entry.share for entry in books.parameters if entry.name.startswith(name + "."))`
</details>
"""


# %% tags=["solution"]
def share_of(name):
    return sum(entry.share for entry in books.parameters if entry.name.startswith(name + "."))


# %% tags=["check"]
every_neuron = [neuron.name for layer in model.layers for neuron in layer.neurons]
assert share_of(every_neuron[0]) < 0, "the first neuron has lowered the loss"
assert abs(sum(map(share_of, every_neuron)) - total) < 1e-9, "all neurons together have done all of it"
assert share_of("layers[0].neurons[9]") == 0, "a neuron that is not there has done nothing"

# %% [markdown]
"""
## What this chapter claims
"""

# %% tags=["claims"]
assert abs(total - (after - before)) < 1e-6, "the shares add up to the change of the loss"
assert all(abs(report.residual) < 1e-6 for report in books.reports), "in every single step too"
assert len(books.reports) == books.explained == len(history.losses), "every step is in the books"
assert abs(sum(sum(group) for group in groups.values()) - total) < 1e-12, "the kinds of parameters add up to the whole"
assert books.predicted < total < 0, "by the slopes alone the loss would have fallen further"
assert len(unmoved) == always_white * len(model.layers[0].neurons), (
    "only weights of pixels that are always white never moved"
)
assert [done for _, done in sorted(by_neuron)] == sorted((done for _, done in by_neuron), reverse=True), (
    "the flatter its tanh, the less a neuron's weights have done"
)
assert 0 < hurt < helped, "now and then a parameter's move hurts, more often it helps"
assert why.count == 3, "a weight has one path for each picture"
assert abs(sum(path.product for path in why) - why.gradient) < 1e-12, "and the paths add up to its gradient"
surest = [float(p) for _, p in film.values()]
assert surest[0] > 0.5 > surest[-1], "the picture that was read most wrongly is read rightly in the end"
assert accuracy == 1.0, "all pictures are read rightly"
print("All of this chapter's claims hold.")
