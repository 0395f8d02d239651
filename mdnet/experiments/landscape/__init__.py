"""The published system of entropy landscapes: the density of states of a network over train and test loss."""
