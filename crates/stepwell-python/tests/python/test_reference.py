"""docs/python-api.md is what the docstrings say. `STEPWELL_WRITE_API=1 python -m pytest …` writes it anew."""

import os
from pathlib import Path

import reference

PAGE = Path(__file__).parents[4] / "docs/python-api.md"


def test_the_page_is_what_the_docstrings_say():
    page = reference.page()
    if os.environ.get("STEPWELL_WRITE_API"):
        PAGE.write_text(page)
    assert PAGE.read_text() == page, "docs/python-api.md is not what the docstrings say: STEPWELL_WRITE_API=1 writes it"
