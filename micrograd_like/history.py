"""What a training leaves behind: the loss of every step and an `Epoch` for every epoch, to be printed and plotted."""

from __future__ import annotations

from dataclasses import dataclass, field

from micrograd_like.drawing.figure import Plot
from micrograd_like.drawing.learning import plot_learning


@dataclass(frozen=True)
class Epoch:
    """Hold what was measured over one epoch. Training figures are means over its steps, as the parameters moved.

    >>> print(Epoch(epoch=1, steps=20, loss=0.5, accuracy=0.9, held_out_loss=None, held_out_accuracy=None))
    epoch 1: loss 0.5000, accuracy 90.0%

    Attributes:
        epoch: its number, 1 for the first
        steps: steps taken since the start of the training
        loss: the mean over its samples, each as it was before the step that used it
        accuracy: the share of its samples whose output was correct; None where outputs mean no classes
        held_out_loss: the mean over the held-out samples, after the epoch; None where there are none
        held_out_accuracy: the share of the held-out samples whose output is correct, after the epoch; None as above
    """

    epoch: int
    steps: int
    loss: float
    accuracy: float | None
    held_out_loss: float | None
    held_out_accuracy: float | None

    def __str__(self) -> str:
        parts = [f"epoch {self.epoch}: loss {self.loss:.4f}"]
        if self.accuracy is not None:
            parts.append(f"accuracy {self.accuracy:.1%}")
        if self.held_out_loss is not None:
            parts.append(f"held-out loss {self.held_out_loss:.4f}")
        if self.held_out_accuracy is not None:
            parts.append(f"held-out accuracy {self.held_out_accuracy:.1%}")
        return ", ".join(parts)


@dataclass(repr=False)
class History:
    """Hold the loss of every step's mini-batch, before the step, and an `Epoch` for every epoch.

    >>> import micrograd_like as mg
    >>> model = mg.Neuron(1, nonlin=False, rng=0)
    >>> optimizer = mg.SGD(model.parameters(), lr=0.1)
    >>> history = mg.fit(model, [([1.0], 2.0)], mg.mse_loss, optimizer, epochs=3, correct=None)
    >>> len(history.losses), len(history.epochs)
    (3, 3)

    Attributes:
        losses: of each step's mini-batch, before the step
        epochs: an `Epoch` for each
    """

    losses: list[float] = field(default_factory=list)
    epochs: list[Epoch] = field(default_factory=list)

    def plot(self) -> Plot:
        """Plot the loss and, where it was measured, the accuracy over the steps: `plot_learning` of this history.

        >>> History([2.0, 1.0, 0.5]).plot().title
        'The loss falls from 2 to 0.5'
        """
        return plot_learning(self)

    def __repr__(self) -> str:
        steps = f"History of {len(self.losses):,} step{'s' * (len(self.losses) != 1)}"
        return f"{steps}, {self.epochs[-1]}" if self.epochs else steps
