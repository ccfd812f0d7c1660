"""Steps of PyTorch's optimizers, kept in a file so that they can be compared without PyTorch.

`python tests/torch_steps.py` writes the file anew.
"""

import json
from pathlib import Path
from typing import Any

FILE = Path(__file__).with_name("torch_steps.json")
_STEPS: dict[str, Any] = {
    "start": [1.0, -0.5, 3e-3],
    "gradients": [[0.3, -2.0, 1e-4], [-0.1, 1.5, 1e-4], [0.7, 0.0, -2e-4], [0.2, -40.0, 0.0], [0.05, 3.0, 1e-4]],
}
CASES: list[dict[str, Any]] = [
    {"optimizer": optimizer, "arguments": arguments, **_STEPS}
    for optimizer, arguments in [
        ("SGD", {"lr": 0.1}),
        ("SGD", {"lr": 0.1, "momentum": 0.9}),
        ("SGD", {"lr": 0.1, "momentum": 0.9, "weight_decay": 0.01}),
        ("SGD", {"lr": 0.1, "weight_decay": 0.5}),
        ("Adam", {}),
        ("Adam", {"lr": 0.05, "betas": [0.8, 0.95], "eps": 1e-4}),
        ("Adam", {"lr": 0.05, "weight_decay": 0.1}),
        ("AdamW", {}),
        ("AdamW", {"lr": 0.05, "betas": [0.0, 0.5], "weight_decay": 0.1}),
    ]
]


def committed() -> dict[str, Any]:
    """The file: where its numbers are from, and the cases with the parameters after each step."""
    content: dict[str, Any] = json.loads(FILE.read_text(encoding="utf-8"))
    return content


def in_torch(case: dict[str, Any]) -> list[list[float]]:
    """The parameters after each of PyTorch's steps."""
    import torch

    parameters = [torch.tensor(x, dtype=torch.float64, requires_grad=True) for x in case["start"]]
    optimizer = getattr(torch.optim, case["optimizer"])(parameters, **case["arguments"])
    after = []
    for gradient in case["gradients"]:
        for parameter, g in zip(parameters, gradient, strict=True):
            parameter.grad = torch.tensor(g, dtype=torch.float64)
        optimizer.step()
        after.append([parameter.item() for parameter in parameters])
    return after


if __name__ == "__main__":
    import torch

    source = f"torch.optim of PyTorch {torch.__version__}, float64, one parameter a tensor; by tests/torch_steps.py"
    cases = [case | {"parameters": in_torch(case)} for case in CASES]
    FILE.write_text(json.dumps({"source": source, "cases": cases}, indent=1) + "\n", encoding="utf-8")
