"""The C++ of a dense network's gradient: forward, loss and backward of one replica, block by block of points."""

from __future__ import annotations

from collections.abc import Sequence

from mdnet.routes.native.network import Chain, Layer, Place


def gradient_code(chain: Chain) -> str:
    """Return a C++ function of one replica that gives its mean loss and the gradient g of it.

    It walks over the blocks of points: forward, loss, backward, with z, h and dU/dz of each layer in `work`. `fixed`:
    the frozen parameters.
    """
    layers = chain.layers
    places, rows = _places(chain)
    units = [(k, layer) for k, layer in enumerate(layers) if layer.unit]
    before = [f"const real shrink{k} = unit<{_size(x)}>({_at(x.weight, 'q')}, u{k});" for k, x in units]
    after = [f"along<{_size(x)}>(u{k}, shrink{k}, {_at(x.weight, 'g')});" for k, x in units]
    ahead = [line for k, layer in enumerate(layers) for line in _forward(k, layer)]
    back = [line for k in reversed(range(len(layers))) for line in _backward(k, layers)]
    outputs, last = layers[-1].outputs, len(layers) - 1
    loss = f"{chain.loss}<{outputs}, POINTS>(h{last}, target + k * {outputs} * POINTS, weight + k * POINTS, e{last})"
    return _GRADIENT.format(
        dof=chain.dof, points=chain.block, blocks=chain.blocks, inputs=layers[0].inputs, outputs=outputs,
        batch=chain.points, places=places, rows=rows, before="\n    ".join(before), after="\n    ".join(after),
        body="\n        ".join([*ahead, f"loss += {loss};", *back]),
    )  # fmt: skip


def _places(chain: Chain) -> tuple[str, int]:
    """Pointers to the intermediate results of each layer, one after the other in rows of POINTS, and the rows."""
    lines, rows = [], 0
    for k, layer in enumerate(chain.layers):
        sizes = {f"{name}{k}": layer.outputs for name in "zhe"}
        if layer.unit:
            sizes[f"u{k}"] = -(-_size(layer) // chain.block)
        for name, size in sizes.items():
            lines.append(f"    real *{name} = work + {rows} * POINTS;\n")
            rows += size
    return "".join(lines), rows


def _size(layer: Layer) -> int:
    return layer.inputs * layer.outputs


def _at(place: Place | None, vector: str) -> str:
    """Where a tensor is in the positions q or their gradient g: of what is frozen, the value and no gradient."""
    if place is None or (place.frozen and vector == "g"):
        return "nullptr"
    return f"{'fixed' if place.frozen else vector} + {place.start}"


def _map(k: int, layer: Layer) -> str:
    """The linear map as it acts."""
    return f"u{k}" if layer.unit else _at(layer.weight, "q")


def _forward(k: int, layer: Layer) -> list[str]:
    x, at = f"h{k - 1}" if k else "x", f"{layer.inputs}, {layer.outputs}, POINTS"
    w, b, norm = _map(k, layer), _at(layer.bias, "q"), layer.norm
    if norm is None:
        return [f"forward<{layer.activation}, {at}>({w}, {b}, {x}, z{k}, h{k});"]
    kind, affine = f"{layer.activation}, {layer.outputs}, POINTS", f"{_at(norm.weight, 'q')}, {_at(norm.bias, 'q')}"
    return [
        f"real scale{k}[{layer.outputs}];",
        f"forward<Identity, {at}>({w}, {b}, {x}, z{k}, h{k});",
        f"normalise<{kind}>(weight, {norm.eps!r}, {affine}, z{k}, h{k}, scale{k});",
    ]


def _backward(k: int, layers: Sequence[Layer]) -> list[str]:
    layer, lines, norm = layers[k], list[str](), layers[k].norm
    at = f"{layer.inputs}, {layer.outputs}, POINTS"
    if norm is not None:
        affine = f"{_at(norm.weight, 'q')}, {_at(norm.weight, 'g')}, {_at(norm.bias, 'g')}"
        lines.append(f"through_norm<{layer.outputs}, POINTS>(weight, scale{k}, z{k}, {affine}, e{k});")
    x = f"h{k - 1}" if k else "x"
    if not layer.weight.frozen:
        lines.append(f"gradients<{at}>(e{k}, {x}, {_at(layer.weight, 'g')}, {_at(layer.bias, 'g')});")
    elif layer.bias is not None and not layer.bias.frozen:
        lines.append(f"sums_of_rows<{layer.outputs}, POINTS>(e{k}, {_at(layer.bias, 'g')});")
    if k:
        before = f"z{k - 1}, h{k - 1}, e{k - 1}"
        lines.append(f"backward<{layers[k - 1].activation}, {at}>({_map(k, layer)}, e{k}, {before});")
    return lines


_GRADIENT = """
constexpr long DOF = {dof}, POINTS = {points}, BLOCKS = {blocks}, WORK = {rows} * POINTS;
constexpr long INPUTS = {inputs}, OUTPUTS = {outputs}, BATCH = {batch};
constexpr long DATA = INPUTS * POINTS * BLOCKS, TARGET = OUTPUTS * POINTS * BLOCKS;

static __attribute__((noinline)) double  // inlined its sums would lack registers
loss_and_gradient(const real *q, real *g, const real *data, const real *target, const real *weight,
                  [[maybe_unused]] const real *fixed, real *work) {{
{places}    double loss = 0;
    std::memset(g, 0, sizeof(real) * DOF);
    {before}
    for (long k = 0; k < BLOCKS; k++) {{
        const real *x = data + k * INPUTS * POINTS;
        {body}
    }}
    {after}
    return loss;
}}
"""
