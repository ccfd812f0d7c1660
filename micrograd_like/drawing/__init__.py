from micrograd_like.drawing.dot import draw_dot, trace
from micrograd_like.drawing.render import Drawing

__all__ = ["Drawing", "draw_dot", "trace"]
