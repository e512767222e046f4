# Thin names for the commands of the README.
PYTHON ?= python3
VENV ?= .venv

.PHONY: demo test install train-next

install: $(VENV)/.installed

$(VENV)/.installed: pyproject.toml constraints.txt
	$(PYTHON) -m venv $(VENV)
	$(VENV)/bin/pip install -c constraints.txt -e '.[dev]'
	touch $@

demo: install
	$(VENV)/bin/tengen train pqn --preset cpu

train-next: install
	$(VENV)/bin/python -m studies.train_next

test: install
	$(VENV)/bin/python -m pytest
