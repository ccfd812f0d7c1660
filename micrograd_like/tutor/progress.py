"""How far a reader has come: one small file in the user's data folder, and nothing else."""

from __future__ import annotations

import json
from contextlib import suppress
from pathlib import Path
from typing import Any

from micrograd_like._extras import require
from micrograd_like.files import replace_file


def file() -> Path:
    """Where it is kept."""
    return Path(require("platformdirs", extra="tutor").user_data_path("micrograd-like")) / "progress.json"


def load() -> dict[str, dict[str, Any]]:
    """By chapter: `at`, the place of a step; `done`; `answered`, whether each question's first guess was right.

    A file that is missing or damaged counts as empty.
    """
    try:
        known = json.loads(file().read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return {}
    if not isinstance(known, dict):
        return {}
    return {name: facts for name, facts in known.items() if isinstance(facts, dict)}


def save(chapter: str, **facts: Any) -> None:
    """Add facts about a chapter, which becomes the last one read. Where nothing can be written, nothing is kept."""
    _save(chapter, facts, last={"chapter": chapter})


def _save(name: str, facts: dict[str, Any], **others: dict[str, Any]) -> None:
    known = load() | others
    known[name] = known.get(name, {}) | facts
    with suppress(OSError, ValueError):
        file().parent.mkdir(parents=True, exist_ok=True)
        replace_file(file(), json.dumps(known).encode())


def place(name: str, steps: int) -> int:
    """Where to go on in a chapter; at its beginning if it is done."""
    facts = load().get(name, {})
    at = facts.get("at")
    return at if isinstance(at, int) and 0 <= at < steps and not facts.get("done") else 0


def ground() -> str:
    """`light` or `dark`, if the reader has chosen."""
    chosen = load().get("look", {}).get("ground")
    return str(chosen) if chosen in ("light", "dark") else ""


def save_ground(chosen: str) -> None:
    """Keep the reader's choice of `light` or `dark`."""
    _save("look", {"ground": chosen})
