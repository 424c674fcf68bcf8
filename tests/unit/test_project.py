"""The project's own files agree with one another."""

import json
import re
import tomllib
from pathlib import Path

import pytest

from scripts import prose

ROOT = Path(__file__).parents[2]


def requirement(line):
    """Split 'name>=1,<2' into its name and its bounds without spaces."""
    name, bounds = re.fullmatch(r"([A-Za-z0-9_.-]+)\s*(.*)", line.strip()).groups()
    return name.lower(), bounds.replace(" ", "")


def declared(*extras):
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    lines = list(project["dependencies"])
    for extra in extras:
        lines += project["optional-dependencies"][extra]
    return dict(map(requirement, lines))


_ELSEWHERE = {"python-kaleido": "kaleido"}  # names of conda-forge and of PyPI


def conda():
    lines = (ROOT / "environment.yml").read_text().splitlines()
    found = dict(
        requirement(line[4:]) for line in lines if line.startswith("  - ") and "::" not in line
    )
    by_pip = [line for line in lines if line.startswith("      - ") and "--" not in line]
    found |= dict(requirement(line[8:].partition(" #")[0]) for line in by_pip)
    return {
        _ELSEWHERE.get(name, name): bounds
        for name, bounds in found.items()
        if name not in ("python", "pip", "conda-forge")
    }


def test_the_packages_own_env_example_is_the_one_that_lies_beside_it():
    inside = ROOT / "kucoin_research" / "env.example"

    assert inside.read_bytes() == (ROOT / ".env.example").read_bytes()


def test_environment_yml_agrees_with_pyproject():
    assert {k: v for k, v in conda().items() if k != "pip:"} == declared("lab", "test")


def test_every_dependency_has_a_lower_and_an_upper_bound():
    for name, bounds in declared("lab", "test", "interop", "peers").items():
        assert ">=" in bounds, name
        assert "<" in bounds.replace(">=", ""), name


def pinned(name):
    lines = (ROOT / name).read_text().splitlines()
    return {line.split("==")[0].strip() for line in lines if "==" in line}


def test_constraints_hold_every_dependency():
    assert set(declared("lab", "test", "dev")) <= pinned("constraints.txt")


@pytest.mark.parametrize("extra", ["interop", "peers"])
def test_software_of_others_is_pinned_apart_from_our_own_dependencies(extra):
    theirs = set(declared(extra)) - set(declared("lab", "test"))

    assert theirs <= pinned(f"constraints-{extra}.txt")
    assert not theirs & pinned("constraints.txt")


def test_env_example_names_every_variable_the_package_reads():
    source = "".join(path.read_text() for path in (ROOT / "kucoin_research").rglob("*.py"))
    read = set(re.findall(r'"(KUCOIN_[A-Z_]+)"', source))
    example = re.findall(r"^(KUCOIN_[A-Z_]+)=", (ROOT / ".env.example").read_text(), re.M)

    # How often a machine draws is a matter of the machine, not of the exchange or the key.
    assert sorted(read - {"KUCOIN_RESEARCH_REDRAWS"}) == sorted(example)


def test_secrets_and_sessions_are_ignored_by_git():
    ignored = (ROOT / ".gitignore").read_text().splitlines()

    assert {".env", "data/sessions/"} <= set(ignored)


def test_files_that_the_readme_links_are_there():
    links = re.findall(r"\]\(([^)#:]+)\)", (ROOT / "README.md").read_text())

    assert "SECURITY.md" in links
    assert [link for link in links if not (ROOT / link).exists()] == []


# What GitHub and nbviewer draw nothing of, as it needs a kernel or a script.
_LIVE = {"application/vnd.plotly.v1+json", "application/vnd.jupyter.widget-view+json"}


@pytest.mark.parametrize("path", sorted((ROOT / "notebooks").glob("*.ipynb")), ids=lambda p: p.stem)
def test_a_saved_notebook_has_a_picture_of_each_figure(path):
    cells = json.loads(path.read_text(encoding="utf-8"))["cells"]
    shown = [
        {kind for output in cell["outputs"] for kind in output.get("data", {})}
        for cell in cells
        if cell["cell_type"] == "code"
    ]

    assert [kinds for kinds in shown if _LIVE & kinds and "image/png" not in kinds] == []


def test_files_that_the_projects_own_files_name_are_there():
    named = re.compile(r"\b(?:tests|scripts|benchmarks|kucoin_research)/[\w/]+\.(?:py|sh|js)\b")
    for name in ("Makefile", "pyproject.toml", "CONTRIBUTING.md", "README.md", "SECURITY.md"):
        found = named.findall((ROOT / name).read_text())
        assert [each for each in found if not (ROOT / each).is_file()] == [], name


def test_docstrings_and_comments_are_written_plainly():
    found = prose.count(prose.files_of([str(ROOT / "kucoin_research")]))

    for name, made in found.items():
        assert made.rate <= prose.HARD[name][1], (
            f"{name}: python scripts/prose.py --show lists them"
        )


def test_hard_words_are_counted_in_docstrings_and_comments_only(tmp_path):
    file = tmp_path / "module.py"
    file.write_text(
        '''"""Tell what is there."""\n# so many words, ``told`` is code\ntold = "tell, told"\n'''
    )

    found = prose.count([file])

    assert [made.found for made in found.values()] == [1, 1, 1]
    assert {made.words for made in found.values()} == {9}
