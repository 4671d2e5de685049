"""Credentials in a URL: refused where it would be stored, masked where it would be printed."""

from pathlib import Path

import pytest

from em_assets import datasets
from em_assets.errors import RegistryError, UsageError, shown_url
from em_assets.settings import Settings

WITH_SECRETS = [
    "https://me:hunter2@a.org/em.tif",
    "https://a.org/em.tif?X-Amz-Signature=hunter2&v=1",
    "https://a.org/em.tif?v=1&access_token=hunter2",
    "https://a.org/em.tif?sig=hunter2",
]


@pytest.mark.parametrize("url", WITH_SECRETS)
def test_a_dataset_whose_url_holds_credentials_is_refused_without_repeating_them(url: str, tmp_path: Path) -> None:
    (tmp_path / "mine.toml").write_text(f'title = "t"\n[source]\nurl = "{url}"\n')
    with pytest.raises(RegistryError, match=r"mine\.toml: source.*environment only") as caught:
        datasets.get("mine", Settings(store=tmp_path / "store", datasets=tmp_path))
    assert "hunter2" not in str(caught.value)


@pytest.mark.parametrize("url", WITH_SECRETS)
def test_no_error_repeats_credentials(url: str) -> None:
    assert "hunter2" not in str(UsageError(f"{url}: no such file"))


@pytest.mark.parametrize("url", ["https://a.org/x@y.tif?v=2", "s3://bucket/key", "/home/a@b/em.tif", "ftp://h/a?b@c"])
def test_a_url_without_credentials_is_shown_as_it_is(url: str) -> None:
    assert shown_url(url) == url
