"""`fit`: what the user asks for is checked, and trained in rounds."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path
from typing import Any

from micrograd_like._extras import require
from micrograd_like.checks import a_function, instance, listed, shown, whole_number
from micrograd_like.cluster.checkpoint import Checkpoint
from micrograd_like.cluster.connection import connected, quiet
from micrograd_like.cluster.rounds import Plan, Training
from micrograd_like.cluster.shards import pieces_of
from micrograd_like.compiler.fitting import Compiled
from micrograd_like.history import History
from micrograd_like.nn import Module
from micrograd_like.optim import Optimizer
from micrograd_like.samples import look_at, samples_of
from micrograd_like.training import Step, rule_of_correct


def fit(
    client: Any,
    model: Module,
    data: Any,
    loss: Callable[[Any, Any], Any],
    optimizer: Optimizer,
    epochs: int,
    batch_size: int | None = None,
    *,
    shards: int | None = None,
    local_steps: int | None = None,
    seed: int = 0,
    held_out: Iterable[Any] | None = None,
    correct: Callable[[Any, Any], bool] | bool | None = None,
    callbacks: Sequence[Callable[[Step], Any]] = (),
    n_jobs: int | None = None,
    width: int | str | None = None,
    checkpoint: str | os.PathLike[str] | None = None,
    checkpoint_every: int = 1,
    resume: bool = False,
    timeout: float = 60.0,
    progress: bool | None = None,
) -> History:
    """Train a model on a Dask cluster by mini-batches, each computed by all workers together: one step for each batch.

    The same shards give the same parameters to the last bit, for any number of workers and threads, also when workers
    die on the way, and when a training is resumed. Parameters and optimizer move at the end of every epoch, and when
    the training ends in an error or by Ctrl-C: then they are those after the last whole round.

    >>> import micrograd_like as mg
    >>> from distributed import Client
    >>> xor = [([0, 0], -1), ([0, 1], 1), ([1, 0], 1), ([1, 1], -1)]
    >>> model = mg.MLP(2, [8, 1], activation="tanh", rng=0)
    >>> with Client(processes=False, dashboard_address=":0") as client:  # or Client("tcp://scheduler:8786")
    ...     history = fit(client, model, xor, mg.hinge_loss, mg.Adam(model.parameters(), lr=0.1), epochs=30)
    >>> history.losses[-1] < history.losses[0] / 10
    True

    Args:
        client: a `distributed.Client`. None starts a `LocalCluster`, a process for each core of this computer, for the
            time of the training; a script then needs `if __name__ == "__main__":`.
        model: called with a sample's inputs; compiled on the workers.
        data: two arrays, or (inputs, target) pairs, as for `micrograd_like.fit`, cut into `shards` shards, of which the
            k-th has every `shards`-th sample from the k-th on; or two `dask.array`s, whose chunks along the first axis
            are the shards; or a list of pairs of arrays, each a shard; or a list of functions, each of which returns
            the two arrays of a shard, or one function that is called with the number of a shard. Functions run on the
            workers, and once more where a shard is lost. A shard may be empty. Shards have the same shapes but for the
            number of samples.
        loss: called with the model's output and the target; returns a Value.
        optimizer: what moves the parameters, by its rule.
        epochs: how often every sample is used.
        batch_size: samples per step, of all shards together, from each in proportion to its size; None for all. Where
            shards differ in size, a batch may have a few more or less. The last batch of an epoch may be smaller.
        shards: into how many shards the samples are cut; as many workers can take part. The default is 16 for samples
            in one piece, the chunks of dask arrays; and the length of a list, which no other number may contradict.
        local_steps: another algorithm, which needs that many times fewer rounds: each shard takes so many steps on its
            own, with its part of each batch, and then parameters and what the optimizer remembers are averaged,
            weighted by samples (H. B. McMahan et al., AISTATS 2017; S. U. Stich, ICLR 2019). It reaches other
            parameters than the default, None, and worse ones where the shards' samples differ in kind.
        seed: for the order of the samples in their shard, drawn anew for every epoch.
        held_out: samples to measure after every epoch, on this computer, never trained on.
        correct: whether an output means its target, as for `micrograd_like.fit`. The workers call it with targets that
            are floats, or lists of them.
        callbacks: as for `micrograd_like.fit`, called on this computer; a step's `batch` is empty, for its samples lie
            on the workers. With callbacks parameters move in every round, and in Python, which takes longer. Not with
            `local_steps`, whose gradients stay on the workers.
        n_jobs: threads for each worker's task; None for as many as the worker has.
        width: how many doubles the workers' vectors hold, 2, 4 or 8: it decides the last bits. None asks that all
            workers have the same; "narrowest" takes that of the narrowest worker there is at the start.
        checkpoint: a file, in the safetensors format, that is written after every `checkpoint_every` rounds: the
            parameters, what the optimizer remembers, the losses, and what the bits depend on.
        resume: go on from the checkpoint, where there is one.
        timeout: seconds to wait where there is no worker, or no scheduler.
        progress: as for `micrograd_like.fit`.

    Returns:
        The losses of all steps, each before its step, and an `Epoch` for every epoch; of a resumed training also those
        before.

    Raises:
        TypeError, ValueError: an argument of the wrong kind or out of its range, shards that do not fit each other, a
            checkpoint of another training; workers of another Python or version of this library, or of several kinds
            of processors. Nothing has been trained.
        FileExistsError: there is a checkpoint, but not `resume`.
        TraceError: the model, the loss or the optimizer's rule does what cannot be compiled.
        AnomalyError: the loss or a parameter stopped being finite; the error names the step and the shard.
        TimeoutError: there was no worker, or no scheduler, for `timeout` seconds.
        RuntimeError: a shard ended four workers, one after the other: is there memory for it? Or a callback changed what
            the loop goes by.
        ImportError: dask.distributed, llvmlite, NumPy or safetensors is not installed.
    """
    require("distributed", extra="cluster")
    instance("model", model, Module, "a Module")
    if not isinstance(optimizer, Optimizer):
        raise TypeError(f"expected an optimizer, such as SGD, got {type(optimizer).__name__}: {shown(optimizer)}")
    if type(optimizer).step is not Optimizer.step:
        raise TypeError(
            f"expected an optimizer that moves by its rule; {type(optimizer).__name__} has a step() of its own"
        )
    plan = Plan(
        epochs=whole_number("epochs", epochs),
        batch_size=None if batch_size is None else whole_number("batch_size", batch_size),
        local_steps=None if local_steps is None else whole_number("local_steps", local_steps),
        seed=whole_number("seed", seed, at_least=0),
        n_jobs=None if n_jobs is None else whole_number("n_jobs", n_jobs),
        width=_width(width),
        timeout=_seconds(timeout),
        every=whole_number("checkpoint_every", checkpoint_every),
    )
    a_function("loss", loss)
    rest = [] if held_out is None else samples_of("held_out", held_out)
    look_at("held_out", rest, model, loss)
    rule = rule_of_correct(correct, loss)
    evaluator = Compiled(model, loss, rule, rest, optimizer, len(rest)) if rest else None
    path = None if checkpoint is None else Path(os.fsdecode(checkpoint))
    if resume and path is None:
        raise ValueError("expected a checkpoint to resume from, got resume=True without one")
    kept = None
    if path is not None and path.exists():
        if not resume:
            raise FileExistsError(f"{path} is there already: go on from it with resume=True, or delete it")
        kept = Checkpoint.read(path)
    watching = [a_function("a callback", each) for each in listed("callbacks", callbacks, "a list of functions")]
    if watching and plan.local_steps is not None:
        raise ValueError("expected callbacks without local_steps, whose gradients stay on the workers")
    pieces = pieces_of(data, shards)
    with quiet(), connected(client, plan.timeout) as own:
        training = Training(own, model, loss, optimizer, pieces, plan, rule)
        try:
            training.start(kept)
            return training.run(path, evaluator, watching, progress)
        except BaseException:
            training.cancel()
            raise
        finally:
            training.commit()


def _width(width: Any) -> int | str | None:
    if width is None or (isinstance(width, str) and width == "narrowest"):
        return width
    if isinstance(width, bool) or width not in (2, 4, 8):
        raise ValueError(f'expected width as 2, 4, 8, "narrowest" or None, got {shown(width)}')
    return int(width)


def _seconds(timeout: Any) -> float:
    try:
        seconds = float(timeout)
    except (TypeError, ValueError):
        raise TypeError(f"expected timeout as seconds, got {type(timeout).__name__}: {shown(timeout)}") from None
    if not seconds > 0:
        raise ValueError(f"expected timeout as seconds above 0, got {shown(timeout)}")
    return seconds
