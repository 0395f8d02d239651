"""Training by minibatches: Adam, networks that are stopped early, and dropout, each within a number of epochs."""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor, nn

from mdnet.experiments.large.problems import LargeTask
from mdnet.experiments.large.tally import Tally
from mdnet.progress import Bar
from mdnet.randomness import Stream
from mdnet.system import ParticleSystem

PASSES = 20  # of a network with dropout, each with other units left out


def descend(
    task: LargeTask,
    system: ParticleSystem,
    epochs: float,
    *,
    watch: Callable[[int, Tensor], None] = lambda step, q: None,
    progress: bool = True,
) -> Tensor:
    """Return the weights (replicas, dof) after epochs of Adam on minibatches, from random weights by the task's seed.

    The rate is constant for the share of Adam in a retrofit, and falls to zero on a line over the rest. `watch` is
    called with the step and the weights at the start, after each epoch, and where the rate begins to fall.
    """
    q, steps, each = system.positions(seed=task.seed).to(system.device), task.steps(epochs), task.steps(1)
    force, stream, turn = system.minibatch(task.problem.batch), Stream(task.seed, system.device), plateau(task, steps)
    adam = torch.optim.Adam([q], lr=task.problem.rate)
    falling = torch.optim.lr_scheduler.LambdaLR(adam, lambda step: min(1.0, (steps - step) / (steps - turn)))
    with stream.active(), Bar(steps, show=progress, title="Adam") as bar:
        for step in range(steps):
            if step % each == 0 or step == turn:
                bar.update(step, {})
                watch(step, q)
            q.grad = -force(q)[1]
            adam.step()
            falling.step()
        bar.update(steps, {})
    watch(steps, q)
    return q


def plateau(task: LargeTask, steps: int) -> int:
    """Return the step after which the rate falls: the steps that Adam has in a retrofit."""
    return min(steps - 1, round(task.problem.shares[0] * steps))


def stopped_early(task: LargeTask, *, progress: bool = True) -> Tally:
    """Return the ensemble of networks that share the epochs, each where its loss on held-out rows was least."""
    part, networks = task.held_out(), task.problem.networks
    system = part.particles(networks)
    best = system.positions(seed=task.seed)
    lowest = torch.full((len(best),), torch.inf, dtype=torch.float64, device=system.device)

    def keep_best(step: int, q: Tensor) -> None:
        now = system.evaluate(system.loss, q, *part.test).double()
        better = now < lowest
        lowest[better], best[better] = now[better], q[better]

    best = best.to(system.device)
    epochs = task.problem.epochs / networks * len(task.train[0]) / len(part.train[0])  # as many gradients in all
    descend(part, system, epochs, watch=keep_best, progress=progress)
    tally = Tally(task.truth)
    for members in best.reshape(networks, task.seeds, -1):
        tally.add(task.at_points(system.output(members, task.test[0])))
    return tally


def dropout(task: LargeTask, probability: float, epochs: float) -> tuple[Tally, Tally]:
    """Return the predictions of networks trained with dropout: by the mean network, and by passes with dropout.

    An ordinary loop over minibatches by Adam, the rate as in `descend`, one seed after the other.
    """
    alone, many = [], []
    for seed in range(task.seed, task.seed + task.seeds):
        with Stream(seed, task.device).active():
            network = _trained(task, probability, task.steps(epochs))
            with torch.no_grad():
                alone.append(_logits(task, network.eval()))
                network.train()
                many.append(torch.cat([_logits(task, network) for _ in range(PASSES)]))
    single, passes = Tally(task.truth), Tally(task.truth)
    single.add(torch.cat(alone))
    for logits in torch.stack(many, 1):  # (passes, seeds, points, classes)
        passes.add(logits)
    return single, passes


def _trained(task: LargeTask, probability: float, steps: int) -> nn.Module:
    network = task.network(probability).to(task.device).train()
    for module in network.modules():
        if callable(reset := getattr(module, "reset_parameters", None)):
            reset()
    adam, (inputs, targets) = torch.optim.Adam(network.parameters(), lr=task.problem.rate), task.train
    turn = plateau(task, steps)
    falling = torch.optim.lr_scheduler.LambdaLR(adam, lambda step: min(1.0, (steps - step) / (steps - turn)))
    for _ in range(steps):
        rows = torch.randint(len(inputs), (task.problem.batch,), device=task.device)
        adam.zero_grad()
        task.problem.loss(network(inputs[rows]), targets[rows]).backward()  # type: ignore[no-untyped-call]
        adam.step()
        falling.step()
    return network


def _logits(task: LargeTask, network: nn.Module) -> Tensor:
    """The logits (1, points, classes) at the test points, some rows at a time."""
    return task.at_points(torch.cat([network(rows) for rows in torch.split(task.test[0], 500)])[None])
