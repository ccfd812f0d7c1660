# %% [markdown] minutes=10 ideas=["property", "Hypothesis", "gradcheck"]
"""
# 12. Can the gradient be trusted? Let a machine look for mistakes

All that the chapters before have shown rests on gradients. An operation with a wrong derivative does not crash: the
network learns a little worse, and nobody knows why. This chapter defines an operation of its own, plants a mistake in its
derivative, and lets a program find it. The same few lines test your own operations, layers and losses.
"""

# %% What the chapter needs tags=["fold"]
from math import isclose

from hypothesis import given, settings

import micrograd_like as mg
from micrograd_like import ops
from micrograd_like.drawing import plot_lines
from micrograd_like.ops import Operation
from micrograd_like.testing import GradcheckError, away_from_kinks, gradcheck, values

# %% [markdown]
"""
## An operation of our own

The *Huber function* is a parabola close to 0 and a straight line further out: x²/2 while |x| ≤ 1, and |x| − ½ beyond. As
a loss it forgives outliers more than the square does.

Every operation of this library is one row: a name, a symbol, a function of numbers, and for each operand a rule of its
derivative. The rule is given `g`, the slope of the final result with respect to this operation's result, then the result
and the operand, and returns g times the local slope. The slope of the Huber function is x in the middle, 1 to the right
and −1 to the left.
"""


# %%
def huber_function(x):
    return ops.where(abs(x) - 1, abs(x) - 0.5, x * x / 2)


right = Operation("huber", "huber", huber_function, (lambda g, out, x: g * ops.max(ops.min(x, 1), -1),))
# The planted mistake: beyond 1, the slope is always 1. The author did not think of the left.
wrong = Operation("huber", "huber", huber_function, (lambda g, out, x: g * ops.where(abs(x) - 1, 1, x),))

xs = [i / 20 for i in range(-60, 61)]
picture = plot_lines(
    {
        "the Huber function": [(x, right(x)) for x in xs],
        "its slope": [(x, right.vjp(1.0, right(x), x)[0]) for x in xs],
        "the slope with the mistake": [(x, wrong.vjp(1.0, wrong(x), x)[0]) for x in xs],
    },
    title="A mistake that shows only on the left",
    x="x",
)
mg.show(picture, "12_huber")

# %% [markdown]
"""
## An example is not a test

The usual test picks a few points and compares the gradient with a difference: move x a little and see what the function
does.
"""


# %%
def slope_by_difference(function, x, nudge=1e-6):
    return (function(x + nudge) - function(x - nudge)) / (2 * nudge)


passed = []
for x in (0.5, 2.0, 3.0):
    value = mg.Value(x)
    wrong(value).backward()
    reference = slope_by_difference(huber_function, x)
    passed.append(isclose(value.grad, reference, rel_tol=1e-6))
    print(f"x = {x:g}: gradient {value.grad:g}, by difference {reference:.6f}: {'right' if passed[-1] else 'wrong'}")

# %% [markdown] tags=["question"] choices=["a smaller nudge", "a point below −1", "a point between 0 and 1"] answer="found_at"
"""
> **Question.** All three points pass, and the operation is wrong. What would have found the mistake?
"""

# %% [markdown]
"""
## A property, and a program that attacks it

The author of the mistake did not think of negative numbers, so the author's examples have none. A *property* says what
holds for **every** input: "the gradient is the slope". *Hypothesis* is a library that draws inputs and tries to break a
property. When it has found an input that does, it *shrinks* it: it looks for simpler and simpler inputs that still fail,
and reports the simplest.

`gradcheck` is the property. It runs the function on numbers of 50 digits and takes differences there, so that the
comparison is exact to the last digits of a float. `values` draws `Value`s, and `away_from_kinks` keeps them away from 0
(by an eighth, unless told otherwise) and off a kink.
"""

# %%
tried = []


@settings(max_examples=200, derandomize=True, database=None, deadline=None)
@given(values(data=away_from_kinks(max_value=10.0)))
def test_the_wrong_one(x):
    tried.append(x.data)
    gradcheck(wrong, [x])


try:
    test_the_wrong_one()
except GradcheckError as error:
    found = tried[-1]
    message = str(error)
found_at = "a point below −1" if found < -1 else "a point between 0 and 1"

# %% prints what Hypothesis found tags=["fold"]
print(
    f"Hypothesis called the property {len(tried)} times. The first inputs: {', '.join(f'{x:.4g}' for x in tried[:6])} ..."
)
print(f"The simplest input that fails: x = {found:g}\n")
print(message)

# %% [markdown]
"""
The message names the operation, the derivative that the rule gives and the one that is true. The input is as simple as it
can be: no reader has to wonder whether the other digits matter.

## The right one
"""

# %%
tried.clear()


@settings(max_examples=200, derandomize=True, database=None, deadline=None)
@given(values(data=away_from_kinks(max_value=10.0)))
def test_the_right_one(x):
    tried.append(x.data)
    gradcheck(right, [x])


test_the_right_one()
checked = len(tried)

# %% says how many tags=["fold"]
print(
    f"{checked} inputs from {min(tried):.4g} to {max(tried):.4g}, {sum(x < 0 for x in tried)} of them negative: all right."
)

# %% [markdown]
"""
## Whole networks

The same function checks anything built from values: here a network with the new operation as its activation, and a loss,
with respect to all parameters at once.
"""

# %%
model = mg.MLP(2, [3, 1], activation=right, rng=1)
holds = gradcheck(lambda net: mg.mse_loss([net([0.5, -2.0]), net([1.5, 1.0])], [1.0, -1.0]), [model])
mistaken = mg.MLP(2, [3, 1], activation=wrong, rng=1)
caught = not gradcheck(
    lambda net: mg.mse_loss([net([0.5, -2.0]), net([1.5, 1.0])], [1.0, -1.0]), [mistaken], raise_exception=False
)
print(
    f"with the right rule: {'passes' if holds else 'fails'}; with the mistake: {'caught' if caught else 'not caught'}"
)

# %% [markdown] tags=["exercise"]
"""
## Your turn

Write an operation of your own: x³, with the rule of its derivative. The rule is given `g`, the result and the operand, and
returns g times the local slope. `gradcheck` says whether it is right.

```python
cube = Operation("cube", "x³", lambda x: x * x * x, (lambda g, out, x: ...,))
```

<details><summary>Hint 1</summary>
Raise x by a little, d: then x³ becomes x³ + 3·x²·d, and a rest that is too small to count.
</details>
<details><summary>Hint 2</summary>
So the local slope is 3·x².
</details>
<details><summary>Hint 3</summary>
`lambda g, out, x: g * 3 * x * x`
</details>
"""

# %% tags=["solution"]
cube = Operation("cube", "x³", lambda x: x * x * x, (lambda g, out, x: g * 3 * x * x,))

# %% tags=["check"]
assert cube(2.0) == 8.0, "the cube of 2 is 8"
assert gradcheck(cube, [mg.Value(1.5)], raise_exception=False), "the rule is right at 1.5"
assert gradcheck(cube, [mg.Value(-2.0)], raise_exception=False), "and at −2, where the last mistake was hidden"

# %% [markdown]
"""
## What this chapter claims
"""

# %% tags=["claims"]
assert all(passed), "three examples saw nothing"
assert found < -1, "Hypothesis found an input below −1"
assert found == round(found), "and the simplest of its kind: a whole number"
assert "huber" in message, "the message names the operation"
assert checked >= 200, "the right rule holds for 200 inputs"
assert all(isclose(right.vjp(1.0, right(x), x)[0], slope_by_difference(huber_function, x), abs_tol=1e-5) for x in xs), (
    "and agrees with differences wherever the picture was drawn"
)
assert holds is True, "a network with the right rule passes"
assert caught is True, "with the mistake it is caught"
print("All of this chapter's claims hold.")
