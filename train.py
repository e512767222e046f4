"""`python train.py AGENT …` is `tengen train AGENT …`."""

import sys

from commands.dispatch import main

if __name__ == "__main__":
    raise SystemExit(main(["train", *sys.argv[1:]]))
