"""The lines that point other people's clients here, in the README and in the help."""

from pathlib import Path

from kucoin_research import cli
from kucoin_research.api.other_clients import POINTERS

README = Path(__file__).parents[3] / "README.md"


def test_the_readme_has_the_lines():
    section = README.read_text(encoding="utf-8").partition("### Other clients")[2]
    rows = section.partition("|---|---|\n")[2].partition("\n\n")[0].splitlines()

    found = dict(row.strip("| ").split(" | ") for row in rows)
    assert {name: line.strip("`") for name, line in found.items()} == POINTERS


def test_the_help_has_the_lines(capsys):
    assert cli.main(["simulate", "--help"]) == cli.DONE

    shown = capsys.readouterr().out
    for client, line in POINTERS.items():
        assert f"  {client}\n      {line}\n" in shown
