"""Keys are found where users put them, and shown nowhere."""

import copy
import json
import logging
import pickle
import traceback

import pytest

import kucoin_research as kr
from kucoin_research.credentials import Credentials, environment

WORDS = ("my-key-id", "my-secret", "my-phrase")
NAMES = ("KUCOIN_API_KEY", "KUCOIN_API_SECRET", "KUCOIN_PASSPHRASE")
FILE = "".join(f"{name}={word}\n" for name, word in zip(NAMES, WORDS, strict=True))


def read(credentials):
    return credentials.key, credentials.secret, credentials.passphrase


def test_attributes_give_what_was_put_in():
    assert read(Credentials(*WORDS)) == WORDS


def test_nothing_shows_a_secret(caplog):
    credentials = Credentials(*WORDS)

    with caplog.at_level(logging.DEBUG):
        logging.getLogger("kucoin_research").warning("%s %r", credentials, [credentials])
    shown = [repr(credentials), str(credentials), f"{credentials}", caplog.text]

    assert not any(word in text for word in WORDS for text in shown)
    with pytest.raises(TypeError):
        vars(credentials)
    with pytest.raises(TypeError):
        json.dumps(credentials)


@pytest.mark.parametrize("protocol", range(pickle.HIGHEST_PROTOCOL + 1))
def test_a_pickle_is_refused(protocol):
    with pytest.raises(kr.InvalidInput, match="not pickled"):
        pickle.dumps(Credentials(*WORDS), protocol)


def test_the_state_is_refused():
    with pytest.raises(kr.InvalidInput, match="not pickled"):
        Credentials(*WORDS).__getstate__()


def test_a_copy_is_the_same_object():
    credentials = Credentials(*WORDS)

    assert copy.copy(credentials) is credentials
    assert copy.deepcopy({"keys": credentials})["keys"] is credentials


@pytest.mark.parametrize("wrong", ["", "  ", None, 7, b"bytes"])
@pytest.mark.parametrize("place", [0, 1, 2])
def test_an_empty_part_is_named_without_showing_the_others(place, wrong):
    words = list(WORDS)
    words[place] = wrong

    with pytest.raises(kr.InvalidInput, match=("key", "secret", "passphrase")[place]) as caught:
        Credentials(*words)
    assert not any(word in str(caught.value) for word in WORDS)


def test_blanks_from_copying_are_taken_off():
    assert read(Credentials(" my-key-id\n", "my-secret\r\n", "my-phrase ")) == WORDS


def test_the_environment_is_read(monkeypatch):
    for name, word in zip(NAMES, WORDS, strict=True):
        monkeypatch.setenv(name, word)

    assert read(Credentials.from_env()) == WORDS


def test_missing_variables_are_named():
    with pytest.raises(kr.InvalidInput, match="KUCOIN_API_SECRET, KUCOIN_PASSPHRASE not set"):
        Credentials.from_env({"KUCOIN_API_KEY": "my-key-id", "KUCOIN_API_SECRET": " "})


def test_a_dotenv_file_of_a_parent_folder_is_read(tmp_path, monkeypatch):
    (tmp_path / ".env").write_text(FILE)
    folder = tmp_path / "notebooks" / "deep"
    folder.mkdir(parents=True)
    monkeypatch.chdir(folder)

    assert read(Credentials.from_env()) == WORDS


def test_the_environment_wins_over_the_file(tmp_path, monkeypatch):
    (tmp_path / ".env").write_text(FILE)
    monkeypatch.setenv("KUCOIN_API_KEY", "another")

    assert Credentials.from_env().key == "another"


def test_reading_the_file_does_not_change_the_environment(tmp_path):
    import os

    (tmp_path / ".env").write_text(FILE)
    environment()

    assert "KUCOIN_API_SECRET" not in os.environ


@pytest.mark.parametrize("text", [FILE.encode("utf-8-sig"), FILE.replace("\n", "\r\n").encode()])
def test_a_file_saved_on_windows_is_read(tmp_path, text):
    (tmp_path / ".env").write_bytes(text)

    assert read(Credentials.from_env()) == WORDS


def test_lines_that_mean_nothing_are_left_out(tmp_path):
    (tmp_path / ".env").write_text(
        f"]]] nonsense = = \n'\n{FILE}# comment\nEMPTY=\nKUCOIN_NOTHING\n"
    )

    assert read(Credentials.from_env()) == WORDS


def test_only_our_own_variables_are_taken(tmp_path, monkeypatch):
    (tmp_path / ".env").write_text(f"DATABASE_PASSWORD=hush\n{FILE}")
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "hush")

    assert set(environment()) == set(NAMES)


def test_a_file_that_is_not_utf8_is_told_without_its_content(tmp_path):
    (tmp_path / ".env").write_bytes(FILE.encode("utf-16"))

    with pytest.raises(kr.InvalidInput, match="is not UTF-8 text") as caught:
        environment()
    told = "".join(traceback.format_exception(caught.value))
    assert "my-secret" not in told
    assert caught.value.__cause__ is None


def test_a_folder_named_dotenv_is_no_file(tmp_path):
    (tmp_path / ".env").mkdir()  # some people call their virtual environment so

    assert environment() == {}
