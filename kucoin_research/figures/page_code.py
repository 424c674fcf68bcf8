"""Widgets whose code a page of the browser loads once, however often their cells are run."""

from __future__ import annotations

from pathlib import Path

import anywidget
import traitlets

__all__ = ["CodedWidget"]


class CodedWidget(anywidget.AnyWidget):
    """A widget with its code in ``code``, as anywidget expects it in ``_esm``."""

    _esm = (Path(__file__).parent / "page_code.js").read_text(encoding="utf-8")

    code = traitlets.Unicode().tag(sync=True)
