"""Whether a JPEG picture came to its end: libjpeg paints grey what is missing, and says so to nobody."""

from em_assets.errors import FormatError

TAIL_BYTES = 64
"""The end may have some padding behind it."""

_END_OF_IMAGE = b"\xff\xd9"


def check_end(where: str, data: bytes) -> None:
    """Refuse a picture, or the last bytes of one, without the marker that ends it.

    Raises
    ------
    FormatError
        Naming the place.
    """
    tail = data[-TAIL_BYTES:]
    if _END_OF_IMAGE not in tail:
        raise FormatError(
            f"{where}: the end of a JPEG picture (FF D9) expected, found {tail[-4:].hex(' ') or 'nothing'}: cut short; "
            "fetch it again"
        )
