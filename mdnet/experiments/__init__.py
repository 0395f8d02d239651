"""The published systems, each one file that reads like its paper's method section."""
