"""An asset that takes the slot of a host's pool; run as a program, it holds the slot until its input ends."""

import sys

import dagster as dg

from em_assets.defs.home import instance
from em_assets.defs.pools import slots
from em_assets.defs.processes import PROCESS_TAG, this_process
from em_assets.settings import load

HOST = "ftp.ebi.ac.uk"


@dg.asset
def raw_files(context: dg.AssetExecutionContext) -> None:
    with slots(context, [HOST]):
        if context.run.tags.get("holds"):
            sys.stdout.write("held\n")
            sys.stdout.flush()
            sys.stdin.read()


if __name__ == "__main__":
    with instance(load()) as kept:
        kept.event_log_storage.set_concurrency_slots(HOST, 1)
        dg.materialize([raw_files], instance=kept, tags={PROCESS_TAG: str(this_process()), "holds": "yes"})
