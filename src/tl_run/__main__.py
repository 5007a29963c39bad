"""`python -m tl_run` is `tl-run`."""

from tl_run.cli import main

main()
