"""Real files of every format against independent readers: where these agree so do we, where they do not it shows."""

import gzip
import json
import math
import zipfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple

import pytest

from em_assets.datasets import Dataset
from em_assets.datasets.opening import RawVolume
from em_assets.errors import EMAssetsError
from em_assets.evidence import Finding, claims_of, findings, resolve
from em_assets.formats import detect, open_path, read_tags
from em_assets.model import Claim, Conflict, Source, VolumeRecord

REFUSED = {
    "cryoet/10001_input/VPP/frames/CountRef_TS_run2.dm4": "zero bytes",
    "cryoet/10001_input/VPP/frames/TS_run1_1.tiff": "zero bytes",
    "cryoet/10001_input/VPP/frames/TS_run1_2.tiff": "zero bytes",
    "cryoet/10001_input/VPP/frames/TS_run1_3.tiff": "zero bytes",
    "cryoet/10001_input/VPP/frames/TS_run1_4.tiff": "found text",
    "cryoet/10001_input/VPP/frames/TS_run1_5.tiff": "found text",
    "cryoet/30001/RUN1/Gains/run1_gain.mrc": "zero bytes",
    "cryoet/30001/RUN1/Gains/run1a_gain.mrc": "zero bytes",
    "cryoet/30001/RUN1/Tomograms/VoxelSpacing3.456/CanonicalTomogram/RUN1.mrc": "zero bytes",
    "dm3/08_carbon.dm3": "spectrum",
    "dm3/test-23.dm3": "RGB colour data",
    "dm4/test_fft_packed_complex8.dm4": "complex",
    "n5/wk_simple_n5/color/1": "axes that nobody names",
    "negative/multipage_multiple_frame_loop.tiff": "a loop back to page 0",
    "negative/s_1_t_1_c_1_z_1.tiff": "git-LFS pointer",
    "tiff/BigTIFF.tif": "RGB colour data",
    "tiff/BigTIFFMotorola.tif": "RGB colour data",
    "tiff/multipage_out_of_order.tiff": "palette colour data",
    "tiff/olympus_SIS.tif": "RGB colour data",
}
"""No volumes, and the word that says what they are."""

DISPUTED = {
    ("dm3/08_carbon.dm3", "unit"): "refused",
    ("dm3/test-1.dm3", "unit"): "unknown zyx",  # no unit or an empty one: either way nobody calibrated it
    ("dm3/test-10.dm3", "unit"): "unknown zyx",
    ("dm3/test-2.dm3", "unit"): "unknown zyx",
    ("dm3/test-6.dm3", "unit"): "unknown zyx",
    ("dm4/test-10.dm4", "unit"): "unknown zyx",
    ("dm4/test-12.dm4", "unit"): "unknown zyx",
    ("dm4/test-6.dm4", "unit"): "unknown zyx",
    # A stack without a z scale: one reader leaves z out, the other says null. On y and x they agree, and so do we.
    ("dm3/test_stackbuilder_imagestack.dm3", "voxel nm, in array order"): "unknown z",
    ("dm3/test_stackbuilder_imagestack.dm3", "unit"): "unknown z",
    # A cell of -160 Å is no length, which is a finding; one of 0 Å along z was never set.
    ("mrc/Custom_movie.mrc", "voxel A (x,y,z sorted)"): "finding yx, unknown z",
    # One reader takes symmetry records for another maker's extended header; the header proper is the only witness.
    ("mrc/EMD-3001.map", "voxel A (x,y,z sorted)"): "one witness",
    # A single image: whether it has a z is a matter of counting; a z step of 0 Å was never set, and is not 1 Å.
    ("mrc/HAADFscan.mrc", "shape"): "one plane",
    ("mrc/HAADFscan.mrc", "voxel A (x,y,z sorted)"): "unknown z",
    # Mode 0 has a sign since MRC2014. The header's minimum of -128 says the same ...
    ("mrc/signed_ints.mrc", "dtype"): "one witness",
    # ... and here its maximum of 255 says the opposite.
    ("mrc/unsigned_ints.mrc", "dtype"): "conflict dtype",
    ("tiff/BigTIFF.tif", "shape (squeezed)"): "refused",
    ("tiff/BigTIFF.tif", "dtype"): "refused",
    ("tiff/BigTIFFMotorola.tif", "shape (squeezed)"): "refused",
    ("tiff/BigTIFFMotorola.tif", "dtype"): "refused",
    ("tiff/olympus_SIS.tif", "shape (squeezed)"): "refused",
    ("tiff/olympus_SIS.tif", "dtype"): "refused",
}
"""What readers dispute of shape, type and voxel size → how we show it."""


class Seen(NamedTuple):
    """What one file or folder came to, or why it was refused."""

    records: list[VolumeRecord]
    conflicts: list[Conflict]
    claims: list[Claim]
    findings: list[Finding]
    refusal: str = ""


def look_at(path: Path) -> Seen:
    """A dataset of this one thing, from its tags to its record."""
    try:
        volumes = [RawVolume(one.name, "em", None, one, None, None, len(one.levels)) for one in open_path(path)]
    except EMAssetsError as error:
        return Seen([], [], [], [], str(error))
    dataset = Dataset(name="real", title="A real file", sources=(Source(url="https://example.org/data/"),))
    said = list(detect(path).witnesses(list(read_tags(path))))
    claims = claims_of(dataset, [(path.name, said)], volumes, "public", files_dir=path.parent)
    records, conflicts = resolve(dataset, volumes, claims, "public")
    return Seen(records, conflicts, claims, list(findings(claims)))


@pytest.fixture(scope="module")
def expected(shared: Path) -> dict[str, Any]:
    """What readers agree on and what they do not; a zip's members are entries of their own."""
    entries: dict[str, Any] = json.loads((shared / "data" / "expected.json").read_text())
    for path in [path for path in entries if path.endswith(".zip")]:
        whole = entries.pop(path)
        entries |= {f"{path}/{name}": {"agreed": agreed} for name, agreed in whole["agreed"].items()}
    return entries


@pytest.fixture(scope="module")
def seen(shared: Path, expected: dict[str, Any], tmp_path_factory: pytest.TempPathFactory) -> dict[str, Seen]:
    """Every entry looked at once."""
    folder = tmp_path_factory.mktemp("unpacked")
    return {name: look_at(_unpacked(shared / "data", name, folder)) for name in expected}


def test_shape_type_and_voxel_size_are_those_that_readers_agree_on(
    seen: dict[str, Seen], expected: dict[str, Any]
) -> None:
    wrong = [
        f"{name}: {problem}"
        for name, entry in expected.items()
        if not seen[name].refusal
        for problem in _differences(seen[name].records, entry["agreed"])
    ]
    opened = [name for name in expected if not seen[name].refusal]
    figures = [len(list(_comparable(expected[name]["agreed"]))) for name in opened]
    assert wrong == [], "\n".join(wrong)
    assert (len(opened), sum(figures)) >= (70, 130)


def test_what_is_no_volume_is_refused_by_name(seen: dict[str, Seen]) -> None:
    refused = {name: one.refusal for name, one in seen.items() if one.refusal}
    assert set(refused) == set(REFUSED)
    assert [name for name, refusal in refused.items() if REFUSED[name] not in refusal or name not in refusal] == []


def test_every_dispute_of_readers_is_decided(shared: Path) -> None:
    disputes = json.loads((shared / "data" / "disagreements.json").read_text())
    words = ("shape", "dtype", "voxel", "unit")
    found = {
        (path, one["what"]) for path, of_path in disputes.items() for one in of_path if one["what"].startswith(words)
    }
    assert found == set(DISPUTED)


@pytest.mark.parametrize(("path", "what"), DISPUTED, ids=[" ".join(key) for key in DISPUTED])
def test_a_dispute_of_readers_is_shown(path: str, what: str, seen: dict[str, Seen], expected: dict[str, Any]) -> None:
    shown = [part.split() for part in DISPUTED[path, what].split(", ")]
    axes = {kind: further[0] for kind, *further in shown if kind in ("unknown", "finding")}
    if shown == [["refused"]]:
        assert REFUSED[path] in seen[path].refusal
    elif axes:
        _assert_unknown(seen[path], axes)
    elif shown == [["conflict", "dtype"]]:
        (conflict,) = seen[path].conflicts
        assert (conflict.field, conflict.value, conflict.other_value) == ("dtype", "int8", "uint8")
        assert conflict.cause == "the sign lost: the same bits read with and without it"
    else:
        (record,) = seen[path].records
        values = next(found["values"] for found in expected[path]["disagreements"] if found["what"] == what)
        word = "voxel A" if what.startswith("voxel") else what
        assert _is_same(word, values["mrcfile"], record, 1)


def _assert_unknown(one: Seen, axes: dict[str, str]) -> None:
    """These axes and no others are unknown, and those that the file speaks of are findings."""
    (record,) = one.records
    unknown = {axis for axis, size in zip("zyx", record.voxel_size_zyx_nm, strict=True) if size is None}
    assert unknown == set("".join(axes.values()))
    reasons = {finding.claim.field: finding.reason for finding in one.findings}
    assert {axis for axis in "zyx" if "a length above 0 expected" in reasons.get(f"voxel_size_{axis}_nm", "")} == set(
        axes.get("finding", "")
    )


@pytest.mark.parametrize(("path", "what"), [("mrc/EMD-3001.map", "voxel"), ("mrc/signed_ints.mrc", "dtype")])
def test_a_reader_that_is_taken_at_its_word_makes_a_conflict(path: str, what: str, shared: Path) -> None:
    """A file with one witness cannot show that a reader sees something else; the reader's own claim does."""
    file = shared / "data" / path
    (volume,) = [RawVolume(one.name, "em", None, one, None, None, 1) for one in open_path(file)]
    values = {"voxel_size_x_nm": 1.356e-10} if what == "voxel" else {"dtype": "uint8"}
    said = [{"field": field, "value": value, "at": "a reader"} for field, value in values.items()]
    dataset = Dataset.model_validate(
        {"name": "real", "title": "A real file", "sources": [{"url": "https://example.org/data/"}], "says": said}
    )
    witnesses = [(file.name, list(detect(file).witnesses(list(read_tags(file)))))]
    claims = claims_of(dataset, witnesses, [volume], "public", files_dir=file.parent)
    _, conflicts = resolve(dataset, [volume], claims, "public")
    assert {conflict.field: conflict.other_value for conflict in conflicts} == values


def _unpacked(root: Path, name: str, folder: Path) -> Path:
    """The file itself; out of its archive where the archive has several or the format knows no packed files."""
    archive, _, member = name.partition(".zip/")
    if member:
        with zipfile.ZipFile(root / f"{archive}.zip") as packed:
            return Path(packed.extract(member, folder))
    if name.endswith(".tif.gz"):
        bare = folder / Path(name).stem
        bare.write_bytes(gzip.decompress((root / name).read_bytes()))
        return bare
    return root / name


def _comparable(agreed: dict[str, Any]) -> Iterator[tuple[str, Any]]:
    """Agreed values of the finest level, by what they are."""
    levels = [key for key in agreed if key.split(":")[-1].split(" ")[-1] == "shape" and key != "shape"]
    for key, value in agreed.items():
        is_level = ":" in key or key[:1].isdigit()
        if is_level and levels and not key.startswith(levels[0].removesuffix("shape")):
            continue
        plain = key.removeprefix(levels[0].removesuffix("shape")) if is_level and levels else key
        for word in ("shape", "dtype", "voxel nm", "voxel A", "voxel by"):
            if plain.startswith(word):
                yield word, value


def _differences(records: list[VolumeRecord], agreed: dict[str, Any]) -> Iterator[str]:
    for word, value in _comparable(agreed):
        for found in [record for record in records if not _is_same(word, value, record, len(records))]:
            yield f"{word} {value} agreed, {found.shape_zyx} {found.dtype} {found.voxel_size_zyx_nm} found"


def _is_same(word: str, value: Any, record: VolumeRecord, n_volumes: int) -> bool:
    if word == "dtype":
        return value == record.dtype or (value == "bool" and record.dtype == "uint8")
    if word == "shape":
        ours, theirs = sorted(record.shape_zyx or ()), sorted(value)
        is_permuted = _squeezed(ours) == _squeezed(theirs)
        return is_permuted or (
            math.prod(ours) * n_volumes == math.prod(theirs) and list(record.shape_zyx or ())[-2:] == value[-2:]
        )
    if word == "voxel A":
        return _near(sorted(_angstrom(record)), value)
    if word == "voxel nm":
        return _near(list(record.voxel_size_zyx_nm[-len(value) :]), value)
    return _does_not_contradict(record, value)


def _does_not_contradict(record: VolumeRecord, axes: list[list[Any]]) -> bool:
    """One reader alone, which knows no unit of some formats: where both know a size, it is the same."""
    nanometres = {"nm": 1.0, "µm": 1e3, "m": 1e9}
    theirs = {name: scale * nanometres[unit] for name, scale, unit in axes if unit in nanometres}
    ours = dict(zip(("depth", "height", "width"), record.voxel_size_zyx_nm, strict=True))
    return all(
        size is None or name not in theirs or math.isclose(size, theirs[name], rel_tol=1e-3)
        for name, size in ours.items()
    )


def _angstrom(record: VolumeRecord) -> list[float]:
    return [10 * (size or 0.0) for size in record.voxel_size_zyx_nm]


def _near(ours: list[float | None] | list[float], theirs: list[float | None]) -> bool:
    pairs = zip(ours, theirs, strict=True)
    return all(
        a is b is None or (a is not None and b is not None and math.isclose(a, b, rel_tol=2e-3, abs_tol=5e-5))
        for a, b in pairs
    )


def _squeezed(shape: list[int]) -> list[int]:
    return [size for size in shape if size != 1]
