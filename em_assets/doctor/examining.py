"""All questions at once, each in a thread of its own, and no longer than a few seconds."""

import threading
import time
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field

from em_assets import settings as settings_module
from em_assets.doctor import archives, home, machine, stores
from em_assets.doctor.findings import Finding, Question, mend, unknown
from em_assets.errors import EMAssetsError, SourceUnreachableError
from em_assets.settings import PUBLIC, Settings

PATIENCE_S = 7.0
"""For all questions together: with what Python itself takes to begin, the report is there within ten seconds."""


def examine(environ: Mapping[str, str] | None = None, patience_s: float = PATIENCE_S) -> list[Finding]:
    """Everything that was found, area by area; what has not answered after `patience_s` is unknown.

    The settings come from `environ`, or from the environment.
    """
    until = time.monotonic() + patience_s
    loaded: list[Settings] = []
    # A store in a bucket may have to be asked for its origin.
    found = list(answers([Question("settings", "store", lambda: _settings(environ, loaded))], patience_s))
    if found:
        return [*machine.findings(None), *found]
    (known,) = loaded
    found = list(answers(_questions(known), until - time.monotonic()))
    return archives.with_the_network(found) if known.origin == PUBLIC else found


def _settings(environ: Mapping[str, str] | None, loaded: list[Settings]) -> Iterator[Finding]:
    """Load the settings, or say why they cannot be."""
    try:
        loaded.append(settings_module.load(environ))
    except SourceUnreachableError as error:
        yield unknown("settings", "store", _in_one_line(error), "ask again, or name another store in EM_ASSETS_STORE")
    except EMAssetsError as error:
        yield mend("settings", "environment", str(error), "set the variable as it says")


def _questions(known: Settings) -> Iterator[Question]:
    of_archives = list(archives.questions(known))
    yield Question("machine", "itself", lambda: machine.findings(known))
    yield Question("store", "place", lambda: stores.findings(known))
    yield Question("home", "history", lambda: home.findings(known))
    yield from of_archives


@dataclass
class _Asked:
    """A question that is being answered in a thread which may never come back."""

    question: Question
    found: list[Finding] = field(default_factory=list, init=False)
    thread: threading.Thread = field(init=False)

    def __post_init__(self) -> None:
        self.thread = threading.Thread(target=self._answer, name=f"doctor: {self.question.what}", daemon=True)
        self.thread.start()

    def _answer(self) -> None:
        area, what, answer = self.question
        try:
            for finding in answer():
                self.found.append(finding)
        except SourceUnreachableError as error:
            self.found.append(unknown(area, what, _in_one_line(error), "try later, or look after the network"))
        except (EMAssetsError, OSError) as error:
            self.found.append(mend(area, what, _in_one_line(error), "mend what it names"))


def answers(questions: Iterable[Question], patience_s: float) -> Iterator[Finding]:
    """The answers in the order of the questions; what it takes to put them counts as well."""
    until = time.monotonic() + patience_s
    asked = [_Asked(question) for question in questions]
    for one in asked:
        one.thread.join(max(until - time.monotonic(), 0.0))
        is_over = not one.thread.is_alive()
        yield from one.found
        if not is_over:
            area, what, _ = one.question
            yield unknown(
                area,
                what,
                f"no answer within {round(max(patience_s, 0.0), 1):g} s",
                "ask again; what it needs may be away",
            )


def _in_one_line(error: Exception) -> str:
    return " ".join(str(error).split())
