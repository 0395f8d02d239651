"""The commands of `mdnet` that are too long for one file, one a file."""
