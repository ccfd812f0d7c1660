"""A scalar autograd engine made of glass: see exactly how each weight and bias affects the loss."""

from micrograd_like.anomaly import AnomalyError, detect_anomaly
from micrograd_like.compiler import Program, TraceError, compile
from micrograd_like.drawing import draw_dot, trace
from micrograd_like.engine import Value, gradient
from micrograd_like.functional import (
    binary_cross_entropy_with_logits,
    cos,
    cross_entropy,
    dot,
    exp,
    gather,
    hinge_loss,
    log,
    log_softmax,
    logsumexp,
    max,
    mean,
    min,
    mse_loss,
    relu,
    sigmoid,
    sin,
    softmax,
    softplus,
    sqrt,
    sum,
    tanh,
    where,
)
from micrograd_like.nn import MLP, Layer, Module, Neuron
from micrograd_like.optim import SGD
from micrograd_like.pictures import show
from micrograd_like.training import Epoch, History, Step, evaluate, fit
from micrograd_like.weights import load_weights, save_weights

__all__ = [
    "AnomalyError",
    "Epoch",
    "History",
    "Layer",
    "MLP",
    "Module",
    "Neuron",
    "Program",
    "SGD",
    "Step",
    "TraceError",
    "Value",
    "__version__",
    "binary_cross_entropy_with_logits",
    "compile",
    "cos",
    "cross_entropy",
    "detect_anomaly",
    "dot",
    "draw_dot",
    "evaluate",
    "exp",
    "fit",
    "gather",
    "gradient",
    "hinge_loss",
    "load_weights",
    "log",
    "log_softmax",
    "logsumexp",
    "max",
    "mean",
    "min",
    "mse_loss",
    "relu",
    "save_weights",
    "show",
    "sigmoid",
    "sin",
    "softmax",
    "softplus",
    "sqrt",
    "sum",
    "tanh",
    "trace",
    "where",
]

__version__ = "0.1.0"
