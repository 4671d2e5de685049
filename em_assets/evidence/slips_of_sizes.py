"""Slips that people make with bytes, shapes, counts, dates and words: each a small function that names one.

A slip is seen in the values alone, never in whose they are.
"""

import math
from itertools import permutations

from em_assets.evidence.cases import (
    Case,
    are_all_near,
    axes_of,
    factor_between,
    is_near,
    is_power_of_two,
)


def bytes_of_another_file(case: Case) -> str | None:
    """The size of a neighbour in the same folder."""
    for name, size in case.other_bytes.items():
        for unit, factor in _BINARY_SLIPS.items():
            if abs(case.said * factor - size) <= max(case.slack * factor, 1e-9 * size):
                slip = f", and {unit}" if factor != 1 else ""
                return f"another file of the same dataset: {name}{slip}"
    return None


def binary_written_as_decimal(case: Case) -> str | None:
    """File managers count in 1024 and print MB."""
    slack = case.slack / case.said if case.said else 0.0
    for unit, factor in _BINARY_SLIPS.items():
        if factor != 1 and is_near(case.true / case.said if case.said else math.nan, factor, max(slack, 1e-6)):
            return unit
        if factor != 1 and is_near(case.ratio, factor, max(slack, 1e-6)):
            decimal, binary = unit.split(" written as ")[::-1]
            return f"{decimal} written as {binary}"
    return None


def prefix_of_bytes(case: Case) -> str | None:
    """MB for GB: a factor of 1000, or of 1024."""
    slack = case.slack / case.said if case.said else 0.0
    for power, words in ((1, "one prefix"), (2, "two prefixes")):
        for base in (1000, 1024):
            if is_near(case.ratio, base**power, max(slack, 3e-2)):
                return f"{words} too large: a factor of {base**power}, as GB written for MB"
            if is_near(case.ratio, base**-power, max(slack, 3e-2)):
                return f"{words} too small: a factor of {base**power}, as MB written for GB"
    return None


def bits_or_other_type(case: Case) -> str | None:
    """Voxels counted in another type, or bits for bytes."""
    slack = max(case.slack / case.said if case.said else 0.0, 2e-3)
    for factor in (2, 4, 8):
        if is_near(case.ratio, factor, slack) or is_near(case.ratio, 1 / factor, slack):
            width = "wide" if case.ratio > 1 else "narrow"
            return f"the size of the same voxels in another type, {factor} times as {width}"
    return None


def voxels_not_files(case: Case) -> str | None:
    """Bytes of the voxels in memory where the files are compressed, or a number of voxels taken for bytes."""
    if case.shape_zyx is None:
        return None
    n_voxels = math.prod(case.shape_zyx)
    if is_near(case.said, n_voxels * (case.voxel_bytes or 1), max(case.slack / case.said, 1e-3)):
        return "bytes of the voxels in memory, not of the files"
    return "voxels counted, not bytes" if is_near(case.said, n_voxels, max(case.slack / case.said, 1e-6)) else None


def part_or_other_copy(case: Case) -> str | None:
    """No slip of a unit fits: the number is of other bytes."""
    if case.ratio > 1:
        return f"{case.ratio:.3g} times what is there: another file, an unpacked or an older copy"
    return f"{case.ratio:.3g} of what is there: a part, a compressed or an older copy" if case.ratio < 1 else None


def single_slice(case: Case) -> str | None:
    """One file of a series, or one page of a stack, is opened and taken for the whole."""
    said, true = axes_of(case)
    if said and true and 1 in said and 1 not in true:
        in_plane, rest = list(true[1:]), sorted(said)[1:]
        if sorted(in_plane) == rest or len([n for n in said if n in true]) >= 1:
            return f"slices counted as one: a single slice taken for the volume of {true[0]}"
    return None


def page_order_taken_for_array_order(case: Case) -> str | None:
    """`pages × width × height`, as viewers and web pages list a stack; in memory height goes before width."""
    said, true = axes_of(case)
    if said and true and said == [true[0], true[2], true[1]]:
        return "page order taken for array order: pages × width × height written for z, y, x"
    return None


def axis_order_of_shape_turned(case: Case) -> str | None:
    """`width × height × depth`: x, y, z."""
    said, true = axes_of(case)
    if said and true and said == true[::-1]:
        return "axis order turned: x, y, z written where z, y, x is meant"
    if said and true and sorted(said) == sorted(true):
        return "axis order turned: the same volume along other axes"
    return None


def another_resolution(case: Case) -> str | None:
    """Each axis by one power of two, or one by two rounded: a level of a pyramid."""
    said, true = axes_of(case)
    factor = factor_between(said, true) if said and true else None
    if factor is None:
        return None
    if is_power_of_two(factor, 5e-2):
        return "another level of the pyramid, or a binned copy"
    return f"a part or a scaled copy: every axis {'larger' if said > true else 'smaller'} by {factor:.3g}"


def another_frame(case: Case) -> str | None:
    """As many slices, the plane a few per cent off: the frame before cropping, alignment or padding."""
    said, true = axes_of(case)
    if not said or not true or said == true:
        return None
    if any(are_all_near(list(order), true, 5e-2) for order in permutations(said)):
        return "another image size: the frame before, or after, cropping, padding or alignment"
    if sum(1 for n in said if n in true) >= 2:
        return "one axis counted otherwise: a part of the slices, or another number of them"
    return None


def off_by_one(case: Case) -> str | None:
    """s0 … s8 are nine: the last one's number is not the count."""
    if isinstance(case.said, int) and isinstance(case.true, int) and abs(case.said - case.true) == 1:
        return "off by one: counting begins at 0, so the last one's number is one less than the count"
    return None


def count_of_a_part(case: Case) -> str | None:
    """A listing that stopped early, or one that went through more folders."""
    if not isinstance(case.said, int | float) or not isinstance(case.true, int | float):
        return None
    if case.said == 1:
        return "many counted as one: a stack or a folder taken for a file"
    return (
        "a part of them: a listing that left some out"
        if case.said < case.true
        else "more than there are: something else counted with them"
    )


def one_word_for_all_electron_microscopy(case: Case) -> str | None:
    """TEM as a word for any electron microscopy; the sections of a TEM cannot be as thin as a beam mills."""
    words = {str(case.said), str(case.true)}
    if "TEM" in words and words & {"FIB-SEM", "SBF-SEM", "ssSEM", "SEM"}:
        return "TEM used for any electron microscopy: a scanning microscope images a surface, nothing is transmitted"
    if words == {"FIB-SEM", "SBF-SEM"}:
        return "both image a block's face: a beam removes the slice in one, a knife in the other"
    if any("tomography" in word or word == "cryo-ET" for word in words):
        return "tilted projections of one section confused with a series of slices"
    return "another technique's name" if case.said != case.true else None


def segmentation_taken_for_images(case: Case) -> str | None:
    """Labels lie beside the images they belong to, in the same folders, with the same shape."""
    if {str(case.said), str(case.true)} == {"em", "labels"}:
        return "a segmentation taken for the images" if case.said == "labels" else "images taken for a segmentation"
    return "light taken for electron microscopy" if "fluorescence" in (case.said, case.true) else None


def type_of_labels(case: Case) -> str | None:
    """64-bit numbers name segments; images have 8 or 16 bits."""
    wide = ("uint64", "int64", "uint32")
    if case.said in wide and str(case.true) in ("uint8", "int8", "uint16", "int16"):
        return "the type of labels: a segmentation taken for the images"
    if case.true in wide and str(case.said) in ("uint8", "int8", "uint16", "int16"):
        return "the type of images: images taken for a segmentation"
    said, true = str(case.said), str(case.true)
    if said.removeprefix("u") == true.removeprefix("u") and "int" in said:
        return "the sign lost: the same bits read with and without it"
    return "converted on the way: another type than the source's" if said != true else None


def instruments_own_name(case: Case) -> str | None:
    """Software writes the microscope that it was set up for; people write the one that they stood at."""
    return "two names of one or two instruments: software writes what it was set up for, people what they stood at"


def other_species(case: Case) -> str | None:
    """A record of a neighbour."""
    return "another species: a record of another dataset"


def day_and_month(case: Case) -> str | None:
    """11.06. is a day in June; 11/06 may be one in November."""
    said, true = str(case.said)[:10].split("-"), str(case.true)[:10].split("-")
    if len(said) == len(true) == 3 and said[0] == true[0] and said[1:] == true[:0:-1]:
        return "day and month exchanged"
    return "another event: acquired, deposited and released are three dates"


_BINARY_SLIPS = {
    "": 1.0,
    "kiB written as kB": 1.024,
    "MiB written as MB": 1.048576,
    "GiB written as GB": 1.073741824,
    "TiB written as TB": 1.099511627776,
}
