"""python -m mdnet: the command line."""

from mdnet.cli import app

app(prog_name="mdnet")
