"""The live page: a recorded loss, or a model with its data, as one HTML file in which every number can be grasped."""

from micrograd_like.player.page import Page
from micrograd_like.player.play import play

__all__ = ["Page", "play"]
