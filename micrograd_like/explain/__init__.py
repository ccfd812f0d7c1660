"""How each weight and bias affects the loss, exactly: one step, one gradient, one parameter, one neuron at a time.

Every question takes a recorded loss and leaves the graph as it is: its `.data` and `.grad` are the same before and after.
Every answer is a report: it prints as a table, shows itself in a notebook and draws itself with `.to_svg()`.
"""

from micrograd_like.explain.direction import Probe, ProbeReport, Rate, Sweep, probe_direction, step_sweep
from micrograd_like.explain.neuron import Connection, NeuronReport, explain_neuron
from micrograd_like.explain.paths import Edge, Path, Paths, paths
from micrograd_like.explain.report import Report
from micrograd_like.explain.samples import SampleShare, SampleShares, sample_shares
from micrograd_like.explain.slices import Contour, Slice, loss_contour, loss_slice, small_multiples
from micrograd_like.explain.step import ParameterStep, StepReport, explain_move, explain_step, weight_pictures
from micrograd_like.explain.training import ExplainSteps, ParameterTotal
from micrograd_like.explain.what_if import NodeChange, WhatIf, what_if

__all__ = [
    "explain_step",
    "explain_move",
    "paths",
    "what_if",
    "loss_slice",
    "loss_contour",
    "sample_shares",
    "explain_neuron",
    "probe_direction",
    "step_sweep",
    "ExplainSteps",
    "small_multiples",
    "weight_pictures",
    "Connection",
    "Contour",
    "Edge",
    "NeuronReport",
    "NodeChange",
    "ParameterStep",
    "ParameterTotal",
    "Path",
    "Paths",
    "Probe",
    "ProbeReport",
    "Rate",
    "Report",
    "SampleShare",
    "SampleShares",
    "Slice",
    "StepReport",
    "Sweep",
    "WhatIf",
]
