import json

import pytest

import kucoin_research as kr
from kucoin_research.errors import SessionNewer
from kucoin_research.sessions.files.manifest import read_manifest, write_manifest


def test_the_manifest_is_replaced_as_a_whole(tmp_path):
    write_manifest(tmp_path, {"files": {}, "state": "recording"})
    with pytest.raises(ValueError, match="JSON"):
        write_manifest(tmp_path, {"files": {}, "state": float("nan")})

    assert read_manifest(tmp_path)["state"] == "recording"
    assert [path.name for path in tmp_path.iterdir()] == ["session.json"]


@pytest.mark.parametrize("content", ["", "{", "[]", '{"files": 5}', "\xff"])
def test_a_manifest_that_is_none_reads_as_none(content, tmp_path):
    (tmp_path / "session.json").write_bytes(content.encode("latin-1"))

    assert read_manifest(tmp_path) is None


@pytest.mark.parametrize(
    "inner",
    ["[" * 200_000, '{"a":' * 200_000, "[" * 2_000 + "]" * 2_000, "NaN", "1e999", "-Infinity",
     "9" * 5_000, "[" + "{}," * 1_000_000 + "{}]"],
    ids=["lists", "objects", "deep", "NaN", "1e999", "-Infinity", "digits", "many"],
)  # fmt: skip
def test_json_that_no_recorder_writes_is_no_manifest(inner, tmp_path):
    (tmp_path / "session.json").write_text(f'{{"files":{{}},"x":{inner}}}')

    assert read_manifest(tmp_path) is None


@pytest.mark.parametrize("files", [{}, 5, "new"])
def test_a_newer_format_is_refused_in_one_sentence(tmp_path, files):
    content = {"format": 2, "package": "9.1", "files": files}
    (tmp_path / "session.json").write_text(json.dumps(content))

    for read in (kr.load, kr.verify, kr.repair, kr.replay):
        with pytest.raises(SessionNewer, match=r"newer version .*9\.1, format 2.*upgrade"):
            read(tmp_path)
    assert [path.name for path in tmp_path.iterdir()] == ["session.json"]
