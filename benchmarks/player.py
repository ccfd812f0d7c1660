"""The live pages in Chromium: their size, the time to the first picture, frames while dragging, epochs in a second."""

from __future__ import annotations

import statistics
import tempfile
from pathlib import Path
from typing import Any

from benchmarks.chromium import NoBrowserError, chromium
from micrograd_like.player.ready import READY, write_all

# Drag the chosen number to and fro for so many frames; then the time between frames, and of it what scripts take.
DRAG = """async (frames) => {
  const { S } = player, between = [], began = S.frames.length;
  S.held = true;
  await new Promise(requestAnimationFrame);
  let last = performance.now();
  for (let k = 0; k < frames; k++) {
    player.edit("w", S.chosen, Math.sin(k / 9));
    await new Promise(requestAnimationFrame);
    const now = performance.now(); between.push(now - last); last = now;
  }
  return [between, S.frames.slice(began)];
}"""
# Train from the first step on for a second; epochs in that time.
TRAIN = """() => {
  const { T } = player, began = performance.now();
  T.cut(0);
  let steps = 0;
  while (performance.now() - began < 1000) { steps++; T.cut(0); T.at(T.perEpoch); }
  return steps / (performance.now() - began) * 1000;
}"""
FIRST = "() => player.S.firstPicture"


def measure(browser: Any, path: Path) -> dict[str, float]:
    """One page, opened anew."""
    context = browser.new_context(viewport={"width": 1440, "height": 900})
    page = context.new_page()
    page.goto(path.as_uri())
    page.evaluate("player.quiet()")
    first = page.evaluate(FIRST)
    page.evaluate(DRAG, 30)  # let the browser compile what is hot
    between, scripts = page.evaluate(DRAG, 120)
    page.evaluate("player.S.held = false")
    epochs = page.evaluate(TRAIN)
    context.close()
    return {
        "size": path.stat().st_size / 1000,
        "first": first,
        "between": statistics.median(between),
        "scripts": statistics.median(scripts),
        "epochs": epochs,
    }


def table(rounds: int = 3) -> list[str]:
    """The measurements of every ready page as a table; the median of some rounds."""
    lines = [
        "| page | kB | first picture, ms | between frames of a drag, ms | of it scripts, ms | epochs in a second |",
        "|---|---|---|---|---|---|",
    ]
    with tempfile.TemporaryDirectory() as folder, chromium() as browser:
        write_all(folder)
        for ready in READY:
            found = [measure(browser, Path(folder) / f"{ready.name}.html") for _ in range(rounds)]
            middle = {key: statistics.median(each[key] for each in found) for key in found[0]}
            lines.append(
                f"| {ready.name} | {middle['size']:.0f} | {middle['first']:.0f} | {middle['between']:.1f} | "
                f"{middle['scripts']:.1f} | {middle['epochs']:.0f} |"
            )
        lines += ["", f"Chromium {browser.version}, without a graphics card; a window of 1440 × 900 px."]
    return lines


def main(folder: Path | None) -> None:
    """Print the table, and write it as player.md."""
    print("Live pages in a browser")
    try:
        lines = table()
    except NoBrowserError as error:
        print(f"not measured: {error}")
        return
    print("\n".join(lines))
    if folder is not None:
        text = "# The live pages, measured\n\nBy `make bench`; medians of three openings.\n\n"
        (folder / "player.md").write_text(text + "\n".join(lines) + "\n", encoding="utf-8")
