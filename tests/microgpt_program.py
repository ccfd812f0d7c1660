"""A GPT in plain Python, in the style of Karpathy's microgpt. Only the import of Value says what its scalars are made of."""

import math
import random

from plain_value import Value

LETTERS = "abcdefghijklmnopqrstuvwxyz"
END = len(LETTERS)
NAMES = ["emma", "olivia", "ava", "isabella", "sophia", "mia", "charlotte", "amelia"]
WIDTH, HEADS, BLOCK, LAYERS = 16, 4, 16, 1
RATE, BETA1, BETA2, EPSILON = 0.01, 0.85, 0.99, 1e-8


def matrix(rows, columns):
    return [[Value(random.gauss(0, 0.08)) for _ in range(columns)] for _ in range(rows)]


def parameters():
    state = {"wte": matrix(END + 1, WIDTH), "wpe": matrix(BLOCK, WIDTH), "lm_head": matrix(END + 1, WIDTH)}
    for layer in range(LAYERS):
        for name in ("wq", "wk", "wv", "wo"):
            state[f"{layer}.{name}"] = matrix(WIDTH, WIDTH)
        state[f"{layer}.fc1"], state[f"{layer}.fc2"] = matrix(4 * WIDTH, WIDTH), matrix(WIDTH, 4 * WIDTH)
    return state


def linear(x, w):
    return [sum(wi * xi for wi, xi in zip(row, x)) for row in w]  # noqa: B905


def softmax(logits):
    largest = max(v.data for v in logits)
    exps = [(v - largest).exp() for v in logits]
    total = sum(exps)
    return [e / total for e in exps]


def rmsnorm(x):
    scale = (sum(xi * xi for xi in x) / len(x) + 1e-5) ** -0.5
    return [xi * scale for xi in x]


def gpt(state, token, place, keys, values):
    """The logits of what follows a token; keys and values of the tokens before it are in the two lists, and grow."""
    x = rmsnorm([t + p for t, p in zip(state["wte"][token], state["wpe"][place])])  # noqa: B905
    for layer in range(LAYERS):
        rest, x = x, rmsnorm(x)
        q, k, v = (linear(x, state[f"{layer}.{name}"]) for name in ("wq", "wk", "wv"))
        keys[layer].append(k)
        values[layer].append(v)
        found, size = [], WIDTH // HEADS
        for start in range(0, WIDTH, size):
            part = slice(start, start + size)
            fits = [sum(a * b for a, b in zip(q[part], k[part])) / size**0.5 for k in keys[layer]]  # noqa: B905
            shares = softmax(fits)
            found += [sum(shares[t] * values[layer][t][start + j] for t in range(len(shares))) for j in range(size)]
        x = [a + b for a, b in zip(linear(found, state[f"{layer}.wo"]), rest)]  # noqa: B905
        rest, x = x, linear(rmsnorm(x), state[f"{layer}.fc1"])
        x = [a + b for a, b in zip(linear([xi.relu() for xi in x], state[f"{layer}.fc2"]), rest)]  # noqa: B905
    return linear(x, state["lm_head"])


def loss_of(state, name):
    tokens = [END, *(LETTERS.index(letter) for letter in name), END]
    keys, values = [[] for _ in range(LAYERS)], [[] for _ in range(LAYERS)]
    losses = []
    for place in range(len(tokens) - 1):
        probs = softmax(gpt(state, tokens[place], place, keys, values))
        losses.append(-probs[tokens[place + 1]].log())
    return (1 / len(losses)) * sum(losses)


def train(steps, names=NAMES, seed=42):
    """Yield after each step the loss, all gradients, and the numbers of all parameters."""
    random.seed(seed)
    state = parameters()
    params = [p for rows in state.values() for row in rows for p in row]
    m, v = [0.0] * len(params), [0.0] * len(params)
    for step in range(steps):
        loss = loss_of(state, names[step % len(names)])
        loss.backward()
        gradients = [p.grad for p in params]
        rate = RATE * (1 - step / steps)
        for i, p in enumerate(params):
            m[i] = BETA1 * m[i] + (1 - BETA1) * p.grad
            v[i] = BETA2 * v[i] + (1 - BETA2) * p.grad**2
            m_hat, v_hat = m[i] / (1 - BETA1 ** (step + 1)), v[i] / (1 - BETA2 ** (step + 1))
            p.data -= rate * m_hat / (v_hat**0.5 + EPSILON)
            p.grad = 0
        yield loss.data, gradients, [p.data for p in params]


def invent(state, temperature=0.5):
    keys, values, token, name = [[] for _ in range(LAYERS)], [[] for _ in range(LAYERS)], END, []
    for place in range(BLOCK):
        probs = softmax([score / temperature for score in gpt(state, token, place, keys, values)])
        token = random.choices(range(END + 1), weights=[p.data for p in probs])[0]
        if token == END:
            break
        name.append(LETTERS[token])
    return "".join(name)


if __name__ == "__main__":
    for loss, _, _ in train(20):
        print(f"{loss:.4f}, perplexity {math.exp(loss):.1f}")
