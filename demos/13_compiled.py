# %% [markdown] minutes=20 ideas=["compiler", "trace", "loops", "machine code"]
"""
# 13. A heap of scalars, and the loops in it

So far every number has had a memory of its own. That is what makes this library transparent, and it is also what makes
it slow: each multiplication creates an object that remembers it. This chapter finds out how slow, and takes the time
back without changing a line of the network: a *compiler* reads what the scalars do, finds the loops in it, and turns
them into machine code. We train on the digits of chapter 9 twice, get the same numbers, and look at the clock.
"""

# %% What the chapter needs tags=["fold"]
import re
import time
from itertools import pairwise
from math import exp, isclose, log, nan
from operator import neg
from timeit import repeat

import numpy as np

import micrograd_like as mg
from micrograd_like.compiler import adjoint, flow, loops, nest, trace
from micrograd_like.data import load_digits
from micrograd_like.drawing import Plot, house_style, plot_lines
from micrograd_like.drawing.style import LOWERS

# %% [markdown]
"""
## Writing down what happens

Here is a neuron as in chapter 1, one multiplication and one addition after the other. A small layer has four of them,
and each looks at the same three inputs.
"""


# %%
def neuron(weights, bias, inputs):
    total = bias
    for w, x in zip(weights, inputs, strict=True):
        total = total + w * x
    return mg.relu(total)


small = mg.Layer(3, 4, rng=0)


def four_neurons(x):
    return mg.sum([neuron(n.w, n.b, x) for n in small.neurons])


print(f"{len(small.parameters())} parameters: for each neuron three weights and then its bias")

# %% [markdown]
"""
The first thing that a compiler does is to call this function once, with stand-ins for the numbers, and to write down
every operation it asks for. The list is called a *trace*. Parameters, inputs and results are numbered from 0 in it, and
the results are called nodes. This is what it says about the first neuron, whose weights are the parameters 0, 1 and 2
and whose bias is parameter 3:
"""

# %%
recorded = trace.trace(four_neurons, small.parameters(), {"x": (3,)})
lines = str(recorded).splitlines()
print(*lines[:7], sep="\n")
print(f"… and so on, {len(recorded.operations)} operations in all")

# %% [markdown] tags=["question"] answer="parameter_of_the_fourth"
"""
> **Question.** The first neuron begins with the line node[0] = mul(param[0], input[0]). The second one begins with
> node[7] = mul(param[4], input[0]), the third with node[14] = mul(param[8], input[0]). Which parameter does the first line
> of the fourth read?
"""

# %%
first_lines = lines[0:28:7]
parameter_of_the_fourth = int(re.search(r"param\[(\d+)\]", first_lines[3])[1])
print(*first_lines, sep="\n")
print("The node's number grows by 7 from neuron to neuron, the parameter's by 4, and the input's by 0.")

# %% [markdown]
"""
If you could guess the line, then it need not be written down. Numbers that grow by the same amount each time are called
an *arithmetic progression*, and a progression is a loop: the four lines are `node[7*i] = mul(param[4*i], input[0])` for
i from 0 to 3. Inside of each neuron it is the same once more, with a counter j for the inputs: `param[4*i + j]` and
`input[j]`.

Drawn, a progression is a straight line. The picture shows the numbers of the weights and of the inputs that the
multiplications read, from the top of the trace to its end.
"""


# %%
def numbers(kind):
    """(line, number) for each multiplication of the trace, and a gap after each neuron."""
    points = []
    for n, line in enumerate(lines):
        if "mul" in line:
            points.append((n, int(re.search(rf"{kind}\[(\d+)\]", line)[1])))
        elif "relu" in line:
            points.append((n, nan))
    return points


progressions = {"number of the weight": numbers("param"), "number of the input": numbers("input")}
picture = plot_lines(
    progressions, "What the multiplications of four neurons read", x="line of the trace", y="number", markers=True
)
mg.show(picture, "13_trace")

# %% [markdown]
"""
## From the trace to the loops

Two stages do it. The first joins what belongs together: a neuron's multiplications and additions are one sum of
products, so that a line is left for each neuron, and one for its ReLU. (`k0<3` is the counter of the sum. `p` are the
parameters, `x` the inputs, `v` the values, and `c` constants: here the 0 with which a sum begins.)
"""

# %%
flowing = flow.flow(recorded)
print(flowing.sample)

# %% [markdown]
"""
The second stage folds lines into loops. It reads them from the top and looks out for three pieces that follow each other
in arithmetic progression. These become a loop of three. If the next piece continues the progression, the loop grows by
one.
"""

# %%
found = loops.recover(flowing.sample)
print(loops.show(found, flowing.constants))

# %% [markdown]
"""
## Backward

To go backward through a program is to go through its lines from the last to the first, with the rules of chapter 1. To
go backward through a loop is to run a loop. `dv` is the gradient of a value and `dp` that of a parameter; `+=` adds to
what is there already, because slopes that arrive on several ways are added up.
"""

# %%
back = adjoint.adjoint(found, flowing.constants)
print(nest.show(back.sweep))
print(nest.show(back.contributions))

# %% [markdown]
"""
Read it from the top. The gradient goes from the result to the sum, from the sum to each neuron's output, and from there to
the neuron's total, where it was positive: that is ReLU's rule. Then the last loops give the parameters their gradients.
There is chapter 3 again: a weight feels its neuron's gradient times its input, and a bias feels it bare.

What remains is to write these loops, there and back, as instructions for the processor. The last step of that is done by
LLVM, which also does it for languages like C and Rust. A program can print all of its stages:
"""

# %%
stages = mg.compile(four_neurons, small.parameters(), x=3).stages()
for stage in stages:
    print(f"{stage.name:13} {len(stage.text.splitlines()):4} lines: {stage.about}")
multiply = re.compile(r"\b(v?mulpd|fmul)\b")
multiplications = [line.strip().expandtabs() for line in stages[-1].text.splitlines() if multiply.search(line)]
print("\nThe first multiplications of the machine code:", *multiplications[:4], sep="\n")

# %% [markdown]
"""
The names of the instructions depend on the processor; `vmulpd`, for instance, is "vector, multiply, packed doubles". An
instruction multiplies one weight with the same input of several samples, which lie side by side in a wide register (`zmm`
holds eight numbers, `ymm` four). So a loop over the samples, too, has become short.

## The digits, from one scalar at a time

Now the network of 64 pixels, 32 hidden neurons and 10 outputs, built from the same kind of neuron. Its target is ten
numbers: 1 for the right digit and 0 for each other one.
"""

# %%
train, held_out = (
    [(pixels, [float(digit == k) for k in range(10)]) for pixels, digit in part] for part in load_digits(seed=1)
)
model = mg.MLP(64, [32, 10], rng=0)


def by_hand(layers, x):
    """The network's scores: the layers are lists of (weights, bias), the last without an activation."""
    for layer in layers[:-1]:
        x = [neuron(weights, bias, x) for weights, bias in layer]
    return [sum((w * v for w, v in zip(weights, x, strict=True)), bias) for weights, bias in layers[-1]]


values = [[(n.w, n.b) for n in layer.neurons] for layer in model.layers]


def loss_by_hand(x, y):
    return mg.cross_entropy(by_hand(values, x), y)


# %% [markdown] tags=["question"] answer="len(of_scalars)" tolerance=4
"""
> **Question.** The trace of this loss has nearly five thousand operations. Into how many lines of loops does it fold?
"""

# %%
start = time.perf_counter()
program = mg.compile(loss_by_hand, model.parameters(), cached=False, x=64, y=10)
seconds_to_trace = time.perf_counter() - start
print(program)
of_scalars = str(program).splitlines()[3:]
print(f"\n{len(of_scalars)} lines. They were found in {seconds_to_trace:.2f} seconds.")

# %% [markdown]
"""
Line by line:

- `p` are the 2,410 parameters. A hidden neuron has 64 weights and a bias, 65 numbers, so the weights of neuron i begin at
  `p[65*i]`, and its bias is `p[65*i + 64]`. `x` is the picture, and after its 64 pixels the ten numbers of the target.
- `for i in range(32)`: for each hidden neuron, its total (the bias, plus each weight times its pixel) and the ReLU of it.
  The two lie side by side, at `v[2*i]` and `v[2*i + 1]`.
- `for i in range(10)`: for each output, its score. Its inputs are the hidden neurons' outputs `v[2*j + 1]`; its 32
  weights and its bias come after the 32·65 = 2080 parameters of the first layer.
- `max`: the largest of the scores. It is subtracted before `exp`, so that no number becomes too large for the machine.
- What follows is the cross-entropy of chapter 4. First the scores' exponentials, their sum, and its logarithm; a remark
  names the function that they are together. Then for each digit −log of its probability. The last sum picks that of the
  right digit, because the target is 0 for all others.

Write the weights of the 32 hidden neurons below each other, a row for each neuron: a table of 32 rows and 64 columns.
Such a table is called a *matrix*, and the number in row i and column j is `p[65*i + j]`. To multiply each row with
the inputs and to add up is called the *product* of the matrix and the inputs. Books on neural networks begin with that
product. We began with single numbers, and it was in them.

The library's own neurons record less (a whole sum as one operation, chapter 1), but the loops are the same:
"""

# %%
short = mg.compile(lambda x, y: mg.cross_entropy(model(x), y), model.parameters(), x=64, y=10)
of_neurons = str(short).splitlines()[3:]
print(str(program).splitlines()[0])
print(str(short).splitlines()[0])
print(f"the same loops: {of_scalars == of_neurons}")

# %% [markdown]
"""
The loops happen to be nearly Python. So we need not believe that they are the network: we can run them.
"""

# %%
pixels, target = train[0]
p, x, v = [parameter.data for parameter in model.parameters()], [*pixels, *target], {}
exec(str(program), {"p": p, "x": x, "v": v, "relu": mg.relu, "exp": exp, "log": log, "neg": neg, "where": mg.where})
*_, from_the_print = v.values()
eager_loss = loss_by_hand(pixels, target).data
print(f"loss of the first picture: the printed loops {from_the_print:.12f}, the engine {eager_loss:.12f}")

# %% [markdown]
"""
## The same training twice

Three epochs as in chapter 9; then the same network from the same seed, with the samples in the same order, and one word
more: `compiled=True`. (Machine code is kept on disk, so the second time that you run this it need not be made again.)
"""

# %%
EPOCHS, BATCH = 3, 32


def training(compiled):
    """(history, seconds)."""
    model = mg.MLP(64, [32, 10], rng=0)
    optimizer = mg.SGD(model.parameters(), lr=0.1)
    start = time.perf_counter()
    history = mg.fit(
        model, train, mg.cross_entropy, optimizer, EPOCHS, BATCH, held_out=held_out, progress=False, compiled=compiled
    )
    return history, time.perf_counter() - start


eager, eager_seconds = training(compiled=False)
compiled, compiled_seconds = training(compiled=True)
print(f"eager: {eager.epochs[-1]}; {eager_seconds:.2f} seconds")
print(f"compiled: {compiled.epochs[-1]}; {compiled_seconds:.2f} seconds")
differences = [abs(a - b) / a for a, b in zip(eager.losses, compiled.losses, strict=True)]
print(f"loss of the first step: {eager.losses[0]!r} and {compiled.losses[0]!r}")
print(f"loss of the last step:  {eager.losses[-1]!r} and {compiled.losses[-1]!r}")
print(f"The losses of {len(differences)} steps differ by {max(differences):.0e} at most, in proportion.")

# %% [markdown]
"""
## How equal is equal?

The losses agree, but not all of them to the last digit. Where do the two trainings part? It can be said exactly:

- **The scores are equal to the last bit.** A processor rounds every sum and every product in the one way that a standard
  prescribes (IEEE 754), so that the same operations in the same order give the same number. The machine code keeps
  every order, and ReLU rounds nothing.
- **exp and log may differ in the last digit or two.** No standard prescribes their last bit. Python takes them from the
  operating system; the machine code has its own, which work on several pictures at once.
- **Gradients are summed over the pictures in another order.** It is a fixed one, so that the same program gives the same
  numbers each time. But it is not the order of the eager engine, and a sum of rounded numbers depends on the order:
"""

# %%
print(f"(0.1 + 0.2) + 0.3 = {(0.1 + 0.2) + 0.3}, and 0.1 + (0.2 + 0.3) = {0.1 + (0.2 + 0.3)}")
some, targets = [x for x, _ in train[:100]], [y for _, y in train[:100]]
scores = mg.compile(model, model.parameters(), x=64).outputs(some).tolist()
eager_scores = [[score.data for score in model(x)] for x in some]
print(f"{sum(map(len, scores))} scores, all equal to the last bit: {scores == eager_scores}")

start = time.perf_counter()
losses = program.losses(some, targets).tolist()
seconds_to_code = time.perf_counter() - start
batch_loss = mg.mean([mg.cross_entropy(model(x), y) for x, y in zip(some, targets, strict=True)])
batch_loss.backward()
loss_difference = max(
    abs(compiled_one - mg.cross_entropy(score, y)) / compiled_one
    for compiled_one, score, y in zip(losses, eager_scores, targets, strict=True)
)
gradient = program.gradient(some, targets)[1].tolist()
largest = max(abs(g) for g in gradient)
gradient_difference = max(abs(g - p.grad) for g, p in zip(gradient, model.parameters(), strict=True)) / largest
print(f"losses: they differ by {loss_difference:.0e} at most, in proportion")
print(f"gradients: they differ by {gradient_difference:.0e} at most, in proportion to the largest")

# %% [markdown]
"""
## How fast?

Three ways to find the gradient of the loss for a picture: from scalars by hand, which is how micrograd does it; with the
library's neurons, each of which is a single node of the graph; compiled. `program.sgd` runs the whole training as machine
code, mini-batches and update included, and gives the parameters back when it is done, or every now and then if it takes long.
"""

# %% [markdown] tags=["question"] choices=["about ten times", "hundreds of times", "thousands of times"] answer="about"
"""
> **Question.** How many times as many pictures per second does the compiled training get through, compared with scalars
> by hand?
"""


# %%
def seconds(work, repetitions=3):
    """The time of the fastest repetition: what is longer was waiting for something else."""
    return min(repeat(work, number=1, repeat=repetitions))


def by_scalars():
    for x, y in train[:10]:
        loss_by_hand(x, y).backward()


def by_neurons():
    for x, y in train[:100]:
        mg.cross_entropy(model(x), y).backward()


def compiled_training():
    program.sgd(every_x, every_y, lr=0.1, epochs=EPOCHS, batch_size=BATCH)


every_x, every_y = np.array([x for x, _ in train]), np.array([y for _, y in train])
per_second = {
    "scalars by hand": 10 / seconds(by_scalars),
    "neurons as nodes": 100 / seconds(by_neurons),
    "compiled": EPOCHS * len(train) / seconds(compiled_training, 5),
}
for way, speed in per_second.items():
    print(f"{way:16} {speed:11,.0f} pictures per second")
scalars, neurons, compiled_code = per_second.values()
factor = compiled_code / scalars
about = "about ten times" if factor < 100 else "hundreds of times" if factor < 1000 else "thousands of times"
print(
    f"{compiled_code / neurons:,.0f} times as many as with neurons as nodes, and"
    f" {compiled_code / scalars:,.0f} times as many as with scalars by hand."
)
print(f"Compiling took {seconds_to_trace:.2f} seconds for the loops and {seconds_to_code:.2f} for the machine code.")

# %% [markdown]
"""
## Where the time goes

All three multiply and add the same numbers. So what takes the time? We take it apart, per scalar operation of the trace.
*By machine code* is what the work itself takes. *By Python* is the same function on plain numbers, which remember
nothing. *With a memory* is the same function on Values. *There and back* has their gradients as well.
"""


# %%
def without_memory():
    for x, y in train[:10]:
        mg.cross_entropy(by_hand(plain, x), y)


def with_memory():
    for x, y in train[:10]:
        loss_by_hand(x, y)


operations = int(re.match(r"# (\d+)", str(program))[1])
plain = [[([w.data for w in weights], bias.data) for weights, bias in layer] for layer in values]
per_picture = {
    "by machine code": seconds(lambda: program(every_x, every_y), 5) / len(train),
    "by Python": seconds(without_memory) / 10,
    "with a memory": seconds(with_memory) / 10,
    "there and back": 1 / scalars,
}
nanoseconds = {way: 1e9 * each / operations for way, each in per_picture.items()}
for way, each in nanoseconds.items():
    print(f"{way:15} {each:9,.2f} nanoseconds per operation")

with house_style() as matplotlib:
    figure = matplotlib.figure.Figure(figsize=(880 / 72, 230 / 72), layout="constrained")
    charts = {"Pictures per second, with their gradients": per_second, "Nanoseconds per operation": nanoseconds}
    for ax, (title, bars) in zip(figure.subplots(1, 2), charts.items(), strict=True):
        drawn = ax.barh(list(bars), list(bars.values()), color=LOWERS, height=0.6)
        ax.bar_label(drawn, [f"{x:,.2f}" if x < 10 else f"{x:,.0f}" for x in bars.values()], padding=3)
        ax.set(title=title, xscale="log", xlim=(min(bars.values()) / 4, max(bars.values()) * 8))
        ax.grid(visible=False, axis="y")
        ax.invert_yaxis()
mg.show(Plot(figure), "13_speed")

# %% [markdown]
"""
(Both scales are logarithmic: each line across is ten times the one before.)

- The work itself is next to nothing. A processor multiplies in a fraction of a nanosecond, and machine code gives it
  several pictures at a time, side by side in one wide register.
- Python finds out at every single operation what kind of numbers it has got, and puts each result in an object.
- A Value is a larger object, which also keeps the operation and its operands. This is the memory that draws, explains
  and finds gradients.
- On the way back the engine puts all these objects in order, looks up each one's rule, and adds up what the rules give.

The compiler has settled all this beforehand, once, so that only the work is left. The price is the memory: to *see* a
number, ask the engine. The two can be mixed freely, because they share the parameters.

## What cannot be compiled

The function is called once, with stand-ins, and the program has to hold for all numbers. So it must not ask which number
it has got: the answer for one picture would be built in for all of them. This neuron keeps a small slope below 0, and
asks with an `if`.
"""


# %%
def leaky_with_if(total):
    if total > 0:
        return total
    return 0.01 * total


bias = small.neurons[0].b
try:
    mg.compile(lambda x: leaky_with_if(x + bias), [bias], x=())
except mg.TraceError as error:
    refusal = str(error)
print(refusal)

# %% [markdown]
"""
The error names the line, and says what to write instead. `mg.where(x, a, b)` is a where x is positive, and b elsewhere:
an operation like any other, so that it can be written down. Likewise `mg.max` stands for Python's `max`, and
`mg.gather(values, index)` for `values[index]`.
"""


# %%
def leaky(total):
    return mg.where(total, total, 0.01 * total)


repaired = mg.compile(lambda x: leaky(x + bias), [bias], x=())
print(repaired)
print(f"the outputs for −2 and 3: {repaired.outputs([-2.0, 3.0]).tolist()}")

# %% [markdown] tags=["exercise"]
"""
## Your turn

Write the absolute value so that it can be compiled: without an `if`, and without `abs`. `mg.where(x, a, b)` is a where x
is positive, and b elsewhere.

```python
def size(x):
    if x > 0:
        return x
    return -x
```

<details><summary>Hint 1</summary>
Where x is positive the result is x.
</details>
<details><summary>Hint 2</summary>
Elsewhere it is −x. Both can be computed, and one of them is chosen.
</details>
<details><summary>Hint 3</summary>
`mg.where(x, x, -x)`
</details>
"""


# %% tags=["solution"]
def size(x):
    return mg.where(x, x, -x)


# %% tags=["check"]
sized = mg.compile(lambda x: size(x + bias), [bias], x=())
shift = bias.data
assert sized.outputs([3.0 - shift]).tolist() == [3.0 - shift + shift], "compiled, the size of 3 is 3"
assert sized.outputs([-2.0 - shift]).tolist() == [abs(-2.0 - shift + shift)], "that of −2 is 2"

# %% [markdown]
"""
## What this chapter claims
"""

# %% tags=["claims"]
moves = [[b - a for (_, a), (_, b) in pairwise(points[::4])] for points in progressions.values()]
assert moves == [[4, 4, 4], [0, 0, 0]], "from neuron to neuron the weights' numbers grow by 4, and the inputs' by 0"
assert first_lines[3] == "node[21] = mul(param[12], input[0])", "so the fourth neuron's first line could be guessed"
assert "for i in range(4):\n    dp[4*i + 3] += dv[2*i]" in nest.show(back.contributions), (
    "the weights' gradients are loops too"
)
assert [stages[0].name, stages[-1].name] == ["trace", "machine code"], "each stage of the compiler can be printed"
assert multiplications, "down to the multiplications of the machine code"
assert "for i in range(32):" in of_scalars, "the compiler found the 32 hidden neurons"
assert "    v[2*i] = p[65*i + 64] + sum(p[65*i + j] * x[j] for j in range(64))" in of_scalars, (
    "and the product of their weights with the picture"
)
assert of_scalars == of_neurons, "from scalars and from neurons it finds the same loops"
assert operations > 4800 > 100 * len(of_scalars), "thousands of operations fold into a few lines"
assert isclose(from_the_print, eager_loss, rel_tol=1e-12), "the printed loops, run by Python, give the engine's loss"
assert scores == eager_scores, "compiled scores are the engine's to the last bit"
assert loss_difference < 1e-13, "losses differ in the last digits at most"
assert gradient_difference < 1e-12, "and so do gradients"
assert len(eager.losses) == len(compiled.losses), "both trainings took the same steps"
assert max(differences) < 1e-9, "with the same losses"
assert compiled.epochs[-1].accuracy == eager.epochs[-1].accuracy, "and ended with the same accuracy"
assert compiled_code > 20 * neurons > 20 * scalars, (
    "compiled is more than twenty times as fast as neurons, and these as scalars"
)
assert nanoseconds["by machine code"] < nanoseconds["by Python"] < nanoseconds["with a memory"], (
    "the work itself is what takes least"
)
assert "if total > 0:" in refusal, "what cannot be compiled is refused, with its line"
assert "mg.where" in refusal, "and with what to write instead"
assert repaired.outputs([-2.0, 3.0]).tolist() == [-0.02, 3.0], "written with where, it compiles"
print("All of this chapter's claims hold.")
