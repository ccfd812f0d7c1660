from micrograd_like.drawing.attention import plot_attention
from micrograd_like.drawing.dot import draw_dot, trace
from micrograd_like.drawing.figure import Plot, house_style
from micrograd_like.drawing.frames import Frames, draw_frames
from micrograd_like.drawing.plots import (
    Regions,
    plot_areas,
    plot_images,
    plot_learning,
    plot_lines,
    plot_regions,
    plot_walks,
    plot_weights,
    regions,
)
from micrograd_like.drawing.render import Drawing

__all__ = [
    "Drawing",
    "Frames",
    "Plot",
    "Regions",
    "draw_dot",
    "draw_frames",
    "house_style",
    "plot_areas",
    "plot_attention",
    "plot_images",
    "plot_learning",
    "plot_lines",
    "plot_regions",
    "plot_walks",
    "plot_weights",
    "regions",
    "trace",
]
