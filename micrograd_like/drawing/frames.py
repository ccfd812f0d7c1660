"""`draw_frames`: several states of one graph in one layout, as pictures of their own or as one that moves.

A state is what `draw_dot` returned at that time. What differs between two states fades from one into the other: numbers
in the order of the computation, gradients against it. Motion is CSS alone, so it plays inside an `<img>`. Without it (a
printer, a reader who asked for reduced motion) the picture is the state that shows most.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Iterator, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any, overload

from micrograd_like.checks import instance, listed
from micrograd_like.drawing import style as look
from micrograd_like.drawing.dot import draw
from micrograd_like.drawing.formula import number
from micrograd_like.drawing.layout import MARGIN, Layout, Sheet, read_layout
from micrograd_like.drawing.render import Drawing
from micrograd_like.drawing.scene import Box
from micrograd_like.drawing.style import CAPTION, measure
from micrograd_like.drawing.svg import Mark, body, clean, marks, page, path
from micrograd_like.ieee import as_float

HOLD, FADE = 1.1, 0.2  # seconds
COLUMN = 0.5  # seconds for each column in a pass
STEP = 1.2
ABOVE = 52.0  # the room for what is said above the drawing
BAR = 36.0  # the room for the bar of the loss
SAYS = {
    "forward": "forward: what does it say?",
    "backward": "backward: how does each number affect {root}?",
    "step": "step: each weight moves against its gradient",
}


def draw_frames(states: Sequence[Drawing], captions: Sequence[str] | None = None) -> Frames:
    """Put several states of one graph into one layout.

    >>> from micrograd_like import Value, draw_dot
    >>> w = Value(2.0, label="w")
    >>> loss = (w - 3.0) ** 2
    >>> states = [draw_dot(loss)]
    >>> loss.backward()
    >>> states.append(draw_dot(loss))
    >>> frames = draw_frames(states)
    >>> len(frames), "@keyframes" in frames.to_svg()
    (2, True)

    Args:
        states: what `draw_dot` returned, with the same arguments, for the same program: before `backward`, after it, after
            the optimizer's step, and for the loss that was computed again, say.
        captions: what is said above each state; None says what happened.

    Raises:
        TypeError: a state is no drawing of `draw_dot`.
        ValueError: there is no state, there are not as many captions, or the states show different graphs.
    """
    if isinstance(states, Drawing) or not isinstance(states, Sequence) or not states:
        raise ValueError(f"expected states as a list of at least one drawing, got {states!r:.60}")
    for i, state in enumerate(states):
        if not isinstance(state, Drawing) or state.sheet is None:
            raise TypeError(f"expected drawings of draw_dot, states[{i}] is {type(state).__name__}: {state!r:.60}")
    captions = None if captions is None else listed("captions", captions, "a list of texts")
    if captions is not None and len(captions) != len(states):
        raise ValueError(f"expected a caption for each of {len(states)} states, got {len(captions)}")
    sheets = [state.sheet for state in states if state.sheet is not None]
    for i, sheet in enumerate(sheets):
        if _shape(sheet) != _shape(sheets[0]):
            raise ValueError(
                f"states[{i}] shows another graph than states[0]: expected the same program, drawn with the same arguments "
                "(max_edges=… where the strongest edges were chosen)"
            )
    sizes = {key: _largest([sheet.sizes[key] for sheet in sheets]) for key in sheets[0].sizes}
    root = _root(sheets[0])
    if len(sheets) > 1:
        sizes[root.key] = (sizes[root.key][0], sizes[root.key][1] + BAR, sizes[root.key][2])
    gap = max(sheet.gap for sheet in sheets)
    together = [replace(sheet, sizes=sizes, gap=gap) for sheet in sheets]
    return Frames([draw(sheet, "svg") for sheet in together], captions)


def _largest(sizes: Sequence[tuple[float, float, float]]) -> tuple[float, float, float]:
    widths, heights, cells = zip(*sizes, strict=True)
    return max(widths), max(heights), max(cells)


def _shape(sheet: Sheet) -> Any:
    boxes = [(box.key, box.role, len(box.ports), box.column) for box in sheet.scene.boxes]
    return sheet.rankdir, boxes, [(arrow.key, arrow.tail, arrow.head, arrow.port) for arrow in sheet.scene.arrows]


def _root(sheet: Sheet) -> Box:
    return next((box for box in sheet.scene.boxes if box.is_root), sheet.scene.boxes[-1])


class Frames(Sequence[Drawing]):
    """Hold drawings of one graph in one layout; shown in a notebook, or saved, as one picture that moves.

    Each of them is a `Drawing`, in which every box and edge is where it is in the others.

    >>> import micrograd_like as mg
    >>> w = mg.Value(2.0, label="w")
    >>> loss = w**2
    >>> before = mg.draw_dot(loss)
    >>> loss.backward()
    >>> frames = mg.draw_frames([before, mg.draw_dot(loss)])
    >>> len(frames), frames.to_svg()[:4]
    (2, '<svg')
    """

    def __init__(self, drawings: Sequence[Drawing], captions: Sequence[str] | None = None) -> None:
        self._drawings = [
            instance("a drawing", each, Drawing, "a Drawing")
            for each in listed("drawings", drawings, "a list of Drawings")
        ]
        self._sheets = [drawing.sheet for drawing in self._drawings if drawing.sheet is not None]
        self._phases = [_phase(before, now) for before, now in zip([None, *self._sheets], self._sheets, strict=False)]
        self.captions = listed("captions", captions, "a list of texts") if captions is not None else self._told()

    @overload
    def __getitem__(self, i: int) -> Drawing: ...
    @overload
    def __getitem__(self, i: slice) -> list[Drawing]: ...
    def __getitem__(self, i: int | slice) -> Drawing | list[Drawing]:
        return self._drawings[i]

    def __len__(self) -> int:
        return len(self._drawings)

    def to_svg(self) -> str:
        """All states as one SVG that moves; the same bytes every time."""
        return _Film(self._drawings[0], self._sheets, self._phases, self.captions).svg()

    def save(self, path: Any) -> str:
        """Write the picture that moves.

        Raises:
            ValueError: the name does not end in .svg.
        """
        target = Path(path)
        if target.suffix.lower() != ".svg":
            raise ValueError(f"expected a name that ends in .svg to save frames, got {target.name!r:.60}")
        target.parent.mkdir(parents=True, exist_ok=True)
        target.write_bytes(self.to_svg().encode())
        return str(target)

    def _repr_svg_(self) -> str:
        return self.to_svg()

    def _told(self) -> list[str]:
        """What happened in each state, in words."""
        captions = []
        for i, (phase, sheet) in enumerate(zip(self._phases, self._sheets, strict=True)):
            text = SAYS[phase].format(root=sheet.scene.root)
            now = _root(sheet).value
            before = _root(self._sheets[i - 1]).value if i else None
            if phase == "forward" and before is not None and now is not None:
                way = "falls" if now < before else "rises" if now > before else "stays"
                text = f"forward again: {sheet.scene.root} {way} from {number(before, 3)} to {number(now, 3)}"
            captions.append(f"{i + 1} · {text}")
        return captions


def _phase(before: Sheet | None, now: Sheet) -> str:
    """What led to a state: "forward", "backward" or "step"."""
    if before is None:
        return "forward"
    known = [box.gradient is not None for box in now.scene.boxes]
    if sum(known) > sum(box.gradient is not None for box in before.scene.boxes):
        return "backward"
    if _root(before).value == _root(now).value and _weights(before) != _weights(now):
        return "step"
    return "forward"


def _weights(sheet: Sheet) -> list[Any]:
    boxes = sheet.scene.boxes
    ports = [port.value for box in boxes for port in box.ports]
    return [*ports, *(box.value for box in boxes if box.role in ("parameter", "input"))]


class _Film:
    """The states of a graph, and when each thing is seen."""

    def __init__(self, first: Drawing, sheets: Sequence[Sheet], phases: Sequence[str], captions: Sequence[str]) -> None:
        svg = first._by_graphviz().decode("utf-8")
        self._sheets, self._phases, self._captions = sheets, phases, captions
        self._layouts = [read_layout(svg, sheet) for sheet in sheets]
        known = [sum(box.gradient is not None for box in sheet.scene.boxes) for sheet in sheets]
        self._base = known.index(max(known))  # the full picture: what is seen without motion, and first
        columns = [box.column for box in sheets[0].scene.boxes]
        self._place = {
            box.key: (box.column - min(columns)) / max(max(columns) - min(columns), 1) for box in sheets[0].scene.boxes
        }
        self._pass = COLUMN * (max(columns) - min(columns) + 1)
        self._starts = [HOLD + 2 * FADE]
        for phase in phases:
            self._starts.append(self._starts[-1] + (STEP if phase == "step" else self._pass + 0.5))
        self._seconds = self._starts.pop() + HOLD
        self._rules: dict[str, str] = {}

    def svg(self) -> str:
        """The whole picture."""
        sheet, layout = self._sheets[self._base], self._layouts[self._base]
        inside = body(self._things(), sheet.style)
        inside += self._pulses(layout) + self._rings(layout) + self._bar(layout)
        above = self._above(layout)
        name = f"m{hashlib.sha256((inside + above).encode()).hexdigest()[:6]}"
        wide = max(MARGIN * 2 + measure(text, CAPTION, bold=True) for text in (*self._captions, self._first()))
        layout = replace(layout, width=max(layout.width, wide))
        text = page(sheet, layout, inside, self._css(name), ABOVE, f"{self._first()}; {self._captions[-1]}")
        head, style, rest = text.partition("</style>\n")
        return (head + style + above + rest).replace("@@", name)

    def _first(self) -> str:
        return f"What each number does to {self._sheets[0].scene.root}"

    def _css(self, name: str) -> str:
        frames = "".join(
            f"@keyframes @@{key}{{{stops}}}.@@{key}{{animation-name:@@{key}}}" for stops, key in self._rules.items()
        )
        return (
            f".mgl .n{{animation-duration:{self._seconds:.2f}s;animation-iteration-count:infinite;animation-timing-function:linear}}"
            f".mgl .o0{{opacity:0}}.mgl .cap{{font-size:{CAPTION}px;font-weight:600;fill:{look.NEUTRAL};text-anchor:start}}"
            f".mgl .pu{{fill:none;stroke:{look.ACCENT};stroke-width:5;stroke-dasharray:12 300;stroke-dashoffset:30}}"
            f".mgl .ring{{fill:none;stroke:{look.ACCENT};stroke-width:3}}.mgl .tr{{fill:{look.NEUTRAL};fill-opacity:.3}}"
            f".mgl .dot{{fill:{look.ACCENT}}}.mgl .bar{{fill:#b0568c;transform-box:fill-box;transform-origin:left}}{frames}"
            "@media(prefers-reduced-motion:reduce){.mgl .n{animation:none}}"
        )

    def _animated(self, stops: Sequence[tuple[float, Any]], form: str = "opacity:{}") -> str:
        """The class that goes through (second, value) stops; equal ones share it."""
        text = "".join(f"{100 * min(t / self._seconds, 1):.1f}%{{{form.format(v)}}}" for t, v in stops)
        return f"n @@{self._rules.setdefault(text, f'k{len(self._rules)}')}"

    def _when(self, i: int, mark: Mark) -> float:
        """When a mark of a state is seen first."""
        phase, start = self._phases[i], self._starts[i]
        if phase == "step":
            return start + (0.3 if mark.kind == "weight" else 0.0)
        before = {"forward": mark.place, "backward": 1 - mark.place}[phase]
        return start + before * (self._pass - 0.3)

    def _things(self) -> list[Mark]:
        """Every mark in every form that it takes, each with the times at which it is seen."""
        states = [
            {mark.key: replace(mark, svg=_untitled(mark.svg)) for mark in marks(sheet, layout)}
            for sheet, layout in zip(self._sheets, self._layouts, strict=True)
        ]
        found: list[Mark] = []
        for key in _merged([list(state) for state in states]):
            forms: dict[str, list[bool]] = {}
            for i, state in enumerate(states):
                if key in state:
                    forms.setdefault(state[key].svg, [False] * len(states))[i] = True
            any_mark = next(state[key] for state in states if key in state)
            computed = any_mark.kind == "value" and self._phases[0] == "forward"
            for svg, seen in forms.items():
                if all(seen) and not computed:
                    found.append(replace(any_mark, svg=svg))
                    continue
                times = [self._when(i, any_mark) for i in range(len(states))]
                gone = [key not in state for state in states]
                found.append(replace(any_mark, svg=self._seen(svg, seen, gone, times, computed)))
        return found

    def _seen(
        self, svg: str, seen: Sequence[bool], gone: Sequence[bool], times: Sequence[float], computed: bool
    ) -> str:
        """One form of a thing, which is there in some states."""
        base = seen[self._base]
        stops: list[tuple[float, int]] = [(0, int(base))]
        now = base

        def switch(t: float, to: bool) -> None:
            nonlocal now
            if to != now:
                stops.extend([(t, int(now)), (t + FADE, int(to))])
                now = to

        if computed:
            switch(HOLD, False)
        else:
            switch(HOLD, seen[0])
        for i, there in enumerate(seen):
            switch(self._starts[i] - FADE if gone[i] and i else times[i], there)  # what is out of date goes at once
        switch(self._seconds - FADE - 0.05, base)
        if len(stops) == 1:
            return svg
        name = self._animated([*stops, (self._seconds, int(base))])
        return f'<g class="{name}{"" if base else " o0"}">{svg}</g>'

    def _passes(self) -> Iterator[tuple[int, bool]]:
        for i, phase in enumerate(self._phases):
            if phase != "step":
                yield i, phase == "backward"

    def _pulses(self, layout: Layout) -> str:
        """A dash on every edge, which runs the way the numbers go."""
        found = []
        for arrow in self._sheets[0].scene.arrows:
            d = path(layout.curves[arrow.key])
            stops: list[tuple[float, int]] = [(0, 30)]
            tail, head = self._place[arrow.tail], self._place[arrow.head]
            for i, back in self._passes():
                span = self._pass - 0.3
                a, b = (1 - head, 1 - tail) if back else (tail, head)
                start, end = self._starts[i] + a * span + 0.1, self._starts[i] + b * span + 0.05
                if end - start < 0.1:
                    continue
                out, there = (-118, 30) if back else (30, -118)
                stops += [(start - 0.01, stops[-1][1]), (start, out), (end, there)]
            stops.append((self._seconds, stops[-1][1]))
            name = self._animated(stops, "stroke-dashoffset:{}")
            found.append(f'<path class="pu {name}" pathLength="100" d="{d}"/>')
        return "\n".join(found) + "\n"

    def _rings(self, layout: Layout) -> str:
        """A frame around what is being computed."""
        found = []
        for box in self._sheets[0].scene.boxes:
            if box.role in ("input", "parameter"):
                continue
            x, y, w, h = layout.boxes[box.key]
            stops: list[tuple[float, int]] = [(0, 0)]
            for i, back in self._passes():
                place = 1 - self._place[box.key] if back else self._place[box.key]
                t = self._starts[i] + place * (self._pass - 0.3)
                stops += [(t - 0.05, 0), (t + 0.05, 1), (t + 0.35, 1), (t + 0.5, 0)]
            name = self._animated([*stops, (self._seconds, 0)])
            rectangle = f'x="{x:.1f}" y="{y:.1f}" width="{w:.1f}" height="{h:.1f}" rx="8"'
            found.append(f'<rect class="ring o0 {name}" {rectangle}/>')
        return "\n".join(found) + "\n"

    def _bar(self, layout: Layout) -> str:
        """The root's number as the length of a bar, below it in its box."""
        values = [as_float(_root(sheet).value or 0.0) for sheet in self._sheets]
        top = max(values)
        if len(values) < 2 or not (min(values) >= 0 and 0 < top < float("inf")):
            return ""
        root = _root(self._sheets[0])
        x, y, w, h = layout.boxes[root.key]
        x, y, w = x + 14, y + h - 28, w - 28
        still = max(values[self._base], top / w)  # without motion; the others are so many times as long
        parts = [value / still for value in values]
        stops: list[tuple[float, str]] = [(0, f"{parts[self._base]:.4f}")]
        for i, part in enumerate(parts):
            if f"{part:.4f}" != stops[-1][1]:
                t = self._starts[i] + self._place[root.key] * (self._pass - 0.3)
                stops += [(t, stops[-1][1]), (t + 0.5, f"{part:.4f}")]
        stops += [(self._seconds - 0.3, stops[-1][1]), (self._seconds, stops[0][1])]
        name = self._animated(stops, "transform:scaleX({})")
        track, length = (
            f'x="{x:.1f}" y="{y:.1f}" width="{long:.1f}" height="12" rx="3"' for long in (w, w * still / top)
        )
        known = self._starts[0] + self._place[root.key] * (self._pass - 0.3)
        seen = self._animated([(0, 1), (HOLD, 1), (HOLD + FADE, 0), (known, 0), (known + FADE, 1), (self._seconds, 1)])
        bar = f'<rect class="bar {name}" {length}/>'
        return f'<g class="{seen}"><rect class="tr" {track}/>{bar}</g>\n'

    def _above(self, layout: Layout) -> str:
        """What is said, and how far the film is."""
        texts = [(self._first(), 0.0, HOLD)]
        ends = [*self._starts[1:], self._seconds - 0.05]
        texts += [(text, a, b) for text, a, b in zip(self._captions, self._starts, ends, strict=True)]
        found = []
        for i, (text, start, end) in enumerate(texts):
            stops = [(0, 0), (start, 0), (start + FADE, 1), (end - FADE, 1), (end, 0), (self._seconds, 0)]
            if i == 0:
                stops = [(0, 1), (end, 1), (end + FADE, 0), (self._seconds - 0.05, 0), (self._seconds, 1)]
            name = self._animated(stops)
            found.append(f'<text class="cap {name}{" o0" * (i > 0)}" x="{MARGIN:.0f}" y="24">{clean(text)}</text>')
        for i, start in enumerate(self._starts):
            place = f'x="{MARGIN + 76 * i:.0f}" y="36" width="72" height="4" rx="2"'
            name = self._animated([(0, 0), (start, 0), (start + 0.1, 1), (self._seconds - 0.1, 1), (self._seconds, 0)])
            found.append(f'<rect class="tr" {place}/><rect class="dot o0 {name}" {place}/>')
        return "\n".join(found) + "\n"


def _untitled(svg: str) -> str:
    """The same without tooltips, whose digits would tell two states apart that look the same."""
    return re.sub(r"<title>.*?</title>", "", svg, flags=re.DOTALL)


def _merged(orders: list[list[str]]) -> list[str]:
    """All keys in one order that keeps each list's own."""
    merged = max(orders, key=len).copy()
    for order in orders:
        known = set(merged)
        for before, key in zip(["", *order], order, strict=False):
            if key not in known:
                merged.insert(merged.index(before) + 1 if before else 0, key)
                known.add(key)
    return merged
