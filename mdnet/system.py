"""The particle system: a network, its data and its loss seen as particles with masses in a potential."""

from __future__ import annotations

import copy
from collections.abc import Callable, Mapping, Sequence

import torch
from torch import Tensor, nn
from torch.func import functional_call, replace_all_batch_norm_modules_, vmap

from integrators import Force
from mdnet.checks import check_data, check_output, layer_of_failure
from mdnet.flatten import ParameterTable
from mdnet.force import BatchForce
from mdnet.minibatch import MinibatchForce
from mdnet.partial import PriorForce, Rest, SubsetForce
from mdnet.priors import Box, Prior, mirror
from mdnet.routes.choice import ASKED, Route, choose
from mdnet.routes.outputs import Outputs
from mdnet.routes.precision import Precision, bf16_output, check

Loss = Callable[[Tensor, Tensor], Tensor]
_TRIED = 64  # rows on which the network is tried before a run


class ParticleSystem:
    """The weights of a network as particles with positions q (replicas, dof) in the potential energy

        U(q) = scale mean_loss(network_q(inputs), targets) + prior(q),     k_B = 1

    `network`: any torch module whose forward needs no in-place buffers; it is copied and left alone. Frozen
    parameters are no particles, BatchNorm layers use the statistics of the batch, Dropout is off: the energy
    is a function of the positions. `loss`: a function of (output, target) that returns a mean. `inputs` (n, ...) and
    `targets` (n, ...): the data set. `index` (replicas, n): the rows each replica sees, when they differ.
    `replicas`: independent copies of the particles. `prior`: GaussianPrior, Box or None. `scale`: n makes
    T = 1 the Bayesian posterior; 1 makes U the mean loss. `masses`: one number, or numbers by parameter
    tensor or module name; 1 by default. `dtype`: float32 by default. `route`: how forces and
    steps are computed, see mdnet.routes; the program chooses unless told. `precision`: "bf16", or on a GPU "tf32",
    computes the network in fewer digits, for float32 positions; mdnet.routes.bias measures what that brings.

    Raises ValueError for data with NaN, shapes that do not fit the loss, a network without parameters,
    a forward that cannot be vectorised (naming the layer), and values out of range.

    Reference: Babayan, Aliahmadi, van Anders, Nature Communications (2025), arXiv:2410.19912.
    """

    def __init__(
        self,
        network: nn.Module,
        loss: Loss,
        inputs: Tensor,
        targets: Tensor,
        *,
        replicas: int = 1,
        prior: Prior | None = None,
        scale: float = 1.0,
        masses: float | Mapping[str, float] | None = None,
        dtype: torch.dtype | None = None,
        device: torch.device | str | None = None,
        index: Tensor | None = None,
        route: Route = "auto",
        precision: Precision = "float32",
    ) -> None:
        if replicas < 1:
            raise ValueError(f"replicas = {replicas} must be one or more")
        self.dtype, self.device = dtype or torch.float32, torch.device(device or inputs.device)
        self.replicas, self.loss, self.scale, self.prior = replicas, loss, _positive("scale", scale), prior
        self.network = _particle_network(network).to(device=self.device, dtype=self.dtype)
        self.table = ParameterTable(self.network)
        self.masses = self._masses(masses)
        self.walls = self._place(prior.walls(self.table)) if isinstance(prior, Box) else None
        spring = prior is not None and not isinstance(prior, Box)
        self.stiffness = self._place(prior.stiffness(self.table)) if spring else None  # type: ignore[union-attr]
        check_data(inputs, targets, index, replicas)
        self.shares_data = index is None
        self.inputs, self.targets = self._data(inputs, index), self._data(targets, index)
        check(precision, self.device, self.dtype)
        self.precision: Precision = precision
        self.route, self.why = choose(self, route)
        self._outputs = Outputs(self)
        self.force = BatchForce(self, per_replica=not self.shares_data)
        self._try()

    @property
    def dof(self) -> int:
        """The number of degrees of freedom of one replica, N_f: nothing is conserved, so nothing subtracted."""
        return self.table.dof

    @property
    def sizes(self) -> tuple[int, ...]:
        """The number of parameters of each tensor, as a per-layer thermostat wants them."""
        return self.table.sizes

    def energy(self, q: Tensor) -> Tensor:
        """Return U(q), (replicas,) float64, at q (replicas, dof)."""
        return self.force.energy(q)

    def minibatch(
        self, size: int | Sequence[int] | Tensor, *, replace: bool = True, shared: bool = False
    ) -> MinibatchForce:
        """Return the force on `size` rows drawn anew at every call, an unbiased estimate of the force on all.

        `size`: a number, or (replicas,) numbers that divide the largest. `replace`: with replacement; without, the rows
        of one batch differ. `shared`: one batch for all replicas. Raises ValueError for a size below one, or above the
        number of rows without replacement, and for several sizes that do not fit, see MinibatchForce.
        """
        return MinibatchForce(self, size, replace=replace, shared=shared)

    def split(self, rows: Tensor | None = None) -> tuple[Force, Force]:
        """Return the force in two parts, fast and slow, for MultipleTimeSteps.

        Fast is the prior; with `rows` (n',) of the data it is prior and mean loss over these. Slow is the rest.
        """
        fast: Force = PriorForce(self) if rows is None else SubsetForce(self, rows)
        return fast, Rest(self.force, fast)

    def positions(self, seed: int | None = None) -> Tensor:
        """Return starting positions (replicas, dof): the network's own weights in every replica.

        With a seed each replica is initialised anew by its layers' reset_parameters.
        """
        if seed is None:
            return self.table.flatten(self.network).repeat(self.replicas, 1)
        fresh = copy.deepcopy(self.network)
        rows = []
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(seed)
            for _ in range(self.replicas):
                for module in fresh.modules():
                    if callable(reset := getattr(module, "reset_parameters", None)):
                        reset()
                rows.append(self.table.flatten(fresh))
        return torch.stack(rows)

    def output(self, q: Tensor, inputs: Tensor, *, per_replica: bool = False) -> Tensor:
        """Return the networks' outputs (replicas, n, ...) at q (replicas, dof) for inputs (n, ...).

        With per_replica each replica has inputs of its own: (replicas, n, ...).
        """
        with torch.no_grad():
            return self._outputs(q, self._cast(inputs), per_replica=per_replica)

    def evaluate(
        self, metric: Loss, q: Tensor, inputs: Tensor, targets: Tensor, *, per_replica: bool = False
    ) -> Tensor:
        """Return metric(output, targets) of every replica (replicas,) on data of one's choice.

        With per_replica each replica has data of its own: inputs and targets (replicas, n, ...).
        """
        outputs = self.output(q, inputs, per_replica=per_replica)
        with torch.no_grad():
            values: Tensor = vmap(metric, in_dims=(0, 0 if per_replica else None))(outputs, self._cast(targets))
        return values

    def mean_loss(self, q: Tensor, inputs: Tensor, targets: Tensor) -> Tensor:
        """Return the loss () of one replica at q (dof,), differentiable: what the force differentiates."""
        if self.precision == "bf16":
            return self.loss(bf16_output(self, q, inputs), targets)
        return self.loss(functional_call(self.network, self.table.unflatten(q), (inputs,)), targets)

    def fold(self, q: Tensor) -> Tensor | None:
        """Reflect positions back into the box, in place; None without a box.

        Returns the sign (replicas, dof), -1 where a coordinate was mirrored: there momenta and forces turn round.
        """
        if self.walls is None:
            return None
        folded, sign = mirror(q, self.walls)
        q.copy_(folded)
        return sign

    def module(self, q: Tensor) -> nn.Module:
        """Return a copy of the network with the weights q (dof,), for use outside."""
        network = copy.deepcopy(self.network)
        network.load_state_dict({k: v.detach() for k, v in self.table.unflatten(q).items()}, strict=False)
        return network

    def _masses(self, masses: float | Mapping[str, float] | None) -> Tensor:
        if isinstance(masses, Mapping):
            vector = self.table.per_parameter(masses)
        else:
            vector = torch.full((self.dof,), 1.0 if masses is None else masses, dtype=torch.float64)
        if not (torch.isfinite(vector) & (vector > 0)).all():
            raise ValueError(f"masses = {masses} must be finite and positive")
        return self._place(vector)

    def _place(self, vector: Tensor) -> Tensor:
        return vector.to(device=self.device, dtype=self.dtype)

    def _cast(self, data: Tensor) -> Tensor:
        return data.to(self.device, self.dtype if data.is_floating_point() else data.dtype)

    def _data(self, data: Tensor, index: Tensor | None) -> Tensor:
        return self._cast(data if index is None else data[index])  # (n, ...) or (replicas, n, ...)

    def _try(self) -> None:
        """Run the forward on a few rows and the loss on all, so that what does not fit is told before the run."""
        inputs, targets = (x if self.shares_data else x[0] for x in (self.inputs, self.targets))
        few = inputs[:_TRIED]
        with layer_of_failure(self.network, "fails on these inputs"), torch.no_grad():
            output = self.network(few)
        again = torch.arange(len(inputs), device=self.device) % len(few)
        check_output(self.loss, output[again] if output.shape[:1] == few.shape[:1] else output, targets)
        if self.route not in ("module", "native"):
            self._try_vectorised()

    def _try_vectorised(self) -> None:
        """Take the bare module for one replica of a network that cannot be vectorised; refuse several."""
        few = (slice(_TRIED),) if self.shares_data else (slice(1), slice(_TRIED))
        try:
            with layer_of_failure(self.network, "cannot be vectorised over replicas"):
                self.force.vectorised(self.positions()[:1], self.inputs[few], self.targets[few])
        except ValueError as error:
            if self.replicas > 1 or self.why == ASKED:
                raise
            self.route, self.why = "module", str(error).splitlines()[0]
            self.force = BatchForce(self, per_replica=not self.shares_data)


def _particle_network(network: nn.Module) -> nn.Module:
    """A copy in which BatchNorm uses batch statistics and Dropout is off."""
    particles = copy.deepcopy(network)
    replace_all_batch_norm_modules_(particles)
    return particles.eval()


def _positive(name: str, value: float) -> float:
    if not 0 < value < float("inf"):
        raise ValueError(f"{name} = {value} must be finite and positive")
    return value
