"""Simmering of networks that learn from minibatches: images and translation."""
