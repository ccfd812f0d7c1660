from micrograd_like.drawing.dot import draw_dot, trace
from micrograd_like.drawing.plots import Plot, house_style, plot_learning, plot_weights
from micrograd_like.drawing.render import Drawing

__all__ = ["Drawing", "Plot", "draw_dot", "house_style", "plot_learning", "plot_weights", "trace"]
