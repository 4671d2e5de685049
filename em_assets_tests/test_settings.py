"""Settings from the environment: what can be used, and words for what cannot."""

from collections.abc import Callable
from pathlib import Path

import pytest

from em_assets.errors import OriginMismatchError, SettingsError
from em_assets.settings import Settings, claim_store, load
from em_assets.sources.wire import Patience


@pytest.mark.parametrize(
    "variables",
    [
        {"EM_ASSETS_STORE": "gs://bucket/store"},
        {"EM_ASSETS_STORE": "s3://bucket//store"},
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


@pytest.mark.parametrize(("place", "found"), [("file", "a file"), ("file/store", "FOLDER/file is a file")])
def test_a_store_that_is_a_file_is_named_when_settings_are_loaded(tmp_path: Path, place: str, found: str) -> None:
    """Every command loads them; those that only look took a file for an empty store."""
    (tmp_path / "file").write_text("")
    with pytest.raises(SettingsError) as refused:
        load({"EM_ASSETS_STORE": str(tmp_path / place)})
    found = found.replace("FOLDER", str(tmp_path))
    assert str(refused.value) == f"EM_ASSETS_STORE={tmp_path / place}: a folder expected, found {found}"


def test_a_store_may_be_a_link_to_a_folder_and_need_not_be_there(tmp_path: Path) -> None:
    (tmp_path / "disk").mkdir()
    (tmp_path / "link").symlink_to("disk")
    stores = [tmp_path / "link", tmp_path / "disk" / "a" / "b"]
    assert [load({"EM_ASSETS_STORE": str(store)}).store for store in stores] == stores


def test_a_store_in_a_bucket_has_a_working_copy_of_its_own(tmp_path: Path) -> None:
    variables = {"EM_ASSETS_CACHE": str(tmp_path), "EM_ASSETS_ORIGIN": "sample"}
    one = load(variables | {"EM_ASSETS_STORE": "s3://bucket/one/"})
    other = load(variables | {"EM_ASSETS_STORE": "s3://bucket/one", "AWS_ENDPOINT_URL": "http://minio:9000"})
    assert (one.address, str(one.volumes_dir("em"))) == ("s3://bucket/one", "s3://bucket/one/volumes/em")
    assert one.store.parent == other.store.parent == tmp_path
    assert one.store != other.store
    assert one.raw_dir("em").is_relative_to(one.store)


def test_a_store_in_a_bucket_keeps_its_origin_without_its_working_copy(
    tmp_path: Path, s3_environment: dict[str, str], new_bucket: Callable[[], str]
) -> None:
    variables = {**s3_environment, "EM_ASSETS_STORE": new_bucket(), "EM_ASSETS_CACHE": str(tmp_path / "a")}
    claim_store(load(variables | {"EM_ASSETS_ORIGIN": "sample"}))
    elsewhere = variables | {"EM_ASSETS_CACHE": str(tmp_path / "b")}
    assert load(elsewhere).origin == "sample"
    with pytest.raises(OriginMismatchError, match=r"s3://.*'sample'.*'public'"):
        claim_store(load(elsewhere | {"EM_ASSETS_ORIGIN": "public"}))


def test_patience_and_connections_are_settings() -> None:
    limits = load({"EM_ASSETS_NO_NEWS_S": "120", "EM_ASSETS_CONNECTIONS": "8"}).transfer
    assert (limits.connect_s, limits.read_s, limits.stall_s, limits.no_news_s) == (10, 20, 20, 120)
    assert (limits.least_bytes_per_s, limits.connections) == (1000, 8)
    assert Patience.within_limits(limits).no_news_s == 120


def test_a_transfer_waits_as_documented_where_nothing_is_set() -> None:
    assert Patience.within_limits(load({}).transfer) == Patience()


@pytest.mark.parametrize("value", ["0", "-1", "soon", "inf", "nan"])
def test_a_limit_that_is_no_number_above_zero_is_named(value: str) -> None:
    with pytest.raises(SettingsError, match=f"EM_ASSETS_READ_S={value}"):
        load({"EM_ASSETS_READ_S": value})
