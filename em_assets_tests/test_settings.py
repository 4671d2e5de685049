"""Settings from the environment: what can be used, and words for what cannot."""

from pathlib import Path

import pytest

from em_assets.errors import OriginMismatchError, SettingsError
from em_assets.settings import Settings, claim_store, load


@pytest.mark.parametrize(
    "variables",
    [
        {"EM_ASSETS_STORE": "s3://bucket/store"},
        {"EM_ASSETS_ORIGIN": "publik"},
        {"EM_ASSETS_DATASETS": "/no/such/folder"},
        {"EM_ASSETS_OME_ZARR": "0.6"},
        {"EM_ASSETS_REDACT": "perhaps"},
    ],
    ids=lambda variables: next(iter(variables)),
)
def test_a_value_that_cannot_be_used_is_named_with_its_variable(variables: dict[str, str]) -> None:
    with pytest.raises(SettingsError, match=next(iter(variables))):
        load(variables)


def test_a_store_keeps_its_origin(tmp_path: Path) -> None:
    claim_store(Settings(store=tmp_path, origin="sample"))
    assert load({"EM_ASSETS_STORE": str(tmp_path)}).origin == "sample"
    with pytest.raises(OriginMismatchError, match=r"'sample'.*'public'"):
        claim_store(Settings(store=tmp_path, origin="public"))


def test_a_store_that_is_no_folder_is_refused_in_words(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(SettingsError, match="EM_ASSETS_STORE"):
        claim_store(Settings(store=tmp_path / "file" / "store"))
