"""The list of keys, which the pages of figures and of dashboards share."""

from __future__ import annotations

from pathlib import Path

__all__ = ["HELP_CSS", "HELP_JS"]

_HERE = Path(__file__).parent

#: Its code goes before a widget's own, behind that of the keys; and its style.
HELP_JS = (_HERE / "help.js").read_text(encoding="utf-8")
HELP_CSS = (_HERE / "help.css").read_text(encoding="utf-8")
