"""Training on many machines: rounds of pure functions, run by a Dask cluster that the user has (extra `cluster`).

The samples lie in shards. In a round every worker adds up the gradients of the next samples of its shards, the client
adds up what the workers found, and takes one step of the optimizer. Sums are added in a tree whose shape the number of
shards decides alone, so the result depends on the samples, the shards, the seed and the kind of processor: never on how
many workers there are, which of them computes what, or how many die. What is lost is computed again, from the
parameters, the number of the round and the samples.

A worker keeps only what can be made again: its shards, and the program, which travels as its loops, without Values.
"""

from micrograd_like.cluster.fitting import fit
from micrograd_like.cluster.sweeps import Trial, sweep

__all__ = ["Trial", "fit", "sweep"]
