"""Runs commands one after the other, under torchrun: python two_processes.py COMMANDS.json

Each command is a list of words; the first process prints the exit codes.
"""

from __future__ import annotations

import json
import os
import sys
from pathlib import Path

from commands.dispatch import main

for words in json.loads(Path(sys.argv[1]).read_text("utf-8")):
    code = main(words)
    if os.environ["RANK"] == "0":
        sys.stdout.write(f"{code}\n")
        sys.stdout.flush()
