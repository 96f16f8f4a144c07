"""`python -m zelo.training.nano`."""

from zelo.training.nano.recipe import main

main()
