from micrograd_like.drawing.charts import Regions, plot_images, plot_lines, plot_regions, regions
from micrograd_like.drawing.dot import draw_dot, trace
from micrograd_like.drawing.frames import Frames, draw_frames
from micrograd_like.drawing.plots import Plot, house_style, plot_learning, plot_weights
from micrograd_like.drawing.render import Drawing

__all__ = [
    "Drawing",
    "Frames",
    "Plot",
    "Regions",
    "draw_dot",
    "draw_frames",
    "house_style",
    "plot_images",
    "plot_learning",
    "plot_lines",
    "plot_regions",
    "plot_weights",
    "regions",
    "trace",
]
