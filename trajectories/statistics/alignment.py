"""Distance of two networks modulo the order, and the signs, of their hidden units."""

from collections.abc import Sequence
from itertools import pairwise
from typing import NamedTuple

import numpy as np
from numpy.typing import ArrayLike, NDArray

from trajectories.storage.layout import Tensor

Floats = NDArray[np.float64]


class Alignment(NamedTuple):
    """How a network lies to a reference once its hidden units are put in the reference's order."""

    rmsd: float  # root mean square deviation per coordinate, aligned
    plain: float  # the same without alignment
    permutations: list[NDArray[np.intp]]  # one a hidden layer: the network's unit in each place of the reference
    signs: list[Floats]  # one a hidden layer, +1 or -1 for each place; all +1 unless odd
    weights: Floats  # (dof,) the network, aligned


class _Layer(NamedTuple):
    """Weights (out, in + 1) of one layer, the bias as the last column; without one, (out, in)."""

    weight: Tensor
    bias: Tensor | None

    def take(self, flat: Floats) -> Floats:
        matrix = flat[self.weight.offset : self.weight.offset + self.weight.size].reshape(self.weight.shape)
        if self.bias is None:
            return matrix.copy()
        return np.column_stack([matrix, flat[self.bias.offset : self.bias.offset + self.bias.size]])

    def put(self, matrix: Floats, flat: Floats) -> None:
        inputs = self.weight.shape[1]
        flat[self.weight.offset : self.weight.offset + self.weight.size] = matrix[:, :inputs].ravel()
        if self.bias is not None:
            flat[self.bias.offset : self.bias.offset + self.bias.size] = matrix[:, inputs]


def aligned_rmsd(
    weights: ArrayLike,
    reference: ArrayLike,
    table: Sequence[Tensor],
    chain: Sequence[str] | None = None,
    *,
    odd: bool = False,
) -> Alignment:
    """Least RMSD of a multilayer perceptron to a reference over the orders of its hidden units.

    min over P of |P w - w_ref| / sqrt(dof), where P permutes the rows of a layer (with its bias) and the columns of
    the next one: networks that are one function. Layer by layer, the best order given the others is found by linear
    assignment until none changes, once from the network as it is and once from the order that matches incoming
    weights alone; the closer end is kept. So a permuted copy comes to 0, and nothing gets worse, but for different
    networks it is a local minimum.

    Args:
        weights, reference: (dof,).
        table: the tensors, as `Trajectory.table`: weights "<layer>.weight" (out, in), and biases
            "<layer>.bias" (out,) where there are any.
        chain: names of the weight tensors from input to output; all with two axes, in order, unless given.
        odd: also flip signs of hidden units, where the activation is odd (tanh).

    Raises:
        ValueError: layers do not follow each other, a tensor belongs to none, or the weights do not fit the table.

    Reference: Ainsworth, Hayase & Srinivasa, Git Re-Basin, ICLR (2023); weight matching.
    """
    layers = _layers(table, chain)
    start, target = (_flat(one, table) for one in (weights, reference))
    goal = [layer.take(target) for layer in layers]
    ends = []
    for greedy in (False, True):
        state = _State([layer.take(start) for layer in layers], goal, odd)
        if greedy:
            state.sweep(ahead=False)
        while state.sweep(ahead=True):
            pass
        ends.append(state)
    best = min(ends, key=_State.distance)
    aligned = start.copy()
    for layer, matrix in zip(layers, best.own, strict=True):
        layer.put(matrix, aligned)
    plain, rmsd = (float(np.sqrt(np.mean(np.square(one - target)))) for one in (start, aligned))
    return Alignment(rmsd, plain, best.orders, best.signs, aligned)


class _State:
    """A network on its way to the reference: its layers, and the order and signs taken so far."""

    def __init__(self, own: list[Floats], goal: list[Floats], odd: bool) -> None:
        self.own, self.goal, self.odd = own, goal, odd
        self.orders = [np.arange(len(matrix)) for matrix in own[:-1]]
        self.signs = [np.ones(len(matrix)) for matrix in own[:-1]]

    def distance(self) -> float:
        """Sum of squared deviations."""
        return sum(float(np.square(a - b).sum()) for a, b in zip(self.own, self.goal, strict=True))

    def sweep(self, ahead: bool) -> bool:
        """Put every hidden layer in its best order, by weights in and (``ahead``) out; whether that changed any."""
        changed = [self._match(layer, ahead) for layer in range(len(self.orders))]
        return any(changed)

    def _match(self, layer: int, ahead: bool) -> bool:
        from scipy.optimize import linear_sum_assignment

        size = len(self.own[layer])
        gain = self.goal[layer] @ self.own[layer].T  # (place, unit)
        if ahead:
            gain += self.goal[layer + 1][:, :size].T @ self.own[layer + 1][:, :size]
        worth = np.abs(gain) if self.odd else gain
        _, order = linear_sum_assignment(worth, maximize=True)
        sign = np.where(gain[np.arange(size), order] < 0, -1.0, 1.0) if self.odd else np.ones(size)
        better = worth[np.arange(size), order].sum() - np.trace(gain)
        if ahead and better <= 1e-12 * np.abs(worth).sum():
            return False
        self.own[layer] = self.own[layer][order] * sign[:, None]
        self.own[layer + 1][:, :size] = self.own[layer + 1][:, order] * sign
        self.orders[layer] = self.orders[layer][order]
        self.signs[layer] = self.signs[layer][order] * sign
        return True


def _layers(table: Sequence[Tensor], chain: Sequence[str] | None) -> list[_Layer]:
    """The layers from input to output; ValueError where they are no chain or leave a tensor over."""
    tensors = [Tensor(*one) for one in table]
    named = {one.name: one for one in tensors}
    names = [one.name for one in tensors if len(one.shape) == 2] if chain is None else list(chain)
    unknown = [name for name in names if name not in named or len(named[name].shape) != 2]
    if unknown or not names:
        matrices = [one.name for one in tensors if len(one.shape) == 2]
        raise ValueError(f"the chain {names} has to name weights (out, in); the table has {matrices}")
    layers = [_Layer(named[name], _bias(named[name], tensors)) for name in names]
    for before, after in pairwise(layers):
        if after.weight.shape[1] != before.weight.shape[0]:
            raise ValueError(
                f"{after.weight.name} {after.weight.shape} does not take what {before.weight.name} "
                f"{before.weight.shape} gives: name the layers from input to output in chain"
            )
    used = {one.name for layer in layers for one in layer if one is not None}
    over = [one.name for one in tensors if one.name not in used]
    if over:
        raise ValueError(f"{', '.join(over)} belongs to no layer: only plain multilayer perceptrons can be aligned")
    return layers


def _bias(weight: Tensor, tensors: Sequence[Tensor]) -> Tensor | None:
    """The bias (out,) of a layer: that of the same module, by name."""
    name = f"{weight.name.rpartition('.')[0]}.bias".lstrip(".")
    found = [one for one in tensors if one.name == name and one.shape == weight.shape[:1]]
    return found[0] if found else None


def _flat(values: ArrayLike, table: Sequence[Tensor]) -> Floats:
    flat = np.asarray(values, dtype=np.float64)
    dof = sum(Tensor(*one).size for one in table)
    if flat.shape != (dof,):
        raise ValueError(f"weights are {flat.shape}; the table covers ({dof},): give one network, as positions[-1, 0]")
    return flat
