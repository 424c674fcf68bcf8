"""Keys are found where users put them, and shown nowhere."""

import copy
import inspect
import json
import logging
import os
import pickle
import pprint
import traceback
from pathlib import Path

import pytest

import kucoin_research as kr
from kucoin_research.exchange.credentials import Credentials, environment

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
    with pytest.raises(kr.CredentialsMissing, match="KUCOIN_API_SECRET, KUCOIN_PASSPHRASE not set"):
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


# -- whose file it is ------------------------------------------------------------------------------


@pytest.fixture
def owned(monkeypatch):
    """Let files seem to belong to others: path to the owner's number; of a link, (path, "link")."""
    owners, stat = {}, Path.stat

    def seen(path, **options):
        found = stat(path, **options)
        uid = owners.get(path, found.st_uid)
        if not options.get("follow_symlinks", True):
            uid = owners.get((path, "link"), uid)
        return os.stat_result((*found[:4], uid, *found[5:10]))

    monkeypatch.setattr(Path, "stat", seen)
    return owners


@pytest.fixture
def nested(tmp_path, monkeypatch):
    """A `.env` with our keys in a folder, and a working folder two below it."""
    (tmp_path / ".env").write_text(FILE)
    folder = tmp_path / "a" / "b"
    folder.mkdir(parents=True)
    monkeypatch.chdir(folder)
    return tmp_path


STRANGER = 424_242
unix_only = pytest.mark.skipif(not hasattr(os, "getuid"), reason="owners are Unix's")


@unix_only
@pytest.mark.parametrize("place", ["a", ".", ".env"])
def test_a_file_above_is_read_only_while_all_is_ours(nested, owned, place):
    assert read(Credentials.from_env()) == WORDS

    owned[nested / place] = STRANGER

    with pytest.raises(kr.CredentialsMissing):
        Credentials.from_env()


@unix_only
def test_the_search_does_not_go_past_a_file_that_is_refused(nested, owned, caplog):
    (nested / "a" / ".env").write_text(FILE)
    owned[nested / "a" / ".env"] = STRANGER

    assert environment() == {}
    assert f"{nested / 'a' / '.env'} is not read: it belongs to another user" in caplog.text


@unix_only
@pytest.mark.parametrize(
    ("file", "folder", "mode", "is_read"),
    [
        (STRANGER, STRANGER, 0o755, True),  # somebody's project, which was entered on purpose
        (0, STRANGER, 0o755, True),
        (STRANGER, None, 0o755, False),
        (STRANGER, STRANGER, 0o1777, False),  # everybody may put files there
        (None, 0, 0o1777, True),
        (None, None, 0o777, False),  # everybody may replace files there
    ],
)
def test_in_the_working_folder_its_owner_counts(tmp_path, owned, file, folder, mode, is_read):
    (tmp_path / ".env").write_text(FILE)
    tmp_path.chmod(mode)
    owned.update(
        {p: uid for p, uid in ((tmp_path / ".env", file), (tmp_path, folder)) if uid is not None}
    )

    assert (set(environment()) == set(NAMES)) is is_read


@unix_only
@pytest.mark.parametrize("mode", [0o1777, 0o755])
def test_a_link_of_somebody_else_is_not_followed_to_a_file_of_ours(tmp_path, owned, caplog, mode):
    (tmp_path / "elsewhere").write_text(FILE)
    folder = tmp_path / "common"
    folder.mkdir(mode)
    folder.chmod(mode)
    (folder / ".env").symlink_to(tmp_path / "elsewhere")

    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(folder)
        assert set(environment()) == set(NAMES)
        owned[folder / ".env", "link"] = STRANGER
        assert environment() == {}
    assert f"{folder / '.env'} is not read: it belongs to another user" in caplog.text


@unix_only
def test_a_file_that_everybody_may_change_is_not_read_unless_it_is_named(tmp_path, caplog):
    path = tmp_path / ".env"
    path.write_text(FILE)
    path.chmod(0o666)

    assert environment() == {}
    assert "everybody may change it; chmod o-w" in caplog.text
    assert read(Credentials.from_env(path=path)) == WORDS


def test_a_named_file_is_read_instead(tmp_path):
    (tmp_path / ".env").write_text("KUCOIN_API_KEY=another\nKUCOIN_PASSPHRASE=another\n")
    (tmp_path / "keys.txt").write_text(FILE)

    assert read(Credentials.from_env(path=str(tmp_path / "keys.txt"))) == WORDS


def test_a_named_file_that_is_not_there_is_told(tmp_path):
    with pytest.raises(kr.InvalidInput, match=r"nowhere cannot be read \(No such file"):
        Credentials.from_env(path=tmp_path / "nowhere")


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="no pipes")
def test_a_pipe_is_not_waited_for(tmp_path):
    os.mkfifo(tmp_path / ".env")

    assert environment() == {}
    with pytest.raises(kr.InvalidInput, match="no regular file"):
        environment(tmp_path / ".env")


def test_where_settings_are_read_is_logged_once_without_values(tmp_path, caplog):
    (tmp_path / ".env").write_text(FILE)

    with caplog.at_level(logging.INFO):
        environment()
        environment()

    assert [each.getMessage() for each in caplog.records] == [
        f"settings are read from {tmp_path / '.env'}"
    ]


def test_a_working_folder_that_is_gone_has_no_file(tmp_path, monkeypatch):
    folder = tmp_path / "gone"
    folder.mkdir()
    monkeypatch.chdir(folder)
    folder.rmdir()

    assert environment() == {}


@pytest.mark.parametrize("version", [1, 4, "3", True, 2.5])
def test_other_key_versions_are_refused(version):
    with pytest.raises(kr.InvalidInput, match="key_version must be 2 or 3"):
        Credentials(*WORDS, key_version=version)


def test_bad_key_version_of_the_environment_is_refused():
    with pytest.raises(kr.InvalidInput, match="KUCOIN_API_KEY_VERSION must be 2 or 3"):
        Credentials.from_env(dict.fromkeys(NAMES, "k") | {"KUCOIN_API_KEY_VERSION": "x"})


@pytest.mark.parametrize("key", ["marker\r\nHost: x", "marker key", "märker", "marker\x00"])
def test_key_that_could_break_a_header_is_refused(key):
    with pytest.raises(kr.InvalidInput, match="characters that no KuCoin key has"):
        Credentials(key, *WORDS[1:])


def dumps(value):
    """Every way of showing an object's state that needs no name of a secret attribute."""
    yield repr(value)
    yield str(value)
    yield f"{value} {value!r} {value!s} {value!a}"
    yield pprint.pformat(value)
    yield pprint.pformat([value, {"credentials": value}])
    yield repr(getattr(value, "__dict__", None))
    slots = {name: getattr(value, name) for name in type(value).__slots__}
    yield repr(slots)
    yield pprint.pformat(slots)
    yield json.dumps(value, default=repr)
    hidden = {"key", "secret", "passphrase"}
    state = {n: getattr(value, n) for n in dir(value) if n not in hidden}
    yield repr(state)
    yield repr(inspect.getattr_static(value, "_hidden"))


def test_no_dump_shows_a_secret():
    shown = list(dumps(Credentials(*WORDS)))

    assert not any(word in text for word in WORDS for text in shown)


def test_mask_takes_all_three_out_of_a_text():
    text = Credentials(*WORDS).mask(f"{WORDS[0]} and {WORDS[1]} and {WORDS[2]} here")

    assert text == "*** and *** and *** here"
