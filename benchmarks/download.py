"""How fast files arrive, beside what people use for it: medians, wall and CPU, in one paired run on loopback.

    make bench            or    python benchmarks/download.py [--reps 5] [--strict]

nginx serves (`apt install nginx-light`); peers write bytes and prove nothing, the platform resumes, digests, compares
and syncs them. Five lines:

- `many objects, 25 ms away`: through a relay that answers as late as an archive a few countries away: ≥ 5× requests one
  after the other, ≥ 1.5× fsspec at its 16 in a batch (the platform at the 32 that it takes of object stores, and at the
  three that EBI gets)
- `64 files of 4 MB, 25 ms away`: slices as they lie in archives, over the three connections that EBI gets
- `many objects, this machine`: without any distance. Server and client share the cores: what is left to compare is CPU,
  of which a SHA-256 alone is a good part
- `one file`: ≥ 0.9× curl
- `what a folder holds, 25 ms away`: what a watch costs each time; sizes and validators without the bytes
"""

import argparse
import asyncio
import functools
import gc
import os
import resource
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
import urllib.request
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import replace
from pathlib import Path
from typing import NoReturn

import numpy as np

from em_assets.model import RemoteFile, Source
from em_assets.sources import files, observe
from em_assets.sources.job import Job
from em_assets.sources.origins import PUBLIC_ORIGIN
from em_assets.sources.transfer import fetch_file
from em_assets.sources.wire import PATIENCE

N_OBJECTS, OBJECT_BYTES = 1000, 270_000
N_SLICES, SLICE_BYTES = 64, 4_000_000
LARGE_BYTES = 512 << 20
AWAY_S = 0.025
IN_FLIGHT, IN_FLIGHT_AWAY, IN_FLIGHT_POLITE = 16, 32, 3
CONFIGURATION = """worker_processes 1; daemon off; pid {d}/pid; error_log {d}/err; events {{ worker_connections 512; }}
http {{ access_log off; sendfile on; keepalive_requests 100000; client_body_temp_path {d}/b; proxy_temp_path {d}/p;
fastcgi_temp_path {d}/f; uwsgi_temp_path {d}/u; scgi_temp_path {d}/s; server {{ listen 127.0.0.1:{port}; root {root};
autoindex on; }} }}"""

TITLES = {
    "away": f"many objects, {AWAY_S * 1000:g} ms away",
    "slices": f"{N_SLICES} files of {SLICE_BYTES / 1e6:g} MB, {AWAY_S * 1000:g} ms away",
    "here": "many objects, this machine",
    "large": f"one file of {LARGE_BYTES / 1e6:.0f} MB",
    "listed": f"what a folder holds, {AWAY_S * 1000:g} ms away",
}
AIMS = {
    "away": {"requests, one by one": 5.0, "fsspec, 16 in a batch": 1.5},
    "here": {"requests, one by one": 5.0, "fsspec, 16 in a batch": 1.5},
    "slices": {},
    "large": {"curl": 0.9, "curl, then sha256sum": 0.9},
    "listed": {},
}

Way = Callable[[Path], object]


def write_objects(root: Path, n_objects: int) -> None:
    """Noise under numbered names, in two sizes, and one large file of it."""
    noise = np.random.default_rng(3)
    for folder, count, size_bytes in (("objects", n_objects, OBJECT_BYTES), ("slices", N_SLICES, SLICE_BYTES)):
        (root / folder).mkdir(parents=True)
        for number in range(count):
            content = noise.bytes(size_bytes + int(noise.integers(-20_000, 20_000)))
            (root / folder / f"{number:05}").write_bytes(content)
    with (root / "large.bin").open("wb") as file:
        for _ in range(LARGE_BYTES >> 24):
            file.write(noise.bytes(1 << 24))


@contextmanager
def served(root: Path, port: int) -> Iterator[str]:
    """The base URL of an nginx."""
    with tempfile.TemporaryDirectory() as folder:
        (Path(folder) / "conf").write_text(CONFIGURATION.format(d=folder, port=port, root=root))
        nginx = shutil.which("nginx") or "/usr/sbin/nginx"
        server = subprocess.Popen([nginx, "-c", f"{folder}/conf", "-p", folder, "-e", f"{folder}/err"])
        try:
            time.sleep(0.5)
            urllib.request.urlopen(f"http://127.0.0.1:{port}/objects/00000").close()
            yield f"http://127.0.0.1:{port}"
        finally:
            server.terminate()
            server.wait()


@contextmanager
def away(port: int, to_port: int) -> Iterator[str]:
    """The base URL of a relay, in a process of its own: it must not share anybody's interpreter."""
    relay = subprocess.Popen([sys.executable, __file__, "--relay", str(port), str(to_port)], stdout=subprocess.PIPE)
    try:
        assert relay.stdout is not None
        relay.stdout.readline()
        yield f"http://127.0.0.1:{port}"
    finally:
        relay.terminate()
        relay.communicate()


def relay_for_ever(port: int, to_port: int) -> NoReturn:
    """Pass every byte of an answer on `AWAY_S` late, however many are under way."""
    loop = asyncio.new_event_loop()

    async def pump(reader: asyncio.StreamReader, writer: asyncio.StreamWriter, late_s: float) -> None:
        def send(data: bytes) -> None:
            if not writer.is_closing():
                writer.write(data)

        while data := await reader.read(1 << 18):
            loop.call_later(late_s, send, data) if late_s else send(data)
        loop.call_later(late_s, writer.close)

    async def relay(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        there, back = await asyncio.open_connection("127.0.0.1", to_port)
        with suppress(ConnectionError):  # whoever was asked no more at the end
            await asyncio.gather(pump(reader, back, 0), pump(there, writer, AWAY_S))

    async def serve() -> None:
        async with await asyncio.start_server(relay, "127.0.0.1", port) as server:
            print("ready", flush=True)
            await server.serve_forever()

    loop.run_until_complete(serve())
    raise AssertionError("it serves until it is terminated")


def many(base: str, folder: Path, *in_flight: int) -> dict[str, Way]:
    """Ways to fetch all files of a folder, ours over so many connections."""
    names = sorted(path.name for path in folder.iterdir())
    urls = [f"{base}/{folder.name}/{name}" for name in names]
    remotes = tuple(
        RemoteFile(path=name, url=url, size_bytes=(folder / name).stat().st_size, validator=None)
        for name, url in zip(names, urls, strict=True)
    )

    def em_assets(connections: int, dest: Path) -> None:
        job = Job(
            source=Source(url=f"{base}/{folder.name}/"),
            index=0,
            prefix="",
            remotes=remotes,
            held={},
            files_dir=dest / "raw" / "bench" / "files",
            quarantine=dest / "quarantine",
            origin=PUBLIC_ORIGIN,
            patience=replace(PATIENCE, connections=connections),
            log=lambda line: None,
            keep=lambda rows: None,
        )
        assert len(files.fetch(job)) == len(names)

    def requests_one_by_one(dest: Path) -> None:
        import requests

        with requests.Session() as session:
            for name, url in zip(names, urls, strict=True):
                with session.get(url, stream=True) as answer, (dest / name).open("wb") as file:
                    for block in answer.iter_content(1 << 20):
                        file.write(block)

    def fsspec_batch(dest: Path) -> None:
        import fsspec

        fsspec.filesystem("http").get(urls, [str(dest / name) for name in names], batch_size=IN_FLIGHT)

    def curl(dest: Path) -> None:
        lines = "".join(f'url="{url}"\noutput="{dest / name}"\n' for name, url in zip(names, urls, strict=True))
        (dest / ".config").write_text(lines)
        command = ["curl", "-sS", "--no-progress-meter", "-Z", "--parallel-max", str(IN_FLIGHT)]
        subprocess.run([*command, "-K", str(dest / ".config")], check=True)

    return {
        "requests, one by one": requests_one_by_one,
        "fsspec, 16 in a batch": fsspec_batch,
        "curl -Z, 16": curl,
        **{f"em_assets, {connections}": functools.partial(em_assets, connections) for connections in in_flight},
    }


def large(base: str) -> dict[str, Way]:
    """Ways to fetch one large file."""
    url = f"{base}/large.bin"

    def em_assets(dest: Path) -> None:
        remote = RemoteFile(path="large.bin", url=url, size_bytes=LARGE_BYTES, validator=None)
        fetch_file(remote, dest / "large.bin", PUBLIC_ORIGIN)

    def requests_blocks(dest: Path) -> None:
        import requests

        with requests.get(url, stream=True) as answer, (dest / "large.bin").open("wb") as file:
            for block in answer.iter_content(1 << 20):
                file.write(block)

    def curl(dest: Path) -> None:
        subprocess.run(["curl", "-sS", "-o", str(dest / "large.bin"), url], check=True)

    def curl_and_digest(dest: Path) -> None:
        curl(dest)
        subprocess.run(["sha256sum", str(dest / "large.bin")], check=True, stdout=subprocess.DEVNULL)

    return {"curl": curl, "curl, then sha256sum": curl_and_digest, "requests": requests_blocks, "em_assets": em_assets}


def listed(base: str, n_objects: int) -> dict[str, Way]:
    """Ways to learn sizes and validators of a folder's files."""

    def em_assets(_: Path) -> None:
        assert len(observe([Source(url=f"{base}/objects/")], PUBLIC_ORIGIN).files) == n_objects

    def requests_heads(_: Path) -> None:
        import requests

        with requests.Session() as session:
            session.get(f"{base}/objects/")
            for number in range(n_objects):
                session.head(f"{base}/objects/{number:05}")

    def fsspec_info(_: Path) -> None:
        import fsspec

        files = fsspec.filesystem("http").ls(f"{base}/objects/", detail=False)
        fsspec.filesystem("http").sizes(files)

    return {"requests, one by one": requests_heads, "fsspec, sizes": fsspec_info, "em_assets": em_assets}


def cpu_s() -> float:
    """User and system seconds of this process and of its children that have ended."""
    each = [resource.getrusage(who) for who in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN)]
    return sum(usage.ru_utime + usage.ru_stime for usage in each)


def paired(title: str, ways: Mapping[str, Way], dest: Path, reps: int) -> dict[str, float]:
    """Median seconds of each way, run in turn after one turn that does not count; printed with their CPU seconds.

    Many files stay until all runs are done: a file system without a journal looks at the inodes that were
    given free in the last minute before it takes one, and that is what a run behind a removal would be measured by.
    """
    wall: dict[str, list[float]] = {name: [] for name in ways}
    cpu: dict[str, list[float]] = {name: [] for name in ways}
    for rep in range(reps + 1):
        for name, work in ways.items():
            into = dest / f"{rep} {name}"
            into.mkdir(parents=True)
            gc.collect()
            os.sync()  # nobody's files are written while another's clock runs
            began, cpu_began = time.perf_counter(), cpu_s()
            work(into)
            if rep:
                wall[name].append(time.perf_counter() - began)
                cpu[name].append(cpu_s() - cpu_began)
            if sum(1 for _ in into.iterdir()) == 1 and (into / "large.bin").exists():
                shutil.rmtree(into)
    print(f"\n{title}")
    medians = {name: statistics.median(times) for name, times in wall.items()}
    for name, median in medians.items():
        print(f"  {name:24} {median:8.3f} s {statistics.median(cpu[name]):8.3f} CPU s")
    return medians


def ratio(medians: Mapping[str, float], peer: str) -> float:
    """How many times as fast as a peer."""
    ours = next(median for name, median in medians.items() if name.startswith("em_assets"))
    return medians[peer] / ours


def main() -> int:
    """Measure, print, and judge."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--reps", type=int, default=5)
    parser.add_argument("--strict", action="store_true", help="exit 1 where a line does not hold")
    parser.add_argument("--folder", type=Path, help="where to put the files; /dev/shm leaves the disk out of it")
    parser.add_argument("--port", type=int, default=18766)
    parser.add_argument("--objects", type=int, default=N_OBJECTS)
    parser.add_argument("--only", choices=list(TITLES))
    parser.add_argument("--relay", type=int, nargs=2, help=argparse.SUPPRESS)
    given = parser.parse_args()
    if given.relay:
        return relay_for_ever(*given.relay)
    with tempfile.TemporaryDirectory(dir=given.folder) as folder:
        Path(folder).chmod(0o755)  # where root starts nginx, its worker is nobody
        root, dest = Path(folder) / "served", Path(folder) / "fetched"
        write_objects(root, given.objects)
        with served(root, given.port) as base, away(given.port + 1, given.port) as far:
            ways = {
                "away": (many(far, root / "objects", IN_FLIGHT_AWAY, IN_FLIGHT_POLITE), max(given.reps // 2, 1)),
                "slices": (many(far, root / "slices", IN_FLIGHT_POLITE), given.reps),
                "here": (many(base, root / "objects", IN_FLIGHT), given.reps),
                "large": (large(base), given.reps),
                "listed": (listed(far, given.objects), max(given.reps // 2, 1)),
            }
            found = [
                _judged(which, paired(TITLES[which], made, dest / which, reps))
                for which, (made, reps) in ways.items()
                if given.only in (None, which)
            ]
    print()
    lines = [line for judged in found for line in judged]
    for what, times, aim in lines:
        print(f"{what:38} {times:6.2f}   aim {aim:g}  {'reached' if times >= aim else 'NOT REACHED'}")
    return int(given.strict and any(times < aim for _, times, aim in lines))


def _judged(which: str, medians: Mapping[str, float]) -> list[tuple[str, float, float]]:
    """What is measured, how many times as fast as its peer, and the aim."""
    return [(f"{which}, × {peer}", ratio(medians, peer), aim) for peer, aim in AIMS[which].items()]


if __name__ == "__main__":
    sys.exit(main())
