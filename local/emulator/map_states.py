"""What moto's distributed Map lacks: the whole listing of a prefix, an empty one, and the failures it tolerates."""

from __future__ import annotations

import re
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from typing import Any, Final

from moto.stepfunctions.parser.api import HistoryEventType, MapRunFailedEventDetails
from moto.stepfunctions.parser.asl.component.common.error_name.failure_event import FailureEvent, FailureEventException
from moto.stepfunctions.parser.asl.component.common.error_name.states_error_name import StatesErrorName
from moto.stepfunctions.parser.asl.component.common.error_name.states_error_name_type import StatesErrorNameType
from moto.stepfunctions.parser.asl.component.state.exec.state_map.item_reader.eval.resource_eval_s3 import (
    ResourceEvalS3,
)
from moto.stepfunctions.parser.asl.component.state.exec.state_map.iteration.distributed_iteration_component import (
    DistributedIterationComponent,
)
from moto.stepfunctions.parser.asl.eval.event.event_detail import EventDetails
from moto.stepfunctions.parser.asl.parse.asl_parser import AmazonStateLanguageParser

from local.emulator.replaced import replaced

_PERCENT: Final = 100
# moto's grammar takes fractions alone here.
_WHOLE_PERCENTAGE: Final = re.compile(r'("ToleratedFailurePercentage"\s*:\s*\d+)(?=\s*[,}])')


@contextmanager
def completed_maps() -> Iterator[None]:
    """While open, a Map over a prefix sees all of its objects and fails where more items fail than it tolerates."""
    run, parse = DistributedIterationComponent._map_run, AmazonStateLanguageParser.parse

    def parse_percentages(definition: str) -> Any:
        return parse(_WHOLE_PERCENTAGE.sub(r"\1.0", definition))

    def run_and_count(self: Any, env: Any, eval_input: Any) -> None:
        run(self, env, eval_input)
        _check_failures(env, eval_input)

    with ExitStack() as stack:
        stack.enter_context(replaced(ResourceEvalS3, _handle_list_objects_v2=staticmethod(_list_objects)))
        stack.enter_context(replaced(AmazonStateLanguageParser, parse=staticmethod(parse_percentages)))
        stack.enter_context(replaced(DistributedIterationComponent, _map_run=run_and_count))
        yield


def _list_objects(env: Any, resource_runtime_part: Any, state_credentials: Any) -> None:
    """Items as in "Iterating over S3 objects": Etag, Key, LastModified in seconds, Size, StorageClass.

    https://docs.aws.amazon.com/step-functions/latest/dg/input-output-itemreader.html
    """
    client = ResourceEvalS3._get_s3_client(
        resource_runtime_part=resource_runtime_part, state_credentials=state_credentials
    )
    pages = client.get_paginator("list_objects_v2").paginate(**env.stack.pop())
    env.stack.append([_item(listed) for page in pages for listed in page.get("Contents", [])])


def _item(listed: dict[str, Any]) -> dict[str, Any]:
    return {
        "Etag": listed["ETag"],
        "Key": listed["Key"],
        "LastModified": int(listed["LastModified"].timestamp()),
        "Size": listed["Size"],
        "StorageClass": listed.get("StorageClass", "STANDARD"),
    }


def _check_failures(env: Any, eval_input: Any) -> None:
    counter = eval_input.map_run_record.item_counter
    failed, total = counter.failed.get(), counter.total.get()
    count, percentage = eval_input.tolerated_failure_count, eval_input.tolerated_failure_percentage
    if not failed or failed <= count or (total and failed * _PERCENT / total <= percentage):
        return
    error = StatesErrorNameType.StatesExceedToleratedFailureThreshold
    cause = "The specified tolerated failure threshold was exceeded"
    raise FailureEventException(
        failure_event=FailureEvent(
            env=env,
            error_name=StatesErrorName(typ=error),
            event_type=HistoryEventType.MapRunFailed,
            event_details=EventDetails(
                mapRunFailedEventDetails=MapRunFailedEventDetails(error=error.to_name(), cause=cause)
            ),
        )
    )
