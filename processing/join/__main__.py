"""Container entry point: pairs the images of the input `plan` with `answers`, into the output `predictions`."""

from __future__ import annotations

from common.arguments import ContainerParser, whole_number
from common.contract import processing_input, processing_output, run
from join.answers import Answers
from join.model import Model
from join.plan import read_plan
from join.predictions import write_predictions


def main() -> None:
    """Join, then print how many images were classified."""
    parser = ContainerParser(program="join", description=__doc__ or "")
    parser.add_argument("--top-k", type=whole_number(1, 100), default=5, help="classes that are listed of an image")
    arguments = parser.parse_args()
    plan = read_plan(processing_input("plan"))
    summary = write_predictions(
        plan,
        Answers.below(processing_input("answers"), plan),
        Model.read(processing_input("model"), processing_input("labels")),
        destination=processing_output("predictions"),
        top_k=arguments.top_k,
    )
    strays = summary["stray_answers"]
    for path in strays["first"]:
        print(f"problem: answer {path} belongs to no image", flush=True)
    if strays["count"] > len(strays["first"]):
        print(f"problem: {strays['count']} answers in all belong to no image", flush=True)
    print(f"Classified {summary['classified']} of {summary['images']} images", flush=True)


if __name__ == "__main__":
    run(main, failure_file="message")
