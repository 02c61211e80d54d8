"""The same nightly sweep as the function `evaluate` does, the way a Python Lambda would do it.

boto3 and Powertools: read the table page by page, decide each customer's stage by one rule, and write who
moves in a transaction with its journal entry, on condition of its version. It knows one rule and no
lifecycle file, reads no packed state, and leaves out all that `evaluate` does beyond that.
"""

import os
import time
from datetime import datetime, timedelta, timezone

import boto3
from aws_lambda_powertools import Logger, Metrics
from aws_lambda_powertools.metrics import MetricUnit

customers = os.environ["CUSTOMERS_TABLE"]
journal = os.environ["JOURNAL_TABLE"]
tables = boto3.client("dynamodb")
logger = Logger(service="evaluate", level="WARNING")
metrics = Metrics(namespace="peer", service="evaluate")


@metrics.log_metrics
@logger.inject_lambda_context
def handler(event: dict, context: object) -> dict:
    at = datetime.fromisoformat(event["scheduled_time"])
    visited = changed = 0
    for page in tables.get_paginator("scan").paginate(TableName=customers):
        for item in page["Items"]:
            visited += 1
            stage = decide(item, at)
            if stage != item.get("peer_stage", {}).get("S"):
                changed += move(item, stage, at)
    metrics.add_metric(name="Visited", unit=MetricUnit.Count, value=visited)
    return {"outcome": "done", "visited": visited, "changed": changed, "failed": 0}


def decide(item: dict, at: datetime) -> str:
    """Who was heard of in the last four weeks is active."""
    seen = item.get("seen", {}).get("S")
    heard = datetime.fromisoformat(seen) if seen else datetime.fromtimestamp(time.time(), timezone.utc)
    return "active" if at - heard < timedelta(days=28) else "quiet"


def move(item: dict, stage: str, at: datetime) -> int:
    before = item.get("peer_version", {"N": "0"})
    after = {"N": str(int(before["N"]) + 1)}
    entry = {"pk": item["pk"], "sk": {"N": str(int(at.timestamp()))}, "to": {"S": stage}}
    tables.transact_write_items(
        TransactItems=[
            {
                "Update": {
                    "TableName": customers,
                    "Key": {"pk": item["pk"]},
                    "UpdateExpression": "SET peer_stage = :stage, peer_version = :after",
                    "ConditionExpression": "attribute_not_exists(peer_version) OR peer_version = :before",
                    "ExpressionAttributeValues": {":stage": {"S": stage}, ":after": after, ":before": before},
                }
            },
            {"Put": {"TableName": journal, "Item": entry}},
        ]
    )
    return 1
