from __future__ import annotations

from pathlib import Path

import pytest

from mlgym_core.errors import ConfigurationError
from mlgym_core.settings import cache_dir, file_settings, names_from_environment


def test_the_cache_is_private_and_where_the_variables_say(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HOME", str(tmp_path / "home"))
    monkeypatch.delenv("XDG_CACHE_HOME", raising=False)
    monkeypatch.delenv("MLGYM_CACHE_DIR", raising=False)
    assert cache_dir() == tmp_path / "home" / ".cache" / "mlgym"
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "xdg"))
    assert cache_dir() == tmp_path / "xdg" / "mlgym"
    monkeypatch.setenv("MLGYM_CACHE_DIR", str(tmp_path / "chosen"))
    assert cache_dir() == tmp_path / "chosen"
    assert (tmp_path / "chosen").stat().st_mode & 0o777 == 0o700


def test_a_cache_that_cannot_be_made_names_the_remedy(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "file").touch()
    monkeypatch.setenv("MLGYM_CACHE_DIR", str(tmp_path / "file" / "cache"))
    with pytest.raises(ConfigurationError, match="Set MLGYM_CACHE_DIR"):
        cache_dir()


def test_names_are_separated_by_commas(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MLGYM_PLUGINS", " a, b ,,")
    assert names_from_environment("MLGYM_PLUGINS") == frozenset({"a", "b"})
    monkeypatch.delenv("MLGYM_PLUGINS")
    assert names_from_environment("MLGYM_PLUGINS") is None


def test_the_file_has_a_table_for_each_command(tmp_path: Path) -> None:
    assert file_settings(tmp_path) == {}
    (tmp_path / "mlgym.toml").write_text('[run]\nmax-steps = 3\nagent = ["baseline"]\n')
    assert file_settings(tmp_path) == {"run": {"max_steps": 3, "agent": ["baseline"]}}


@pytest.mark.parametrize("content", ["[run", "seed = 3\n", b"\xff\xfe"])
def test_a_broken_file_is_named(tmp_path: Path, content: str | bytes) -> None:
    path = tmp_path / "mlgym.toml"
    path.write_bytes(content.encode() if isinstance(content, str) else content)
    with pytest.raises(ConfigurationError, match=r"mlgym\.toml"):
        file_settings(tmp_path)


def test_a_working_directory_that_is_gone_is_no_bug(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "gone").mkdir()
    monkeypatch.chdir(tmp_path / "gone")
    (tmp_path / "gone").rmdir()
    with pytest.raises(ConfigurationError, match="does not exist any more"):
        file_settings()
