"""The file from which a training goes on."""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from micrograd_like._extras import require
from micrograd_like.files import replace_file


@dataclass(frozen=True)
class Checkpoint:
    """A training after a round. What the bits depend on travels along, and is compared when it is resumed."""

    told: dict[str, Any]  # position, seed, batch_size, … : whatever JSON can say
    tensors: dict[str, Any]  # parameters, losses, sizes and a tensor for each state of the optimizer

    def write(self, path: Path) -> None:
        """Make this the content of the file: whole or not at all."""
        safetensors = require("safetensors.numpy", extra="weights")
        replace_file(path, safetensors.save(self.tensors, {"cluster": json.dumps(self.told)}))

    @classmethod
    def read(cls, path: Path) -> Checkpoint:
        """The training in a file. Raises ValueError where there is none in it."""
        library = require("safetensors", extra="weights")
        try:
            with library.safe_open(str(path), "numpy") as file:
                told = json.loads((file.metadata() or {})["cluster"])
                tensors = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118
        except (library.SafetensorError, KeyError, ValueError) as error:
            raise ValueError(f"{path} is not a checkpoint of cluster.fit: {error}") from None
        return cls(told, tensors)
