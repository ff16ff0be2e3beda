"""A seeded minute of fuzzing, what it starts from, and that the fuzzer sees what it is there for."""

import json
import random
from pathlib import Path

import hypothesis
import pytest

from fuzz import corpus, mutations, properties
from fuzz.run import SHARES, Total, fuzz, report, work
from fuzz.targets import Decoder

SEED = 20240607
MINUTE = 60
# Far below what a slow machine reaches in its share of a minute.
AT_LEAST = {"decoder": 1000, "readers": 100, "round trips": 50, "packer": 100}


@pytest.mark.slow
def test_a_seeded_minute_finds_nothing(tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    totals = fuzz(MINUTE, SEED, tmp_path, list(SHARES))
    code = report(totals, tmp_path, SEED)
    out, err = capfd.readouterr()
    assert code == 0, f"{out}\n{err}"
    assert "crashes 0, lost 0" in out
    assert {total.name: total.tried > AT_LEAST[total.name] for total in totals} == dict.fromkeys(SHARES, True), out


@pytest.mark.parametrize("number", range(len(corpus.seeds())), ids=[f"{s.kind}-{s.name}" for s in corpus.seeds()])
def test_every_undamaged_image_is_read_in_its_size(number: int) -> None:
    target = Decoder()
    decoded, _ = target.check(target.make(SEED, number), SEED, number)
    assert decoded == 1 or corpus.seeds()[number].size is None


@pytest.mark.parametrize("holds", properties.PROPERTIES)
def test_what_is_written_is_read_back(holds: properties.Property) -> None:
    hypothesis.seed(SEED)(holds)()


def test_crashes_hangs_and_errors_are_seen_and_do_not_end_the_run(
    tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    total = Total("failing")
    work(total, SEED, tmp_path, seconds=60, inputs=12)
    assert (total.crashes, total.wrong) == (2, 2)
    assert total.next_number > 10
    assert report([total], tmp_path, SEED) == 1
    out, err = capfd.readouterr()
    assert "crashes 4, lost 0" in out
    found = [json.loads(line) for line in (tmp_path / "findings.jsonl").read_text().splitlines()]
    assert [finding["number"] for finding in found] == [3, 5, 7, 9]
    assert [Path(finding["file"]).read_bytes() for finding in found] == [b"3", b"5", b"7", b"9"]
    assert [finding["cause"].split()[0] for finding in found] == ["SIGSEGV", "hang", "Wrong", "MemoryError"]
    assert f'make fuzz REPLAY="{found[2]["file"]}"' in err
    assert "in check" in found[1]["trace"]


def test_inputs_are_the_same_in_every_run_and_differ_from_the_seeds() -> None:
    first, second = Decoder(), Decoder()
    numbers = range(len(corpus.seeds()), len(corpus.seeds()) + 300)
    made = [first.make(SEED, number) for number in numbers]
    assert made == [second.make(SEED, number) for number in numbers]
    assert len(set(made) - {seed.data for seed in corpus.seeds()}) > 280


def test_pieces_are_the_whole_file_and_fields_lie_inside_it() -> None:
    for seed in corpus.seeds():
        assert b"".join(mutations.pieces(seed.data)) == seed.data
        assert mutations.repaired(seed.data) == seed.data
        offsets = [offset for offset, _, _ in mutations.fields(seed.data)]
        assert seed.kind == "other" or sum(offset < len(seed.data) for offset in offsets) > 5, seed.name


def test_damage_keeps_checksums_right_mostly() -> None:
    png = corpus.by_kind()["png"][0].data
    header = bytearray(png)
    header[17] ^= 1
    assert mutations.repaired(bytes(header)) != bytes(header)
    assert mutations.repaired(bytes(header))[:29] == bytes(header)[:29]
    assert len(mutations.mutate(random.Random(1), png, [png])) <= mutations.MAX_BYTES
