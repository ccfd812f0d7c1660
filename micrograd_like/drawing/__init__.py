from micrograd_like.drawing.attention import plot_attention
from micrograd_like.drawing.boundary import Regions, plot_regions, regions
from micrograd_like.drawing.dot import draw_dot, trace
from micrograd_like.drawing.figure import Plot, house_style
from micrograd_like.drawing.frames import Frames, draw_frames
from micrograd_like.drawing.images import plot_images, plot_weights
from micrograd_like.drawing.learning import plot_learning
from micrograd_like.drawing.plots import plot_areas, plot_lines, plot_walks
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
