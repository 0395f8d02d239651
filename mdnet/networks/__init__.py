"""Small networks by name, for scripts and run files; any other torch.nn.Module serves as well."""

from mdnet.networks.building import NETWORKS, build
from mdnet.networks.convolutional import PreActivation, Residual, convnet, preact_resnet, resnet
from mdnet.networks.dense import linear, mlp
from mdnet.networks.parts import ACTIVATIONS, Activation, Shape
from mdnet.networks.scale_invariant import (
    UnitLinear,
    preact_resnet18,
    scale_invariant_convnet,
    scale_invariant_mlp,
    unit_linear,
)
from mdnet.networks.scaling import refuse_scale_dependent, scale_dependence

__all__ = [
    "ACTIVATIONS",
    "NETWORKS",
    "Activation",
    "PreActivation",
    "Residual",
    "Shape",
    "UnitLinear",
    "build",
    "convnet",
    "linear",
    "mlp",
    "preact_resnet",
    "preact_resnet18",
    "refuse_scale_dependent",
    "resnet",
    "scale_dependence",
    "scale_invariant_convnet",
    "scale_invariant_mlp",
    "unit_linear",
]
