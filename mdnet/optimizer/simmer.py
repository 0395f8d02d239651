"""A torch optimizer: parameters move by finite-temperature dynamics in anybody's training loop, and are collected."""

from __future__ import annotations

import copy
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any, overload

import torch
from torch import Tensor
from torch.optim.optimizer import Optimizer, ParamsT

from integrators import Thermostat
from integrators.phase import place
from mdnet.optimizer.gradient_steps import GradientSteps
from mdnet.optimizer.members import Members
from mdnet.randomness import Stream
from thermostats import Langevin

_OWN = "simmer"  # the entry of a state dict beside torch's "state" and "param_groups"
_CALLED = {"lr": "learning rate", "temperature": "temperature", "weight_decay": "weight_decay value"}


class Simmer(Optimizer):
    """Moves parameters theta by BAOAB dynamics at the temperature T, one gradient a step, and collects the ensemble:

        exp(-U(theta)/T),   U = loss + weight_decay |theta|^2/2,   k_B = 1

    A step uses the one gradient that loss.backward() left, f = -dU/dtheta, to close the former step and for its own:
    p <- p + h f (the first time h/2), theta <- theta + h p/2, the bath acts on p for h, theta <- theta + h p/2. At
    T = 0 that is SGD with momentum c = e^{-friction h} and learning rate h^2 (1 + c)/2, after its first step.

    `params`: as for any optimizer; groups may have an `lr`, `temperature`, `weight_decay` and `maximize` of their own,
    which may change between steps, by torch.optim.lr_scheduler or by hand. `lr`: the time step h. `temperature`: in the
    unit of the loss, by default the thermostat's: T = 1/n is the posterior of n data for a mean negative
    log-likelihood. Where it leaves 0, as at the start, momenta are drawn from Maxwell's law, so that a warm-up is
    `optimizer.param_groups[0]["temperature"] = md.Staircase(0, T, stages=5, every=200)(step)`.
    `weight_decay`: the stiffness of a spring, T/s^2 for a normal prior of variance s^2; without it most networks have
    no equilibrium. `maximize`: the loss counts with the other sign. `thermostat`: any of `thermostats`, by default
    Langevin(1e-4, friction=1.0); each group has a bath of its own, over its parameters as one vector. Minibatches heat
    the parameters, which AdaptiveLangevin takes back; see kinetic_temperature(). Chains want a start near equilibrium.
    `collect_every`: collect() after each so many steps, beyond the first `burn_in`; `keep`: at most so many members,
    evenly spaced over the run: where there would be more, every second one goes, and so does every second to come.
    `seed`: of the optimizer's own random numbers, apart from the caller's; by default drawn from torch's generator.

    A parameter without a gradient stays where it is; a bath with variables begins anew when others move than before.
    torch.amp.GradScaler goes with it, and a step that it leaves out is none. The state dict has all that moves, the
    ensemble too: training that is saved and goes on equals training that was not stopped, bit for bit on the same
    machine. Several processes need the same seed.

    Raises ValueError for values out of range, for parameters that are not float32 or float64, of two types in a group
    or on two devices, and for sparse gradients.

    Reference: Leimkuhler, Matthews, Appl. Math. Res. Express 2013, 34 (BAOAB).
    """

    def __init__(
        self,
        params: ParamsT,
        lr: float | Tensor = 0.1,
        temperature: float | None = None,
        thermostat: Thermostat | None = None,
        *,
        weight_decay: float = 0.0,
        maximize: bool = False,
        collect_every: int | None = None,
        burn_in: int = 0,
        keep: int | None = None,
        seed: int | None = None,
    ) -> None:
        self._thermostat: Thermostat = Langevin(1e-4, friction=1.0) if thermostat is None else thermostat
        if not callable(self._thermostat) or not hasattr(self._thermostat, "bath"):
            raise ValueError(
                f"Invalid thermostat: {thermostat!r}; give an object, such as thermostats.Bussi(1e-4, tau=0.5)"
            )
        own = getattr(self._thermostat, "temperature", None)
        if own is not None and own.numel() != 1:
            raise ValueError(f"{self._thermostat} has a temperature for each of several replicas; give it one number")
        if temperature is None:
            temperature = 0.0 if own is None else float(own)
        if (collect_every is not None and collect_every < 1) or burn_in < 0:
            raise ValueError(f"Invalid collect_every or burn_in: {collect_every}, {burn_in}; from 1 and from 0 on")
        self.collect_every, self.burn_in, self.steps = collect_every, burn_in, 0
        self.ensemble = Members(keep)
        self._dynamics: list[GradientSteps] = []
        defaults = {"lr": lr, "temperature": temperature, "weight_decay": weight_decay, "maximize": maximize}
        super().__init__(params, defaults)
        self._home = self._device
        self._stream = Stream(int(torch.randint(2**62, ())) if seed is None else seed, self._home)

    @overload
    def step(self, closure: None = None) -> None: ...

    @overload
    def step(self, closure: Callable[[], float]) -> float: ...

    def step(self, closure: Callable[[], float] | None = None) -> float | None:
        """Move all parameters that have a gradient by one step; return the loss of the closure, where there is one."""
        loss = None
        if closure is not None:
            with torch.enable_grad():
                loss = closure()
        if self._device != self._home:
            raise ValueError(
                f"the parameters went from {self._home} to {self._device}: move a model first, then make its optimizer"
            )
        for group in self.param_groups:
            _check(group)
        with torch.no_grad(), self._stream.active():
            for group, dynamics in zip(self.param_groups, self._dynamics, strict=True):
                dynamics.advance(group, self.state)
        self.steps += 1
        past = self.steps - self.burn_in
        if self.collect_every is not None and past > 0 and past % self.collect_every == 0:
            self.collect()
        return loss

    def collect(self) -> None:
        """Keep a copy of the parameters as they are, on the CPU: one more member, where `keep` leaves a place for it.

        Buffers, such as the running averages of BatchNorm, are no parameters: recompute them for each member.
        """
        self.ensemble.offer(self._params)

    @contextmanager
    def member(self, index: int) -> Iterator[None]:
        """Inside the block the parameters have the values of a member; after it, by whatever way, their own again."""
        member = self.ensemble[index]
        own = [x.detach().clone() for x in self._params]
        self._put(member)
        try:
            yield
        finally:
            self._put(own)

    def members(self) -> Iterator[int]:
        """Go through the ensemble: for the body of a loop over it the parameters have the values of each member.

        outputs = [model(x) for _ in optimizer.members()]
        """
        for index in range(len(self.ensemble)):
            with self.member(index):
                yield index

    def kinetic_temperature(self) -> list[float]:
        """Return 2K/N_f = |p|^2/N_f of each group: T in the mean, and more where noise heats it.

        The momenta are those that the bath left, which have Maxwell's law for a harmonic loss at any h.
        """
        momenta = [[s["momentum"] for x in group["params"] if (s := self.state.get(x))] for group in self.param_groups]
        doubled = (sum(float(p.double().square().sum()) for p in own) for own in momenta)
        return [total / max(1, sum(p.numel() for p in own)) for total, own in zip(doubled, momenta, strict=True)]

    def add_param_group(self, param_group: dict[str, Any]) -> None:
        """Add a group; members collected before get its parameters as they are now. Raises as the constructor does."""
        super().add_param_group(param_group)
        try:
            _check(self.param_groups[-1])
            self._check_params(self.param_groups[-1])
        except ValueError:
            del self.param_groups[-1]
            raise
        self._dynamics.append(GradientSteps(place(copy.deepcopy(self._thermostat), self._device)))
        self.ensemble.extend(self.param_groups[-1]["params"])

    def state_dict(self) -> dict[str, Any]:
        """Return torch's state dict, with baths, random numbers, counts and ensemble as a third entry."""
        own = {
            "thermostat": type(self._thermostat).__name__,
            "baths": [each.state() for each in self._dynamics],
            "random": self._stream.states,
            "ensemble": self.ensemble.state(),
            "steps": self.steps,
        }
        return super().state_dict() | {_OWN: own}

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        """Put back what state_dict() returned, all but the parameters; raises ValueError where it does not fit."""
        own, name = state_dict.get(_OWN), type(self._thermostat).__name__
        if own is None:
            raise ValueError(f"loaded state dict is none of Simmer's: it has no {_OWN!r}; start without it")
        if own["thermostat"] != name:
            raise ValueError(f"loaded state dict is of {own['thermostat']}, not of {name}; take the same thermostat")
        super().load_state_dict(state_dict)
        for x in self._params:
            if state := self.state.get(x):
                state["momentum"] = state["momentum"].clone()  # what was given is not what moves
        for dynamics, saved in zip(self._dynamics, own["baths"], strict=True):
            dynamics.load(saved, self._device)
        states = [state.cpu() for state in own["random"]]
        self._stream.states = states + self._stream.states[len(states) :]
        self.ensemble.load(own["ensemble"])
        self.steps = own["steps"]

    def __getstate__(self) -> dict[str, Any]:
        """Return what copy and pickle take: all but the hooks, as torch's optimizers do."""
        return {name: value for name, value in vars(self).items() if "_hooks" not in name}

    def __setstate__(self, state: dict[str, Any]) -> None:
        """Take up a state; groups saved before an option was there get its default."""
        super().__setstate__(state)
        for group in self.param_groups:
            group.setdefault("maximize", False)

    @property
    def _params(self) -> Iterator[Tensor]:
        return (x for group in self.param_groups for x in group["params"])

    @property
    def _device(self) -> torch.device:
        return next((x.device for x in self._params), torch.device("cpu"))

    def _put(self, values: list[Tensor]) -> None:
        with torch.no_grad():
            for x, value in zip(self._params, values, strict=True):
                x.copy_(value)

    def _check_params(self, group: dict[str, Any]) -> None:
        """Raise ValueError for parameters that cannot be moved."""
        for x in group["params"]:
            if x.dtype not in (torch.float32, torch.float64):
                raise ValueError(
                    f"Simmer moves float32 and float64 parameters, not {x.dtype}; view complex ones by "
                    "torch.view_as_real, and let torch.autocast compute in half precision"
                )
            if x.dtype != group["params"][0].dtype:
                raise ValueError(f"a group has parameters of {group['params'][0].dtype} and {x.dtype}; make it two")
            if x.device != self._device:
                raise ValueError(f"parameters lie on {self._device} and on {x.device}; give each device an optimizer")


def _check(group: dict[str, Any]) -> None:
    """Raise ValueError for values out of range and for sparse gradients."""
    for name, called in _CALLED.items():
        if isinstance(group[name], Tensor) and group[name].numel() != 1:
            raise ValueError(f"Tensor {name} must be 1-element")
        if not 0 <= float(group[name]) < float("inf"):
            raise ValueError(f"Invalid {called}: {group[name]}; it must be finite and not negative")
    if any(x.grad is not None and x.grad.is_sparse for x in group["params"]):
        raise ValueError("Simmer does not support sparse gradients: all parameters move; take Embedding(sparse=False)")
