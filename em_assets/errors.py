"""What can go wrong, sorted by who can mend it.

::

    EMAssetsError
    ├── UsageError                 you: a wrong name, box, path or option
    │   ├── UnknownDatasetError    no dataset of that name in the registry
    │   ├── VolumeChoiceError      several volumes, or none of that name: the message lists them
    │   └── OutOfBoundsError       a box outside the volume
    ├── SettingsError              you: an environment variable
    ├── RegistryError              you: a dataset's TOML file
    ├── SourceError                the archive
    │   ├── SourceUnreachableError may pass: time-outs, refused connections, 5xx (worth a retry); a bucket too
    │   ├── SourceMissingError     will not pass: 404, 403, an empty or shrunken listing
    │   ├── IncompleteError        fewer or other bytes than declared
    │   └── PlanTooLargeError      more bytes than the dataset's `max_bytes` allows
    ├── FormatError                the file: not what it claims to be, cut short, or contradicting itself
    │   ├── UnknownFormatError     no reader knows it
    │   └── UnsupportedDataError   read, but no volume: spectra, complex or colour data, unknown versions
    ├── EvidenceError              the facts: a question that needs a value nobody witnessed, or that is disputed
    └── StoreError                 the store
        ├── OriginMismatchError    a store of one origin opened under another
        ├── NotBuiltError          asked for before it was made
        └── NoScratchRoomError     the folder for temporary files (`TMPDIR`) has no room
"""

import re

HIDDEN = "***"

_USER = re.compile(r"(?<=://)[^/?#\s]*(?=@)")
_SECRET = re.compile(
    r"([?&](?:[\w-]*(?:signature|credential|token|secret|password)|sig|api[_-]?key|awsaccesskeyid)=)[^&#\s'\"]+",
    re.IGNORECASE,
)


def shown_url(text: str) -> str:
    """A URL, or text with URLs in it, with `***` for a user's name and password and for keys and signatures."""
    return _SECRET.sub(rf"\1{HIDDEN}", _USER.sub(HIDDEN, text))


def innermost_words(error: BaseException) -> str:
    """What an error began with: the words of the libraries around it are long and say less."""
    while (inner := error.__cause__ or error.__context__) is not None:
        error = inner
    return shown_url(" ".join(str(error).split())) or type(error).__name__


class EMAssetsError(Exception):
    """Everything that the platform raises on account of its input, settings or sources.

    A message is printed and kept in logs: whatever URL stands in it, `shown_url` has taken the credentials out.
    """

    def __init__(self, *args: object) -> None:
        super().__init__(*(shown_url(each) if isinstance(each, str) else each for each in args))


class UsageError(EMAssetsError):
    """The caller asked for something that cannot be: the message says what can."""


class UnknownDatasetError(UsageError):
    """No dataset of that name is registered."""


class VolumeChoiceError(UsageError):
    """A volume must be chosen, or the chosen one does not exist; the message lists the choices."""


class OutOfBoundsError(UsageError, IndexError):
    """A box reaches outside its volume."""


class SettingsError(EMAssetsError):
    """An environment variable has a value that cannot be used."""


class RegistryError(EMAssetsError):
    """A dataset's TOML file is wrong; the message names file and key."""


class SourceError(EMAssetsError):
    """A source did not give what it should."""


class SourceUnreachableError(SourceError):
    """A source cannot be reached now; a later try may succeed."""


class SourceMissingError(SourceError):
    """A source answers, and what was asked for is not there or not public."""


class IncompleteError(SourceError):
    """Fewer, more or other bytes arrived than the source declared."""


class PlanTooLargeError(SourceError):
    """Fetching would take more bytes than the dataset's `max_bytes`."""


class FormatError(EMAssetsError):
    """A file is not what it claims to be, is cut short, or contradicts itself."""


class UnknownFormatError(FormatError):
    """No reader knows this file or folder."""


class UnsupportedDataError(FormatError):
    """A readable file holds no volume that can be kept: spectra, complex or colour data, unknown versions."""


class EvidenceError(EMAssetsError):
    """A question needs a value that nobody witnessed, or that witnesses dispute."""


class StoreError(EMAssetsError):
    """The store is not in a state that allows what was asked."""


class OriginMismatchError(StoreError):
    """A store that belongs to one origin was opened under another."""


class NotBuiltError(StoreError):
    """Something was asked for before it was made; the message says which command makes it."""


class NoScratchRoomError(StoreError):
    """The folder for temporary files has no room; what was to be read may be whole."""
