"""`python evaluate.py RUN …` is `tengen evaluate RUN …`."""

import sys

from commands.dispatch import main

if __name__ == "__main__":
    raise SystemExit(main(["evaluate", *sys.argv[1:]]))
