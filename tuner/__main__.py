"""`python -m tuner` is the `tune` command, whatever else on the machine is called `tune`."""

from tuner.cli import main

main(prog_name="tune")
