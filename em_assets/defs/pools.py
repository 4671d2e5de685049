"""Pools per archive: how many runs may fetch from one host at once.

A pool that is written at an asset holds for all its partitions, and the partitions of `raw_files` have different hosts.
So the step claims the slots of its dataset's hosts itself, in Dagster's own pools: they show under Deployment,
Concurrency, and a person changes them there (`dagster instance concurrency set ftp.ebi.ac.uk 1`; 0 pauses a host).
"""

import time
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path
from urllib.parse import urlsplit

import dagster as dg

from em_assets.defs.sweeping import sweep
from em_assets.model import Source

POLL_S = 0.5
SAID_EVERY_S = 60.0
SWEPT_EVERY_S = 5.0


def hosts_of(sources: Iterable[Source]) -> list[str]:
    """The hosts and buckets that a dataset is fetched from, each once; none for what lies on a disk."""
    found = (urlsplit(url).hostname for source in sources for url in (source.url, *source.fallback_urls))
    return sorted({host for host in found if host})


@contextmanager
def slots(context: dg.AssetExecutionContext, hosts: Iterable[str], store: Path | None = None) -> Iterator[None]:
    """Hold one slot of each host's pool; `concurrency.pools.default_limit` of dagster.yaml is the size of a new pool.

    Who waits sweeps up after runs that died, with a store also after those of other containers that share it.
    An instance that is forgotten with its process has no pools, and nobody to share a host with.
    """
    storage = context.instance.event_log_storage
    step = context.asset_key.to_user_string()
    if not storage.supports_global_concurrency_limits:
        yield
        return
    try:
        for host in sorted(hosts):  # in one order for all, so that no two wait for each other
            _wait_for_slot(context, host, step, store)
        yield
    finally:
        storage.free_concurrency_slot_for_step(context.run.run_id, step)


def _wait_for_slot(context: dg.AssetExecutionContext, host: str, step: str, store: Path | None) -> None:
    storage = context.instance.event_log_storage
    if host not in {pool.name for pool in storage.get_pool_limits()}:
        # Only a new one: a limit that a person has set would become the default again.
        storage.initialize_concurrency_limit_to_default(host)
    if storage.get_concurrency_info(host).limit is None:
        return
    said_at = swept_at = float("-inf")
    while not storage.claim_concurrency_slot(host, context.run.run_id, step).is_claimed:
        now = time.monotonic()
        if now - swept_at > SWEPT_EVERY_S:
            swept_at = now
            sweep(context.instance, context.log.warning, store)
            continue
        if now - said_at > SAID_EVERY_S:
            said_at = now
            held = storage.get_concurrency_info(host)
            runs = ", ".join(sorted(slot.run_id[:8] for slot in held.claimed_slots)) or "nobody"
            context.log.info(f"waiting for {host}: {held.limit} at once, now {runs}")
        time.sleep(POLL_S)
