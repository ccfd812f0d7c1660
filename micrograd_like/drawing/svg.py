"""The SVG of a drawing, at the places of its layout.

`marks` draws each thing once, `page` puts the marks, the legend below them and the style together.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from html import escape
from itertools import pairwise
from typing import Any

from micrograd_like.drawing import style as look
from micrograd_like.drawing.cards import Card, Place, port_text
from micrograd_like.drawing.effects import Sample, Style, direction
from micrograd_like.drawing.layout import MARGIN, Layout, Point, Rectangle, Sheet, px, read_layout
from micrograd_like.drawing.scene import Arrow, Box, Picture, is_finite
from micrograd_like.drawing.style import SMALL, measure
from micrograd_like.drawing.text import elided, visible
from micrograd_like.ieee import as_float

SHADES = 24  # of a picture
TOOLTIP_LINES, TOOLTIP_LETTERS = 12, 160


@dataclass(slots=True)
class Mark:
    """One thing that is drawn."""

    key: str  # the same in every state of the graph
    svg: str
    kind: str  # "frame", "casing", "core", "value", "effect", "weight", "picture" or "word"
    place: float = 0.0  # how far along the computation it is, from 0 to 1
    group: str = ""  # the box that it lies in


def marks(sheet: Sheet, layout: Layout) -> list[Mark]:
    """Everything in the order in which it is drawn: edges, then boxes, then what stands on edges."""
    scene, style = sheet.scene, sheet.style
    columns = {box.key: box.column for box in scene.boxes}
    first, last = min(columns.values()), max(columns.values())
    along = {key: (column - first) / max(last - first, 1) for key, column in columns.items()}
    found: list[Mark] = []
    for arrow in scene.arrows:
        found += _edge(arrow, layout.curves[arrow.key], style, along[arrow.head], scene.is_network)
    for column, text in scene.headings.items() if sheet.rankdir in ("LR", "RL") else ():
        inside = [layout.boxes[box.key] for box in scene.boxes if box.column == column]
        if inside:
            left, right = min(x for x, _, _, _ in inside), max(x + w for x, _, w, _ in inside)
            top = min(y for _, y, _, _ in inside)
            svg = _text(text, (left + right) / 2, top - 10, "m", SMALL)
            found.append(Mark(f"heading {column}", svg, "word"))
    made = sheet.cards()
    for box in scene.boxes:
        found += _card(box, made[box.key], layout.boxes[box.key], style, along[box.key])
    for arrow in scene.arrows:
        if arrow.key in layout.pills:
            x, y, w, h = layout.pills[arrow.key]
            svg = f'<rect class="k" x="{px(x)}" y="{px(y)}" width="{px(w)}" height="{px(h)}" rx="{px(h / 2)}"/>'
            words = "" if is_finite(arrow.derivative) else "bad"
            svg += _text(style.pill(arrow), x + w / 2, y + h / 2 + 4.3, words, SMALL)
            found.append(Mark(f"{arrow.key} pill", _titled(svg, style.details(arrow)), "effect", along[arrow.head]))
    return found


def _edge(arrow: Arrow, curve: Sequence[Point], style: Style, place: float, is_network: bool) -> list[Mark]:
    """The grey core of an edge, and its effect: around the core in a network, over it in a graph of scalars."""
    effect, d, details = style.effect(arrow), path(curve), style.details(arrow)
    way, signless = direction(effect), style.is_length(arrow)
    rest = ' opacity=".3"' if style.faded(arrow) else ""
    dashes = ' stroke-dasharray="6 4"' if arrow.weight is not None and arrow.weight < 0 else ""
    width = core_width(arrow, style) if is_network else 1.2
    wide = casing_width(arrow, style) if is_network else 1.2 + 6.8 * style.size(effect)
    ends = f' data-edge="{arrow.tail} {arrow.head}"'
    core = f'<path class="core" d="{d}" stroke-width="{px(width)}"{dashes}{rest}{ends}/>'
    unknown = effect is not None and effect != effect
    if way == "none" and not unknown:
        return [Mark(f"{arrow.key} core", _titled(core, details), "core", place)]
    colour = "e0" if signless or unknown else {"up": "eu", "down": "ed"}[way]
    rest += ' stroke-opacity=".4"' * signless + ' stroke-dasharray="2 4"' * unknown
    casing = f'<path class="e {colour}" d="{d}" stroke-width="{px(wide)}"{rest}/>'
    if arrow.weight is not None and not (signless or unknown):  # dark on the colour, where the grey would not be seen
        casing += core.replace('"core"', '"core in"').replace(ends, "")
    return [
        Mark(f"{arrow.key} core", _titled(core, details), "core", place),
        Mark(f"{arrow.key} casing", _titled(casing, details), "casing", place),
    ]


def casing_width(arrow: Arrow, style: Style) -> float:
    """How thick a line is with its effect around it, in px; the root, because gradients span decades."""
    most = max(3.5, min(8.5, 110 / len(style.scene.arrows)))  # many wide edges would hide each other
    return core_width(arrow, style) + 2.5 + most * float(style.size(style.effect(arrow)) ** 0.5)


def core_width(arrow: Arrow, style: Style) -> float:
    """How thick the line of a weight is, in px."""
    if arrow.weight is None or not style.largest_weight:
        return 1.5
    size = abs(float(as_float(arrow.weight))) / style.largest_weight
    return 0.8 + 3.2 * (min(size, 1.0) if size == size else 0.0)


def _card(box: Box, made: Card, where: Rectangle, style: Style, place: float) -> list[Mark]:
    x, y, w, h = where
    tint = {"parameter": " p", "input": " i", "loss": " l"}.get(box.role, "")
    tint += " failed" * bool(box.failure)
    radius = 4 if box.role in ("input", "parameter") else 8
    fade = ' opacity=".4"' if style.faded(box) else ""
    frame = f'<rect class="c{tint}" x="{px(x)}" y="{px(y)}" width="{px(w)}" height="{px(h)}" rx="{radius}"{fade} data-box="{box.key}"/>'
    if box.role == "layer":
        frame = f'<rect class="c" x="{px(x + 4)}" y="{px(y + 4)}" width="{px(w)}" height="{px(h)}" rx="8"/>' + frame
    found = [Mark(f"{box.key} frame", frame, "frame", place, box.key)]
    for i, (port, spot) in enumerate(made.ports):
        found += _port(f"{box.key} port {i}", port, spot, where, style, place, box.key)
    for i, (picture, spot) in enumerate(made.pictures):
        top = style.largest_in[picture.kind]
        found.append(
            Mark(
                f"{box.key} picture {i}",
                picture_svg(picture, x + spot.x, y + spot.y, spot.width / picture.width, top),
                "effect" if picture.kind == "effects" else "picture",
                place,
                box.key,
            )
        )
    for line in made.lines:
        kind = {"value": "value", "leaf": "weight" if box.role == "parameter" else "word", "effect": "effect"}
        text, classes = line.text, f"{line.look} {'f' if fade else ''}".strip()
        bold_from = " = " if line.name == "leaf" else ""
        svg = _text(text, x + line.x, y + line.y, classes, line.size, bold_from=bold_from)
        found.append(Mark(f"{box.key} {line.name}", svg, kind.get(line.name, "word"), place, box.key))
    return found


def _port(key: str, port: Any, spot: Place, where: Rectangle, style: Style, place: float, group: str) -> list[Mark]:
    x, y = where[0] + spot.x, where[1] + spot.y
    frame = (
        f'<rect class="c p" x="{px(x + 2)}" y="{px(y + 2)}" width="{px(spot.width - 4)}" '
        f'height="{px(spot.height - 4)}" rx="4"/>'
    )
    text = port_text(port)
    number = _text(text, x + spot.width - 21, y + spot.height / 2 + 4.3, "b", SMALL, "end")
    found = [
        Mark(f"{key} frame", _titled(frame, style.details(port)), "frame", place, group),
        Mark(f"{key} number", number, "weight", place, group),
    ]
    way = direction(port.gradient)
    if way != "none":
        arrow = _text(
            "▼" if way == "up" else "▲",
            x + spot.width - 12,
            y + spot.height / 2 + 4.3,
            "u" if way == "up" else "d",
            SMALL,
        )
        found.append(Mark(f"{key} arrow", arrow, "effect", place, group))
    return found


def picture_svg(picture: Picture, x: float, y: float, side: float, top: float) -> str:
    """Numbers as small squares: one path for each shade."""
    scale = {"pixels": look.PIXELS, "weights": look.WEIGHTS, "effects": look.EFFECTS}[picture.kind]
    runs: dict[str, list[str]] = {}
    for row in range(picture.height):
        numbers = picture.values[row * picture.width : (row + 1) * picture.width]
        colours = [_shade(scale, value, top, picture.kind) if value == value else "" for value in numbers]
        start = 0
        for i, (colour, following) in enumerate(pairwise([*colours, ""])):
            if colour != following:
                runs.setdefault(colour, []).append(f"M{start} {row}h{i + 1 - start}v1h{start - i - 1}z")
                start = i + 1
    body = "".join(
        f'<path fill="{colour}" d="{"".join(squares)}"/>' for colour, squares in sorted(runs.items()) if colour
    )
    width, height = px(side * picture.width), px(side * picture.height)
    outline = f'<rect class="o" x="{px(x)}" y="{px(y)}" width="{width}" height="{height}"/>'
    squares = f'<g transform="translate({px(x)} {px(y)}) scale({side:.4g})" shape-rendering="crispEdges">{body}</g>'
    return squares + outline


def _shade(scale: tuple[str, str, str], value: float, top: float, kind: str) -> str:
    part = value / top if top and value == value else 0.0
    part = min(max(part, -1.0), 1.0)
    if kind == "effects":  # small effects stay visible
        part = abs(part) ** 0.6 * (1 if part > 0 else -1)
    return look.blend(scale, round(part * SHADES) / SHADES)


def path(curve: Sequence[Point]) -> str:
    """A curve as the text of a path."""
    points = [f"{px(x)} {px(y)}" for x, y in curve]
    return f"M{points[0]}" + "".join(f"C{' '.join(points[i : i + 3])}" for i in range(1, len(points), 3))


def _text(
    text: str, x: float, y: float, classes: str = "", size: float = 13, anchor: str = "middle", bold_from: str = ""
) -> str:
    classes += " s" * (size == SMALL) + {"start": " st", "end": " en"}.get(anchor, "")
    shown = clean(text)
    if bold_from and bold_from in text:
        head, _, tail = text.rpartition(bold_from)
        shown = f'{clean(head + bold_from)}<tspan class="b">{clean(tail)}</tspan>'
    attribute = f' class="{classes.strip()}"' if classes.strip() else ""
    return f'<text{attribute} x="{px(x)}" y="{px(y)}">{shown}</text>'


def clean(text: str) -> str:
    """A text that is no markup, without what XML cannot hold."""
    return escape(visible(text), quote=True)


def tooltip(details: Sequence[str]) -> str:
    """Lines of a tooltip, none of them endless."""
    lines = [elided(line, TOOLTIP_LETTERS) for line in details]
    if len(lines) > TOOLTIP_LINES:
        lines[TOOLTIP_LINES - 1 :] = [f"… {len(lines) - TOOLTIP_LINES + 1} more lines"]
    return "\n".join(lines)


def _titled(svg: str, details: Sequence[str]) -> str:
    return f"<g><title>{clean(tooltip(details))}</title>{svg}</g>" if details else svg


def body(found: Sequence[Mark], style: Style) -> str:
    """Marks as SVG, those of a box together under its tooltip."""
    details = {box.key: style.details(box) for box in style.scene.boxes}
    pieces: list[str] = []
    group = ""
    for mark in [*found, Mark("", "", "")]:
        if mark.group != group:
            pieces.append("</g>\n" if group else "")
            if mark.group:
                pieces.append(f"<g><title>{clean(tooltip(details[mark.group]))}</title>")
            group = mark.group
        pieces.append(mark.svg if group else f"{mark.svg}\n")
    return "".join(pieces)


def legend(samples: Sequence[Sample], width: float) -> tuple[str, float, float]:
    """A strip of marks with their meanings, its width and its height: in lines where one would be too long."""
    pieces: list[str] = []
    x, y, widest = MARGIN, 14.0, 0.0
    for sample in samples:
        text = elided(sample.meaning, 90)
        sketch, wide = _sample(sample.mark)
        need = wide + measure(text, SMALL)
        if x > MARGIN and x + need > width - MARGIN:
            x, y = MARGIN, y + 18.0
        pieces.append(
            f'<g transform="translate({px(x)} {px(y)})">{sketch}{_text(text, wide, 0, "m", SMALL, "start")}</g>'
        )
        widest = max(widest, x + need + MARGIN)
        x += need + 18.0
    return "\n".join(pieces), widest, y + 8.0 if pieces else 0.0


def _sample(mark: str) -> tuple[str, float]:
    """A small picture of a mark, and how much room it takes."""
    if mark in ("parameter", "input"):
        return f'<rect class="c {mark[0]}" y="-10" width="16" height="12" rx="3"/>', 22.0
    if mark == "failed":
        return '<rect class="c failed" y="-10" width="16" height="12" rx="3"/>', 22.0
    if mark in ("up", "down"):
        return f'<path class="e e{"u" if mark == "up" else "d"}" stroke-width="8" d="M0 -4H24"/>', 30.0
    if mark in ("up in", "down in"):
        casing = f'<path class="e e{"u" if mark == "up in" else "d"}" stroke-width="10" d="M0 -4H24"/>'
        return casing + '<path class="core in" stroke-width="2.5" d="M0 -4H24"/>', 30.0
    if mark in ("core", "dashed"):
        dashes = ' stroke-dasharray="6 4"' if mark == "dashed" else ""
        return f'<path class="core" stroke-width="3" d="M0 -4H24"{dashes}/>', 30.0
    if mark == "faded":
        return '<path class="e e0" stroke-width="1.2" opacity=".4" d="M0 -4H24"/>', 30.0
    if mark in ("weights", "effects"):
        scale = look.WEIGHTS if mark == "weights" else look.EFFECTS
        squares = [
            f'<rect x="{8 * i}" y="-10" width="8" height="12" fill="{look.blend(scale, i / 3 - 1)}"/>' for i in range(7)
        ]
        return "".join(squares) + '<rect class="o" y="-10" width="56" height="12"/>', 62.0
    return "", 0.0


def page(sheet: Sheet, layout: Layout, inside: str, css: str = "", above: float = 0.0, title: str = "") -> str:
    """The whole SVG: title, summary, style, marks and legend."""
    strip, wide, high = legend(sheet.style.legend(), layout.width) if sheet.legend else ("", 0.0, 0.0)
    width, height = round(max(layout.width, wide)), round(above + layout.height + high)
    scene = sheet.scene
    title = title or f"{elided(scene.root)}: each number with its effect on it"
    below = f'<g transform="translate(0 {px(above + layout.height)})">\n{strip}\n</g>\n' if strip else ""
    shifted = (
        f'<g transform="translate(0 {px(above)})">\n{inside}{layout.extras}</g>\n' if above else inside + layout.extras
    )
    return (
        f'<svg xmlns="http://www.w3.org/2000/svg" xmlns:xlink="http://www.w3.org/1999/xlink" class="mgl" '
        f'width="{width}" height="{height}" viewBox="0 0 {width} {height}" role="img">\n'
        f"<title>{clean(title)}</title>\n<desc>{clean(scene.summary())}</desc>\n"
        f"<style>{STYLE}{'' if scene.is_finite() else FAILED}{css}</style>\n{shifted}{below}</svg>\n"
    )


def drawn(graphviz_svg: str, sheet: Sheet) -> str:
    """Graphviz's SVG as the drawing that is shown."""
    layout = read_layout(graphviz_svg, sheet)
    return page(sheet, layout, body(marks(sheet, layout), sheet.style))


def _bad(theme: int) -> str:
    """The colours of what is not finite: an outline, and words."""
    return f".mgl .failed{{stroke:{look.FAILED};stroke-width:2.5}}.mgl .bad{{fill:{look.FAILED_TEXT[theme]}}}"


def _rules(theme: int) -> str:
    """The colours of cards on a light (0) or a dark (1) page."""
    tints = {"c": "operation", "p": "parameter", "i": "input", "l": "loss"}
    rules = [
        f".mgl .{name}{{fill:{look.TINTS[role][theme]}{f';stroke:{look.EDGE[theme]}' if name == 'c' else ''}}}"
        for name, role in tints.items()
    ]
    texts = {"text": look.TEXT, ".u": look.RAISES_TEXT, ".d": look.LOWERS_TEXT, ".q": look.MUTED}
    rules += [f".mgl {name}{{fill:{shade[theme]}}}" for name, shade in texts.items()]
    return "".join(rules) + f".mgl .k{{fill:{look.TINTS['operation'][theme]}}}"


STYLE = (
    f".mgl text{{font:{look.BODY}px {look.FONT};text-anchor:middle;white-space:pre}}{_rules(0)}"
    f".mgl .v{{font-size:{look.VALUE}px;font-weight:600}}.mgl .s{{font-size:{look.SMALL}px}}.mgl .b{{font-weight:600}}"
    f".mgl .m{{fill:{look.NEUTRAL}}}.mgl .st{{text-anchor:start}}.mgl .en{{text-anchor:end}}.mgl .f{{opacity:.45}}"
    f".mgl .e,.mgl .core{{fill:none}}.mgl .core,.mgl .e0{{stroke:{look.NEUTRAL}}}"
    f".mgl .in{{stroke:{look.INK}}}.mgl .eu{{stroke:{look.RAISES}}}.mgl .ed{{stroke:{look.LOWERS}}}"
    f".mgl .o{{fill:none;stroke:{look.EDGE.light}}}"
    f"@media(prefers-color-scheme:dark){{{_rules(1)}.mgl .m{{fill:{look.NEUTRAL}}}}}"
)
FAILED = f"{_bad(0)}@media(prefers-color-scheme:dark){{{_bad(1)}}}"
