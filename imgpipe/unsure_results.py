"""What the classification was not sure enough of lately: results below their threshold, from the table."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import datetime, timezone
from itertools import islice
from typing import Any, Final

from imgpipe.errors_found import Found, Problem

# The status of such a result: functions/filter.
NOT_MET: Final = "THRESHOLD_CONFIDENCE_NOT_MET"
# A page is up to 1 MB of the table, some thousand results.
_MOST_PAGES: Final = 50
_MOST_LISTED: Final = 100


def unsure_results(dynamodb: Any, table: str, since: datetime, found: Found, *, region: str) -> Iterator[Problem]:
    """Yield the unsure results since then, at most _MOST_LISTED; what is left out becomes a note.

    The table has no index by time: it is scanned, and of a large table only a part is looked at.
    """
    pages = dynamodb.get_paginator("scan").paginate(
        TableName=table,
        FilterExpression="#status = :status AND classified_at >= :since",
        ProjectionExpression="id, s3_key, label, confidence, classified_at",
        ExpressionAttributeNames={"#status": "status"},
        ExpressionAttributeValues={
            ":status": {"S": NOT_MET},
            ":since": {"S": since.astimezone(timezone.utc).isoformat(timespec="seconds")},
        },
    )
    items: list[dict[str, Any]] = []
    for number, page in enumerate(islice(pages, _MOST_PAGES), start=1):
        items += page["Items"]
        if number == _MOST_PAGES and page.get("LastEvaluatedKey"):
            found.notes.append(f"table {table}: only its first {_MOST_PAGES} MB were looked at")
    if len(items) > _MOST_LISTED:
        found.notes.append(
            f"table {table}: {len(items)} results were not sure enough, the newest {_MOST_LISTED} are listed"
        )
    newest = sorted(items, key=lambda item: str(item["classified_at"]["S"]), reverse=True)
    return (_problem(item, table, region) for item in newest[:_MOST_LISTED])


def _problem(item: dict[str, Any], table: str, region: str) -> Problem:
    confidence = float(item["confidence"]["N"])
    key = f'{{"id": {{"S": "{item["id"]["S"]}"}}}}'
    return Problem(
        time=datetime.fromisoformat(item["classified_at"]["S"]),
        source="classification, for review",
        reason=f"{item['s3_key']['S']}: {item['label']['S']} with {confidence:.3f} is not sure enough",
        more=f"aws dynamodb get-item --region {region} --table-name {table} --key '{key}'",
    )
