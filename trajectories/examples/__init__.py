"""Scripts as users write them for finished runs: python -m trajectories.examples.NAME; none needs torch."""
