"""Models and programs for others: PyTorch's modules, ONNX files, C."""

from micrograd_like.interchange.c99 import to_c
from micrograd_like.interchange.onnx_file import to_onnx
from micrograd_like.interchange.pytorch import from_torch, to_torch

__all__ = ["from_torch", "to_c", "to_onnx", "to_torch"]
