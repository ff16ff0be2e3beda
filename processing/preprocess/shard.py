"""Container entry point: packs this instance's share of the processing input ``data`` into a pool of its own."""

from __future__ import annotations

from common.contract import instance, processing_input, processing_output, run
from preprocess.container_arguments import parse_arguments
from preprocess.pack import pack_shard


def main() -> None:
    """Pack the share, then say how large it was."""
    host, hosts = instance()
    count = pack_shard(processing_input("data"), processing_output("pool"), parse_arguments(), host=host, hosts=hosts)
    print(f"Instance {host} of {len(hosts)} tried {count} images", flush=True)


if __name__ == "__main__":
    run(main, failure_file="message")
