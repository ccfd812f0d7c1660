# %% [markdown] minutes=25 ideas=["tokens", "embedding", "attention", "language model", "temperature"]
"""
# 14. A language model, one letter at a time

The programs that write texts today have learned a single thing: to say what comes next. They are called *language
models*. This chapter builds one from single numbers. It reads first names, letter by letter, and in the end it invents
new ones. Its plan is that of GPT-2; it has four thousand parameters where the large ones have billions, so we can look at
each of them.

(With words of your own: `micrograd-like demo 14 --text FILE`.)
"""

# %% What the chapter needs tags=["fold"]
import argparse
import random
import re
import sys
import textwrap
import time
from collections import Counter
from itertools import pairwise
from math import exp, isclose, log, sqrt
from pathlib import Path
from statistics import fmean

import numpy as np

import micrograd_like as mg
from micrograd_like.data import load_names, load_words
from micrograd_like.drawing import plot_attention, plot_lines
from micrograd_like.transformer import GPT, next_token_loss

options = argparse.ArgumentParser(prog="micrograd-like demo 14_language_model", description="Learn to invent names.")
options.add_argument("--text", metavar="FILE", type=Path, help="learn the words of this text file instead of names")
is_script = Path(sys.argv[0]).stem == "14_language_model"  # a notebook and the tutor have arguments of their own
text_file = options.parse_args(None if is_script else []).text
BLOCK = 8 if text_file is None else 16  # the longest text that the model reads: a start, and letters
try:
    train, held_out = load_names(BLOCK - 1) if text_file is None else load_words(text_file, BLOCK - 1)
    if max(map(len, train)) < 3:
        raise ValueError(f"expected words of three letters and more in {str(text_file)!r}")
except (OSError, ValueError) as error:
    options.error(str(error))


def listing(lines):
    """Print lines of a program. Long ones go on below, and are not broken within brackets."""
    for line in lines:
        inner = " " * (len(line) - len(line.lstrip()) + 8)
        whole = re.sub(r"[\[(][^\[\]()]*[\])]", lambda found: found[0].replace(" ", "\xa0"), line)
        print(textwrap.fill(whole, 76, subsequent_indent=inner, break_long_words=False).replace("\xa0", " "))


def passage(begins, ends):
    """The program's lines from the first that has the one text to the next that has the other, with the loops around."""
    start = next(n for n, line in enumerate(lines) if begins in line)
    stop = next(n for n in range(start, len(lines)) if ends in lines[n])
    around, depth = [], len(lines[start]) - len(lines[start].lstrip())
    for line in reversed(lines[:start]):
        if (indent := len(line) - len(line.lstrip())) < depth:
            around.insert(0, line)
            depth = indent
    return around + lines[start : stop + 1]


# %% [markdown]
"""
## Letters as numbers

The names come from Faker, a package that makes up addresses for tests of other programs, and keeps long lists of real
names for it. It has some 6,800 English first names. Longer ones than seven letters are left out here, and a tenth is *held
out*: the model never learns from them.
"""

# %%
print(f"{len(train):,} names to learn from: {', '.join(train[:6])}, …")
print(f"{len(held_out):,} held out: {', '.join(held_out[:6])}, …")

# %% [markdown]
"""
A model computes with numbers, so each letter gets one: a is 1, b is 2, and so on. The number 0, written as a dot, stands
for the start of a name and for its end. Such numbers are called *tokens*.

The model's task is always the same. It sees the beginning of a name, and says what comes next.
"""

# %% [markdown] tags=["question"] answer="len(tasks)"
"""
> **Question.** The name emma has four letters. How many such tasks are in it, from the start to the end?
"""

# %%
letters = ["·", *sorted(set("".join(train + held_out)))]
number = {letter: n for n, letter in enumerate(letters)}


def tokens(name):
    return [0, *(number[letter] for letter in name), 0]


example = "emma" if text_file is None else max(train, key=len)
text = tokens(example)
print(f"{example}: {text}")
tasks = [(text[: t + 1], text[t + 1]) for t in range(len(text) - 1)]
for seen, target in tasks:
    print(f"after {''.join(letters[n] for n in seen):8} comes {letters[target]}")

# %% [markdown]
"""
## A letter becomes a list of numbers

A token is only a name tag: m is not larger than e. So the model turns it into a list of 16 numbers, which are parameters
like all others: they are learned. The list is called the letter's *embedding*. Each place in the name has such a list as
well, and the two are added.
"""

# %% [markdown] tags=["question"] choices=["yes", "no"] answer="same"
"""
> **Question.** There are two m in emma. When the embeddings of letter and place are added, does the model get the same
> 16 numbers for both?
"""

# %%
model = GPT(len(letters), block=BLOCK, rng=0)
sums = [
    [letter + place for letter, place in zip(model.token(token), model.place(t), strict=True)]
    for t, token in enumerate(text[:-1])
]
for t, numbers in enumerate(sums):
    shown = " ".join(f"{each.data:+.2f}" for each in numbers[:6])
    print(f"place {t}, {letters[text[t]]}: {shown} …")
same = "yes" if len(sums) > 3 and [x.data for x in sums[2]] == [x.data for x in sums[3]] else "no"

# %% [markdown]
"""
The letter's numbers are the same and the place's are not. So the model can tell the first m from the second.

From there on it works with lists of 16 numbers, one for each place:
"""

# %%
block = model.blocks[0]
attention = block.attention
parts = {
    "embedding of letters": (model.token, "what each letter is"),
    "embedding of places": (model.place, "where it stands"),
    "query": (attention.query, "what a place looks for"),
    "key": (attention.key, "by what it is found"),
    "value": (attention.value, "what it gives to those who look at it"),
    "output": (attention.output, "how what was found is put together"),
    "up": (block.up, "64 neurons that look at a place …"),
    "down": (block.down, "… and what they add to it"),
    "scores": (model.head, "a score for each letter that may come next"),
}
for name, (part, does) in parts.items():
    print(f"{name:20} {len(part.parameters()):5}  {does}")
print(f"{'all':20} {len(model.parameters()):5}")

# %% [markdown]
"""
## What the loss means

At each place the model gives a score to each of the 27 tokens. `softmax` makes probabilities of the scores (chapter 9),
and the loss at a place is the cross-entropy of chapter 4: −log of the probability of the letter that comes. It
says how surprised the model is. The loss of a name is the mean over its places, so it is a loss *per letter*.
"""

# %% [markdown] tags=["question"] answer="untrained" tolerance=0.15
"""
> **Question.** The model has learned nothing yet, and gives all 27 tokens about the same probability. What is its loss?
> (You may calculate at the prompt: `log` is the natural logarithm.)
"""

# %%
for (seen, target), row in zip(tasks, model(text[:-1]), strict=True):
    probability = mg.softmax(row)[target].data
    beginning = "".join(letters[n] for n in seen)
    print(f"after {beginning:8} {letters[target]} has {probability:.3f}: a loss of {-log(probability):.2f}")
of_example = next_token_loss(model(text[:-1]), text[1:]).data
untrained = fmean(next_token_loss(model(tokens(name)[:-1]), tokens(name)[1:]).data for name in held_out[:20])
print(
    f"the mean of {example}: {of_example:.3f}; of twenty names: {untrained:.3f}; log {len(letters)}: {log(len(letters)):.3f}"
)

# %% [markdown]
"""
To be lost among 27 tokens is a loss of log 27, which is 3.3. The other way round: a model with the loss ℓ is as unsure as
if it had to choose among exp(ℓ) letters that are equally likely. That number is called the *perplexity*.

How good could one be without any network, by counting? Once by how often each letter occurs, and once by which letter
follows which. The loss of both on the held-out names is what our model has to beat.
"""

# %%
alone = Counter(token for name in train for token in tokens(name)[1:])
pairs = Counter(pair for name in train for pair in pairwise(tokens(name)))
before = Counter(token for name in train for token in tokens(name)[:-1])
places = sum(alone.values())


def by_letters(first, second):
    return (alone[second] + 1) / (places + len(letters))  # one more of each: what was never seen is not impossible


def by_pairs(first, second):
    return (pairs[first, second] + 1) / (before[first] + len(letters))


def counted(probability):
    """The mean loss of a table on the held-out names, name by name as the model's."""
    return fmean(fmean(-log(probability(*pair)) for pair in pairwise(tokens(name))) for name in held_out)


counting = {
    "knowing nothing": log(len(letters)),
    "counting letters": counted(by_letters),
    "counting pairs": counted(by_pairs),
}
for way, loss in counting.items():
    print(f"{way:17} loss {loss:.3f}, as if choosing among {exp(loss):4.1f}")

# %% [markdown]
"""
## Which earlier letter does this one look at?

A table of pairs sees one letter and forgets the others. The model can look back, by what is called *attention*:

1. Each place makes a *query* out of its numbers: what it looks for. Each place also makes a *key*: what it has to offer.
2. Query times key, number by number and added up, says how well the two fit. It is divided by the root of their length.
3. `softmax` turns these into shares that add up to 1: so much does the place look at each. It sees itself and those before
   it, but never those after it: they are what it has to predict.
4. What it gets is the mean of the *values* that the places give, in these shares.

This is done four times side by side, with a quarter of the 16 numbers each. The four are called *heads*. Here is the first
head at place 2, the first m of emma, by hand:
"""

# %% [markdown] tags=["question"] answer="1 / 3" tolerance=0.01
"""
> **Question.** If all three keys fit the query equally well, how much does place 2 look at each of places 0, 1 and 2?
"""

# %%
seen = [block.norm(model.norm(each)) for each in sums]  # a norm scales a list so that its squares are 1 on average
query = attention.query(seen[2])[:4]
fits = [mg.dot(query, attention.key(each)[:4]) / sqrt(4) for each in seen[:3]]
shares = mg.softmax(fits)
print("how well it fits:   ", " ".join(f"{fit.data:+.4f}" for fit in fits))
print("how much it looks:  ", " ".join(f"{share.data:7.4f}" for share in shares))
by_model = model.looks(text[:-1])[0][0][2]  # of the first block, the first head, place 2
print("by the model itself:", " ".join(f"{share.data:7.4f}" for share in by_model))

# %% [markdown]
"""
It looks at all three nearly alike, because it has learned nothing. We come back to it after the training.
"""

# %% [markdown]
"""
## One step, weight by weight

What does a step of learning move in such a model? We take the loss of emma alone, and look at five groups of parameters:
the embeddings of m and z, the two letters' rows in the last layer, which give them their scores, and a query of head 1.
"""

# %% [markdown] tags=["question"] choices=["both", "only its embedding", "only its row of scores", "neither"] answer="of_z"
"""
> **Question.** There is no z in emma. Which of z's numbers does a step on this name move?
"""

# %%
first, absent = example[len(example) // 2], next(letter for letter in reversed(letters) if letter not in example)
groups = {}
for letter in (first, absent):
    groups[f"embedding of {letter}"] = model.token.weight[number[letter]]
    groups[f"scores of {letter}"] = model.head.weight[number[letter]]
groups["a query of head 1"] = attention.query.weight[0]
named = {f"{group}[{i}]": parameter for group, row in groups.items() for i, parameter in enumerate(row)}
loss = next_token_loss(model(text[:-1]), text[1:])
report = mg.explain_step(loss, named, lr=1.0)

# %% prints the groups and draws the step tags=["fold"]
print("parameters           gradients up to  share in the fall of the loss")
share_of, gradient_of = {}, {}
for group, row in groups.items():
    entries = [report[f"{group}[{i}]"] for i in range(len(row))]
    share_of[group] = sum(entry.share for entry in entries)
    gradient_of[group] = max(abs(entry.gradient) for entry in entries)
    print(f"{group:20} {gradient_of[group]:15.5f}  {share_of[group]:+.5f}")
print(f"\n{report}")
mg.show(report, "14_step")
moves = gradient_of[f"embedding of {absent}"] > 0, gradient_of[f"scores of {absent}"] > 0
of_z = {(True, True): "both", (True, False): "only its embedding", (False, True): "only its row of scores"}.get(
    moves, "neither"
)

# %% [markdown]
"""
The embedding of z is not read, so it feels nothing. But z's score is compared with all others at each place, and each time
it was not what came: so its row moves, and the score falls. That is how a model learns what does *not* follow.

The query's gradients are far smaller. As long as all values are nearly the same, it makes no difference where one looks.
"""

# %% [markdown]
"""
## The transformer in a heap of scalars

A loss like this takes thousands of operations, most of them sums of products. Chapter 13's compiler finds the loops in
them. The names have different lengths, so each is filled up with dots to the same length, and the places after its end
count 0 in its loss. (With `mg.UpTo` one program takes every length as it is; filled up, it is easier to read.)
"""


# %%
def loss_of(text, share):
    """The mean loss of a name's places: each counts with its share, which is 0 after the end. And the scores."""
    scores = model(text[:-1])
    surprises = [mg.cross_entropy(row, target) for row, target in zip(scores, text[1:], strict=True)]
    return mg.dot(share, surprises), scores


start = time.perf_counter()
program = mg.compile(loss_of, model.parameters(), text=BLOCK + 1, share=BLOCK)
seconds_to_fold = time.perf_counter() - start
heading, inputs, *lines = [line for line in str(program).splitlines() if line != "# for each sample"]
operations = int(heading.split()[1])
print(heading, inputs, sep="\n")

# %% [markdown] tags=["question"] answer="len(lines)" tolerance=20
"""
> **Question.** Into how many lines of loops does it fold? (The digits of chapter 13 were as many operations, and some
> sixteen lines.)
"""


# %%
print(f"{len(lines)} lines, found in {seconds_to_fold:.1f} seconds:\n")
listing(lines)

# %% [markdown]
"""
This is the whole transformer. Let us read it in pieces, `i` being a place in the name.

**The embedding.** `gather(x[i], …)` picks row `x[i]` of a table, number by number: there are 27 rows, one for each letter,
and they are the first parameters. The next line adds the place's row. Then comes the norm: the mean of the squares, and
each number times its root turned upside down (a power of −0.5).
"""


# %%
listing(passage("= gather(x[", "** -0.5"))

# %% [markdown] tags=["question"] choices=["j", "j + 1", "8"] answer="counter_of_triangle"
"""
> **Question.** In attention, a place j looks at the places k from 0 to j, and at no later one. Written in Python, the loop
> over k begins with `for k in range(…):`. What stands in the brackets?
"""

# %%
triangle = passage("range(j + 1):", " / v[")
counter_of_triangle = re.search(r"for k in range\((.*)\):", "\n".join(triangle))[1]
listing(triangle)

# %% [markdown]
"""
**Attention's triangle.** `i` is now the head, of four, and `j` the place that looks. Its query times the key of each earlier
place `k` is a sum of four products, divided by 2, the root of 4. The loop over k is one turn longer for each place: so the
whole is a triangle. It was in the list of scalars, and the compiler has found it.

**The softmax** is what follows: the largest is subtracted, so that no power becomes too large; `exp`; the sum; and each
divided by the sum. These are the shares.

The rest is quickly read: the values mixed in these shares, two layers with a ReLU between them, 27 scores for each place,
and the cross-entropy of the letter that came.
"""

# %%
listing(passage("relu(", "relu("))
scores_of_letters = next(n for n, line in enumerate(lines) if f"range({len(letters)}):" in line)
listing(lines[scores_of_letters - 1 : scores_of_letters + 2])
listing(passage("= log(v[", "= log(v["))
listing(passage("sum(x[", "sum(x["))

# %% [markdown]
"""
## Training, watched

Adam (its rule is one more loop of machine code) takes some two thousand steps, each on 32 names. After each epoch we look
at both losses, and let the model finish names that begin with a, b and c: always with the likeliest letter.
"""


# %%
def rows(names):
    """The names as arrays: tokens, filled up with 0 to the same length, and each place's share in the mean."""
    text, share = np.zeros((len(names), BLOCK + 1)), np.zeros((len(names), BLOCK))
    for n, name in enumerate(names):
        text[n, : len(name) + 2] = tokens(name)
        share[n, : len(name) + 1] = 1 / (len(name) + 1)
    return text, share


def next_scores(beginnings):
    """The scores of what comes after each of these lists of tokens, all at once."""
    text = np.zeros((len(beginnings), BLOCK + 1))
    for n, beginning in enumerate(beginnings):
        text[n, : len(beginning)] = beginning
    _, scores = program.outputs(text, np.zeros((len(beginnings), BLOCK)))
    return [scores[len(beginning) - 1][n].tolist() for n, beginning in enumerate(beginnings)]


def likeliest(beginning):
    """The name that the model takes for the likeliest, letter by letter."""
    found = [0, *(number[letter] for letter in beginning)]
    while len(found) <= BLOCK:
        (scores,) = next_scores([found])
        best = max(range(len(scores)), key=scores.__getitem__)
        if best == 0:
            break
        found.append(best)
    return "".join(letters[n] for n in found[1:])


# %% [markdown] tags=["question"] answer="perplexity" tolerance=1.5
"""
> **Question.** Counting pairs was as unsure as a choice among some eleven letters. What will the trained model be down to,
> on names that it has never seen?
"""

# %%
EPOCHS, BATCH = 12, 32
learn_from, measure_on = rows(train), rows(held_out)
steps = EPOCHS * -(-len(train) // BATCH)
optimizer = mg.Adam(model.parameters(), lr=lambda step: 0.01 * (1 - step / steps), betas=(0.85, 0.99))
start = time.perf_counter()
curves = {"names it learns from": [(0, program(*learn_from))], "held out": [(0, program(*measure_on))]}
for epoch in range(1, EPOCHS + 1):
    program.train(*learn_from, optimizer=optimizer, batch_size=BATCH, seed=epoch)
    curves["names it learns from"].append((epoch, program(*learn_from)))
    curves["held out"].append((epoch, program(*measure_on)))
    losses = ", ".join(f"{name} {points[-1][1]:.3f}" for name, points in curves.items())
    print(f"epoch {epoch:2}: {losses}; {', '.join(likeliest(letter) for letter in letters[1:4])}")
seconds_to_train = time.perf_counter() - start
trained = curves["held out"][-1][1]
perplexity = exp(trained)
print(f"as if choosing among {perplexity:.1f} letters; {steps} steps in {seconds_to_train:.1f} seconds")

# %% draws the losses tags=["fold"]
for way, loss in counting.items():
    curves[way] = [(0, loss), (EPOCHS, loss)]
picture = plot_lines(
    curves, "Looking back beats counting: the loss per letter falls below that of pairs", "epoch", "loss"
)
mg.show(picture, "14_training")

# %% [markdown]
"""
## What it has learned to look at

Now the four heads of the trained model, on a name that it has not learned from. Each row is a place that looks, each column
one that it may look at; the area of a square is its share.
"""

# %%
watched = max(held_out, key=len)
tokens_of = tokens(watched)[:-1]
looks = model.looks(tokens_of)[0]
signs = [letters[n] for n in tokens_of]
for head, shares in enumerate(looks, start=1):
    most = max(range(len(signs)), key=lambda t: shares[-1][t].data)
    print(f"head {head}: the last {signs[-1]} looks most at place {most}, {signs[most]} ({shares[-1][most].data:.0%})")
picture = plot_attention(signs, looks, f"{watched}: which earlier letter does each letter look at?")
mg.show(picture, "14_attention")

# %% [markdown]
"""
No one has told the heads where to look. They have found out, by gradients alone, what lowers the loss.

What has it learned of letters? Here is what it expects after a few beginnings.
"""

# %%
beginnings = ["", "q", "soph", "mar"] if text_file is None else ["", *(name[:3] for name in train[:3])]
every_scores = next_scores([[0, *(number[letter] for letter in beginning)] for beginning in beginnings])
expected = {}
for beginning, scores in zip(beginnings, every_scores, strict=True):
    probabilities = dict(zip(letters, mg.softmax(scores), strict=True))
    expected[beginning] = sorted(probabilities, key=probabilities.__getitem__, reverse=True)
    shown = ", ".join(f"{letter} {probabilities[letter]:.0%}" for letter in expected[beginning][:5])
    print(f"after ·{beginning:6} {shown}")

# %% [markdown]
"""
## Names invented

To invent a name, draw the next letter by its probability, put it behind the name, and ask again, until the dot comes. The
scores may be divided by a number first, the *temperature*. Below 1 it makes what is likely likelier, and the names more
ordinary; above 1 it makes the model bolder. Near 0 the likeliest letter always wins.
"""

# %% [markdown] tags=["question"] choices=["at 0.4", "at 1", "at 2"] answer="most_known"
"""
> **Question.** At which of these temperatures will most of the invented names be names that exist, although nobody has
> written them down in the model?
"""


# %%
def invent(count, temperature, rng):
    """So many names, drawn letter by letter."""
    found = [[0] for _ in range(count)]
    while growing := [name for name in found if len(name) <= BLOCK and (len(name) == 1 or name[-1] != 0)]:
        for name, scores in zip(growing, next_scores(growing), strict=True):
            probabilities = mg.softmax([score / temperature for score in scores])
            name.extend(rng.choices(range(len(letters)), probabilities))
    return ["".join(letters[n] for n in name if n) for name in found]


existing, known, examples = {*train, *held_out}, {}, {}
for temperature in ("0.4", "1", "2"):
    names = invent(200, float(temperature), random.Random(14))
    known[temperature] = sum(name in existing for name in names)
    examples[temperature] = [name for name in dict.fromkeys(names) if name not in existing][:8]
    print(f"temperature {temperature}: {known[temperature]} of 200 exist; new are")
    print(f"    {', '.join(examples[temperature])}")
most_known = f"at {max(known, key=known.__getitem__)}"

# %% [markdown]
"""
And alive: the trained model on a page. Type letters, and see what comes next, which earlier letters it looks at, and the
gradient that comes back to each. Every weight can be dragged.
"""

# %% makes the live page
mg.show(mg.play(model, example, letters=letters, lr=0.2), "14_live")

# %% [markdown] tags=["exercise"]
"""
## Your turn

Write what the temperature does, for probabilities instead of scores. To divide a score by T is to raise its probability to
the power of 1/T; afterwards they no longer add up to 1, and must be made to.

```python
def tempered(probabilities, temperature):
    return ...
```

<details><summary>Hint 1</summary>
Two lines: first a list of the powers, then the same divided by their sum.
</details>
<details><summary>Hint 2</summary>
`powers = [p ** (1 / temperature) for p in probabilities]`
</details>
<details><summary>Hint 3</summary>
`total = sum(powers)`, and then `return [power / total for power in powers]`
</details>
"""


# %% tags=["solution"]
def tempered(probabilities, temperature):
    powers = [p ** (1 / temperature) for p in probabilities]
    total = sum(powers)
    return [power / total for power in powers]


# %% tags=["check"]
three = [0.5, 0.25, 0.25]
assert tempered(three, 1.0) == three, "at temperature 1 nothing changes"
assert isclose(sum(tempered(three, 0.3)), 1), "what comes out adds up to 1"
assert isclose(tempered(three, 0.5)[0], 2 / 3), "at 0.5 each is squared: 1/4, 1/16 and 1/16 become 2/3, 1/6 and 1/6"
by_scores = mg.softmax([score / 0.7 for score in every_scores[0]])
assert all(isclose(a, b) for a, b in zip(tempered(mg.softmax(every_scores[0]), 0.7), by_scores, strict=True)), (
    "it is the same as dividing the scores"
)

# %% [markdown]
"""
## What this chapter claims
"""

# %% tags=["claims"]
assert sum(len(part.parameters()) for part, _ in parts.values()) == len(model.parameters()), "nothing else is in it"
assert len(tasks) == len(example) + 1, "a name asks for one letter more than it has: its end"
assert all(isclose(a.data, b.data) for a, b in zip(mg.softmax(fits), by_model, strict=True)), (
    "attention by hand is the model's"
)
assert of_z == "only its row of scores", "a letter that does not occur is still pushed down"
assert abs(report.residual) < 1e-9, "the shares of the step add up to the fall of the loss"
assert operations > 50 * len(lines), "thousands of operations fold into some eighty lines"
assert "j + 1" in counter_of_triangle, "and in them is attention's triangle"
assert (
    abs(
        program([[*tokens(example), *[0] * (BLOCK - len(example) - 1)]], rows([example])[1])
        - next_token_loss(model(text[:-1]), text[1:]).data
    )
    < 1e-12
), "the compiled loss is the engine's, whatever stands after the end"
assert all(isclose(sum(share.data for share in row), 1) for head in looks for row in head), "a place looks in shares"
if text_file is None:  # how well it goes with other words depends on the words
    assert isclose(untrained, log(len(letters)), abs_tol=0.15), (
        "a model that has learned nothing is as wrong as a blind guess"
    )
    assert all(isclose(share.data, 1 / 3, abs_tol=0.05) for share in by_model), (
        "before the training it looks everywhere nearly alike"
    )
    assert trained < counting["counting pairs"] - 0.2, "looking back beats counting pairs by far"
    assert trained < curves["held out"][0][1] - 1, "and it has not just learned its names by heart"
    assert expected["q"][0] == "u", "q is followed by u"
    assert known["0.4"] > known["1"] > known["2"], "the colder, the more ordinary"
    assert min(map(len, examples.values())) >= 5, "and at each temperature it invents names that are new"
print("All of this chapter's claims hold.")
