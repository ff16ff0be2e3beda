"""Ours against im2rec.py: the same folder, interleaved rounds."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass, replace

from benchmarks import pictures
from benchmarks.bench import SHORT_SIDE, Bench, image_folder
from benchmarks.contestants import Contestant, Im2rec, Job
from benchmarks.quality import Quality, quality
from benchmarks.report import Figure, Result
from benchmarks.rounds import Entry, best_threads, entered, measure, ratio, timed, warm_up


@dataclass(frozen=True, kw_only=True)
class Target:
    """What ours must reach against a peer, as the peer's seconds by ours; None: nothing."""

    wall: float | None = None
    cpu: float | None = None


NO_TARGETS = (Target(), Target())
# For the installed OpenCV, then for the older one.
PHOTO_TARGETS = (Target(cpu=1.8), Target(wall=2.0, cpu=3.0))
LARGE_TARGETS = (Target(), Target(wall=8.5, cpu=8.5))
# For each number of images.
PASS_THROUGH_TARGETS = (Target(wall=6.0), Target(wall=5.0))
# Standard deviation of the noise: files of about 1.2 MB, as in good light; and of 3 MB, whose size is most of the work.
SLIGHT_NOISE, GRAIN = 1.0, 4.0


def photos(bench: Bench) -> Result:
    """Photographs of ImageNet's median size."""
    with image_folder(bench, pictures.photo_files(bench.base), bench.sizes.photos) as source:
        job = Job(source=source, files=bench.sizes.photos, resize=SHORT_SIDE, kind="photos")
        result = Result(workload="photos", what=f"JPEGs of 500x375, short side {SHORT_SIDE}, quality {job.quality}")
        _contest(bench, result, job, PHOTO_TARGETS)
    return result


def large(bench: Bench) -> Result:
    """Photographs of 12 megapixels, where shrinking inside the decoder counts."""
    result = Result(workload="large", what=f"JPEGs of 4000x3000, short side {SHORT_SIDE}, quality 95")
    for kind, noise, targets in (("photos", SLIGHT_NOISE, LARGE_TARGETS), ("grainy photos", GRAIN, NO_TARGETS)):
        files = pictures.large_files(bench.base, bench.sizes.large_distinct, noise=noise)
        with image_folder(bench, files, bench.sizes.large) as source:
            job = Job(source=source, files=bench.sizes.large, resize=SHORT_SIDE, kind=kind)
            _contest(bench, result, job, targets)
    return result


def pass_through(bench: Bench) -> Result:
    """The same photographs, kept as they are; OpenCV has no part in it, so the installed one will do."""
    result = Result(workload="pass-through", what="JPEGs of 500x375, not encoded anew")
    bench = replace(bench, peers=bench.peers[:1])
    for count, target in zip(bench.sizes.pass_through, PASS_THROUGH_TARGETS, strict=False):
        with image_folder(bench, pictures.photo_files(bench.base), count) as source:
            job = Job(source=source, files=count, resize=0, kind="photos", pass_through=True)
            peers = _contest(bench, result, job, [target])
        # The thread count that was best for few is taken for many.
        bench = replace(bench, peers=peers, try_threads=False)
    return result


def _contest(bench: Bench, result: Result, job: Job, targets: Sequence[Target]) -> list[Im2rec]:
    """Let ours and the peers pack the job, add to ``result`` what came of it; returns the peers as they ran."""
    peers = [_with_best_threads(bench, result, job, peer) if bench.try_threads else peer for peer in bench.peers]
    with entered(job, [bench.ours, *peers], bench.scratch) as entries:
        warm_up(entries)
        measure(entries, bench.rounds)
    result.entries += entries
    ours, *others = entries
    for entry, peer, target in zip(others, peers, targets, strict=False):
        result.figures += _against(ours, entry, f"im2rec.py on OpenCV {peer.opencv}", target)
    return peers


def _with_best_threads(bench: Bench, result: Result, job: Job, peer: Im2rec) -> Im2rec:
    chosen, tried = best_threads(job, peer, bench.scratch)
    costs = {threads: asdict(cost) for threads, cost in tried.items()}
    result.details.setdefault("threads_tried", []).append({"opencv": peer.opencv, "packed": job.what, "costs": costs})
    return chosen


def _against(ours: Entry, peer: Entry, name: str, target: Target) -> list[Figure]:
    of = f"{ours.job.what}, times {name}"
    return [
        Figure(name=f"by clock, {of}", value=ratio(peer, ours, "wall_seconds"), target=target.wall),
        Figure(name=f"by CPU, {of}", value=ratio(peer, ours, "cpu_seconds"), target=target.cpu),
        Figure(name=f"by clock until on disk, {of}", value=ratio(peer, ours, "on_disk_seconds")),
    ]


def picture_quality(bench: Bench) -> Result:
    """Closeness to Pillow's Lanczos scaling of the whole file."""
    result = Result(workload="quality", what="mean PSNR in dB against Pillow's Lanczos scaling of the whole file")
    _compare_quality(bench, result, "500x375", pictures.photo_files(bench.base))
    if bench.sizes.quality_large:
        _compare_quality(
            bench, result, "4000x3000", pictures.large_files(bench.base, bench.sizes.quality_large, noise=SLIGHT_NOISE)
        )
    return result


def _compare_quality(bench: Bench, result: Result, kind: str, files: Sequence[bytes]) -> None:
    measured = _qualities(bench, files)
    result.details[kind] = {name: vars(found) for name, found in measured.items()}
    result.figures += [Figure(name=f"{kind}, {name}", value=found.psnr) for name, found in measured.items()]
    ours, *peers = measured.values()
    best = max(peer.psnr for peer in peers)
    sizes = ours.bytes_per_record / peers[0].bytes_per_record
    result.figures += [
        Figure(name=f"{kind}, ours less the better peer", value=ours.psnr - best, target=0.0),
        Figure(name=f"{kind}, bytes of a record by the peer's", value=sizes),
    ]


def _qualities(bench: Bench, files: Sequence[bytes]) -> dict[str, Quality]:
    contestants: list[Contestant] = [bench.ours, *bench.peers]
    with image_folder(bench, files, len(files)) as source:
        job = Job(source=source, files=len(files), resize=SHORT_SIDE)
        with entered(job, contestants, bench.scratch) as entries:
            for entry in entries:
                timed(entry)
            return {entry.contestant.name: quality(entry.contestant.output(entry.folder), source) for entry in entries}
