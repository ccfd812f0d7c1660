"""A small chapter with everything that a chapter can have."""

from __future__ import annotations

from pathlib import Path

CHAPTER = '''# %% [markdown] minutes=3 ideas=["counting", "doubling"]
"""
# 9. Small numbers

A text with **bold** words that is long enough to be wrapped when the window is only sixty columns wide.
"""

# %% What the chapter needs tags=["fold"]
import random

from micrograd_like import Value, draw_dot, show

random.seed(7)

# %% [markdown]
"""
## Counting

We begin at forty.
"""

# %%
counter = 40
drawn = random.random()
print(f"the counter is {counter}")

# %% [markdown] tags=["question"] answer="counter" tolerance=0.5
"""
> **Question.** What is two more than the counter?
"""

# %%
counter += 2
print(f"the result is {counter}")

# %% prints once more tags=["fold"]
print(f"folded {counter}")

# %% [markdown] tags=["question"] choices=["up", "down"] answer="way"
"""
> **Question.** Which way does it go?
"""

# %%
way = "up"
w = Value(3.0, label="w")
loss = (w - 1.0) ** 2
loss.label = "loss"
loss.backward()
show(draw_dot(loss), "09_small")

# %% [markdown] tags=["question"] answer="w.data"
"""
> **Question.** The learning rate is 0.25. Write the rule for `w`, with `w.data` and `w.grad` in it.
"""

# %%
w.data -= 0.25 * w.grad
print(f"w is {w.data:g}")

# %% [markdown] tags=["exercise"]
"""
## Your turn

Write the function.

```python
def double(x):
    ...
```

<details><summary>Hint 1</summary>
One line.
</details>
<details><summary>Hint 2</summary>
Use `*`.
</details>
<details><summary>Hint 3</summary>
Return `2 * x`.
</details>
"""


# %% tags=["solution"]
def double(x):
    return 2 * x


# %% tags=["check"]
assert double(2) == 4, "the double of 2 is 4"
assert double(0) == 0, "the double of 0 is 0"
for n in range(3):
    assert double(n) == n + n, "it holds for small numbers"

# %% [markdown]
"""
## What this chapter claims
"""

# %% tags=["claims"]
assert counter == 42, "the counter is 42"
assert w.data == 2.0, "one step goes half the way"
print("All of this chapter's claims hold.")
'''
SETUP, COUNT, MORE, WAY, RULE, EXERCISE, CLAIMS = range(7)  # its steps


def write(folder: Path, text: str = CHAPTER) -> Path:
    path = folder / "09_small.py"
    path.write_text(text, encoding="utf-8")
    return path
