"""Train ten handwritten digits on two worker processes, end one of them on the way, and compare every bit.

On a real cluster only one line is another: `distributed.Client("tcp://scheduler:8786")`.
"""

from __future__ import annotations

import argparse
import os
import signal
import threading
import time

from distributed import Client, LocalCluster

import micrograd_like as mg
from micrograd_like import cluster
from micrograd_like.data import load_digits

BATCH, SHARDS = 128, 16


def main() -> None:
    options = arguments()
    train, held_out = load_digits()
    print(
        f"{len(train):,} images in {SHARDS} shards, {BATCH} a step; {len(held_out)} are held out. {options.workers} worker processes."
    )
    with (
        LocalCluster(n_workers=options.workers, threads_per_worker=1, dashboard_address=":0") as here,
        Client(here) as client,
    ):
        print("\nFirst undisturbed:\n")
        undisturbed, seconds = learn(client, train, held_out, options.epochs)
        print(f"\nThen again, and one of the workers is ended after {seconds / 3:.1f} seconds:\n")
        victim = next(iter(client.run(os.getpid).values()))
        killer = threading.Timer(seconds / 3, os.kill, [victim, getattr(signal, "SIGKILL", signal.SIGTERM)])
        killer.start()
        disturbed, _ = learn(client, train, held_out, options.epochs)
        killer.cancel()
    if undisturbed != disturbed:
        raise SystemExit("The two trainings differ, which must never be.")
    print(f"\n{len(disturbed):,} parameters, and not a bit of them differs.")


def learn(client: Client, train: list, held_out: list, epochs: int) -> tuple[list[float], float]:
    """Train, and show how it went: the parameters, and how many seconds it took."""
    model = mg.MLP(64, [32, 10], rng=0)
    optimizer = mg.SGD(model.parameters(), lr=0.2, momentum=0.9)
    begin = time.perf_counter()
    history = cluster.fit(
        client, model, train, mg.cross_entropy, optimizer, epochs, BATCH, shards=SHARDS, held_out=held_out
    )
    seconds = time.perf_counter() - begin
    for epoch in history.epochs:
        bar = "█" * round(40 * epoch.held_out_accuracy)
        print(f"epoch {epoch.epoch:2}  {bar:40}  {epoch.held_out_accuracy:6.1%} read rightly, loss {epoch.loss:.3f}")
    print(f"{len(history.losses)} steps in {seconds:.1f} seconds")
    return [p.data for p in model.parameters()], seconds


def arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="digits_cluster", description=__doc__)
    parser.add_argument("--workers", type=int, default=2, help="worker processes (default: 2)")
    parser.add_argument("--epochs", type=int, default=8, help="how often every image is seen (default: 8)")
    return parser.parse_args()


if __name__ == "__main__":
    main()
