"""Entropies of the sampled distribution of the weights, in nats (k_B = 1)."""

from trajectories.entropy.bounds import Bounds, cross_entropy, difference_bounds
from trajectories.entropy.comparison import compare
from trajectories.entropy.covariance import gaussian, quasiharmonic
from trajectories.entropy.directions import sphere, von_mises_fisher
from trajectories.entropy.graph import graph_entropy, knn_dimension, knn_graph
from trajectories.entropy.histograms import histogram, mutual_information_expansion
from trajectories.entropy.nearest import kozachenko_leonenko
from trajectories.entropy.table import Comparison, Row

__all__ = [
    "Bounds",
    "Comparison",
    "Row",
    "compare",
    "cross_entropy",
    "difference_bounds",
    "gaussian",
    "graph_entropy",
    "histogram",
    "knn_dimension",
    "knn_graph",
    "kozachenko_leonenko",
    "mutual_information_expansion",
    "quasiharmonic",
    "sphere",
    "von_mises_fisher",
]
