"""`python -m stepwell` is the command `stepwell`."""

from ._command import main

main()
