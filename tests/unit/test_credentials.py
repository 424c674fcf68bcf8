"""Credentials: where they are read, what is refused, and that nothing shows them."""

from __future__ import annotations

import copy
import inspect
import json
import pickle
import pprint

import pytest

import kucoin_research as kr
from kucoin_research.errors import CredentialsMissing, InvalidInput

KEY, SECRET, PASSPHRASE = "marker-key", "marker-secret", "marker-passphrase"
NAMES = ("KUCOIN_API_KEY", "KUCOIN_API_SECRET", "KUCOIN_PASSPHRASE")


@pytest.fixture
def credentials():
    return kr.Credentials(KEY, SECRET, PASSPHRASE)


def test_attributes_give_what_was_given(credentials):
    assert (credentials.key, credentials.secret, credentials.passphrase) == (
        KEY, SECRET, PASSPHRASE,
    )  # fmt: skip
    assert credentials.key_version == 3


def test_environment_wins_over_the_file(monkeypatch, tmp_path):
    lines = [f"{name}=from-file-{name}" for name in NAMES] + ["KUCOIN_API_KEY_VERSION=2"]
    (tmp_path / ".env").write_text("\n".join(lines))
    monkeypatch.setenv("KUCOIN_API_SECRET", "from-environment")

    found = kr.Credentials.from_env()

    assert (found.key, found.secret) == ("from-file-KUCOIN_API_KEY", "from-environment")
    assert found.key_version == 2


def test_missing_variables_are_named(monkeypatch):
    monkeypatch.setenv("KUCOIN_API_KEY", KEY)

    with pytest.raises(CredentialsMissing) as caught:
        kr.Credentials.from_env()

    assert "KUCOIN_API_SECRET, KUCOIN_PASSPHRASE not set" in str(caught.value)


@pytest.mark.parametrize("version", [1, 4, "3", True, 2.5])
def test_other_key_versions_are_refused(version):
    with pytest.raises(InvalidInput, match="key_version must be 2 or 3"):
        kr.Credentials(KEY, SECRET, PASSPHRASE, key_version=version)


def test_bad_key_version_of_the_environment_is_refused():
    with pytest.raises(InvalidInput, match="KUCOIN_API_KEY_VERSION must be 2 or 3"):
        kr.Credentials.from_env(dict.fromkeys(NAMES, KEY) | {"KUCOIN_API_KEY_VERSION": "x"})


@pytest.mark.parametrize("part", range(3))
@pytest.mark.parametrize("damage", ["", " ", None, 5, " {}", "{}\n", "{}\r\nX: y\n"])
def test_damaged_part_is_refused_without_repeating_it(part, damage):
    values = [KEY, SECRET, PASSPHRASE]
    values[part] = damage.format(values[part]) if isinstance(damage, str) else damage

    with pytest.raises(InvalidInput) as caught:
        kr.Credentials(*values)

    assert "marker" not in str(caught.value)
    assert ("key", "secret", "passphrase")[part] in str(caught.value)


@pytest.mark.parametrize("key", ["marker\r\nHost: x", "marker key", "märker", "marker\x00"])
def test_key_that_could_break_a_header_is_refused(key):
    with pytest.raises(InvalidInput, match="characters that no KuCoin key has"):
        kr.Credentials(key, SECRET, PASSPHRASE)


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


def test_no_dump_shows_a_secret(credentials):
    assert not any("marker" in text for text in dumps(credentials))


@pytest.mark.parametrize("protocol", range(pickle.HIGHEST_PROTOCOL + 1))
def test_pickling_is_refused(credentials, protocol):
    for value in (credentials, [credentials], credentials._hidden[1]):
        with pytest.raises(InvalidInput, match="not pickled"):
            pickle.dumps(value, protocol)
    with pytest.raises(InvalidInput, match="not pickled"):
        credentials.__getstate__()


def test_copies_are_the_same_object(credentials):
    assert copy.copy(credentials) is copy.deepcopy([credentials])[0] is credentials


def test_mask_takes_all_three_out_of_a_text(credentials):
    text = credentials.mask(f"{KEY} and {SECRET} and {PASSPHRASE} here")

    assert text == "*** and *** and *** here"
