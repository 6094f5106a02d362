# These need Python 3.10+ and nothing else; each first makes .venv, once.
PYTHON ?= python3
BIN := .venv/bin
READY := .venv/.ready
DEMO_OUT := out/demo

.PHONY: help demo unit lint test mutants fuzz kill export card readme docs preview clean

help:  ## List the targets
	@sed -n 's/^\([a-z]*\):.*## /  make \1|/p' Makefile | awk -F'|' '{printf "%-16s%s\n", $$1, $$2}'

demo: $(READY)  ## Lose sample pictures in eight ways and restore them with the weights that ship
	@$(BIN)/irsde demo --out $(DEMO_OUT)

unit: $(READY)  ## Run the unit tests, in about two minutes
	@$(BIN)/python -m pytest -q -n 2 tests

lint: $(READY)  ## Check the form of the code and its types
	@$(BIN)/python .ci/check_lint.py
	@$(BIN)/python .ci/check_types.py

test: $(READY)  ## Run every check, stopping at the first that fails
	@$(BIN)/python .ci/check_all.py

mutants: $(READY)  ## Change the library one line at a time, and see that the unit tests find every change
	@$(BIN)/python .ci/mutants.py

fuzz: $(READY)  ## Try thousands of random pictures, masks, folders, checkpoints, tables and names
	@$(BIN)/python .ci/fuzz.py

kill: $(READY)  ## Kill `irsde restore` fifty times and go on, and see that every result is whole
	@$(BIN)/python .ci/kill_restore.py

export: $(READY)  ## Write irsde/ from the notebooks, clean the notebooks, write README.md and the model card
	$(BIN)/nbdev_export
	$(BIN)/nbdev_clean
	$(BIN)/python .ci/check_pages.py --clear
	$(BIN)/python tools/make_readme.py
	$(BIN)/python tools/make_card.py

card: $(READY)  ## Write the model card of the weights that ship
	$(BIN)/python tools/make_card.py

readme: $(READY)  ## Write README.md from nbs/index.ipynb
	$(BIN)/python tools/make_readme.py

docs: need-quarto readme
docs:  ## Build the site into _docs and look at every page of it (needs Quarto, and Chromium or Chrome)
	PATH="$(CURDIR)/$(BIN):$$PATH" PYTHONPATH="$(CURDIR)/.ci" nbdev_docs
	$(BIN)/python .ci/finish_site.py _docs
	$(BIN)/python .ci/check_browser.py _docs

preview: $(READY)  ## Write all chapters as plain HTML into _preview (needs no Quarto)
	@$(BIN)/python .ci/preview.py

.PHONY: need-quarto
need-quarto:  # else nbdev would try to install Quarto itself, as root
	@command -v quarto >/dev/null || { \
	    echo "This needs Quarto 1.7, which is not on your PATH: https://quarto.org/docs/download/"; \
	    echo "Without it, \`make preview\` writes the chapters as plain HTML."; exit 1; }

clean:  ## Remove what was built (not .venv)
	rm -rf _docs _preview _proc out build dist irsde.egg-info nbs/.last_checked

# The stamp is written last, so an interrupted set-up is begun again. Python 3.10 to 3.13 are tested, so they come first.
$(READY): settings.ini setup.py
	@$(BIN)/python -c "" 2>/dev/null && test -f $@ || { \
	    for py in "$(PYTHON)" python3.13 python3.12 python3.11 python3.10 none; do \
	        "$$py" -c "import sys; sys.exit(not (3, 10) <= sys.version_info < (3, 14))" 2>/dev/null && break; \
	    done; \
	    test "$$py" != none || py="$(PYTHON)"; \
	    "$$py" -c "import sys; sys.exit(sys.version_info < (3, 10))" 2>/dev/null || { \
	        echo "irsde needs Python 3.10 or newer; $(PYTHON) is $$("$(PYTHON)" --version 2>&1). Try: make PYTHON=/path/to/python3.12"; exit 1; }; \
	    echo "Making .venv with $$py (once; PyTorch is several GB, so this may take ten minutes) ..."; \
	    "$$py" -m venv --clear .venv && $(BIN)/python -m pip install -qq --upgrade pip; }
	@echo "Installing irsde and what it needs into .venv ..."
	@$(BIN)/python -m pip install --editable ".[dev]"
	@touch $@
