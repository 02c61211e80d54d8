"""The same commit as the function `ingest` does, the way a Python Lambda would do it.

boto3 and Powertools: a resolver for the HTTP API, a structured logger, metrics, and per customer:
read the customer, read the hour of the log, put what is not there, count the hour again, update the
customer on condition of its version. It knows one metric and no lifecycle file, checks the write key
by its hash from a cache, and leaves out all that `ingest` does beyond that.

Spoken to by the benchmark: a line on standard input is an event of API Gateway; the line that comes
back is how many nanoseconds the handler took, and how many of a processor.
"""

import hashlib
import json
import os
import sys
import time
from collections import defaultdict
from concurrent.futures import ThreadPoolExecutor
from datetime import datetime, timezone

import boto3
from aws_lambda_powertools import Logger, Metrics
from aws_lambda_powertools.event_handler import APIGatewayHttpResolver, Response
from aws_lambda_powertools.metrics import MetricUnit
from boto3.dynamodb.conditions import Attr, Key
from botocore.config import Config
from botocore.exceptions import ClientError

PARALLEL_PUTS = 16
WRITE_KEYS = {hashlib.sha256(b"dev").hexdigest()}

tables = boto3.resource("dynamodb", config=Config(max_pool_connections=PARALLEL_PUTS))
events = tables.Table(os.environ["EVENTS_TABLE"])
customers = tables.Table(os.environ["CUSTOMERS_TABLE"])
pool = ThreadPoolExecutor(PARALLEL_PUTS)
app = APIGatewayHttpResolver()
logger = Logger(service="ingest", level="WARNING")
metrics = Metrics(namespace="peer", service="ingest")


@app.post("/v1/batch")
def batch() -> Response:
    body = app.current_event.json_body
    key = hashlib.sha256(body["writeKey"].encode()).hexdigest()
    if key not in WRITE_KEYS:
        return answer(401, {"code": "unknown_key", "message": "the write key is none"})
    by_customer = defaultdict(list)
    for call in body["batch"]:
        by_customer[call["context"]["groupId"]].append(call)
    accepted = sum(pool.map(lambda item: commit(*item), by_customer.items()))
    metrics.add_metric(name="Accepted", unit=MetricUnit.Count, value=accepted)
    taken = len(body["batch"])
    return answer(200, {"success": True, "accepted": accepted, "duplicates": taken - accepted})


def answer(status: int, body: dict) -> Response:
    return Response(status_code=status, content_type="application/json", body=json.dumps(body))


def commit(customer: str, calls: list[dict]) -> int:
    key = {"pk": f"peer-{customer}"}
    while True:
        before = customers.get_item(Key=key).get("Item", {"version": 0})
        hours = {hour_of(call) for call in calls}
        logged = {item["sk"] for hour in hours for item in read(key["pk"], hour)}
        new = [call for call in calls if sort_key(call) not in logged]
        for call in new:
            put(key["pk"], call)
        cells = dict(before.get("cells", {}))
        for hour in hours:
            mine = {sort_key(call) for call in new if hour_of(call) == hour}
            cells[hour] = len(mine | {sk for sk in logged if sk.startswith(hour)})
        try:
            customers.update_item(
                Key=key,
                UpdateExpression="SET version = :next, cells = :cells, seen = :seen",
                ConditionExpression=Attr("version").not_exists() | Attr("version").eq(before["version"]),
                ExpressionAttributeValues={
                    ":next": before["version"] + 1,
                    ":cells": cells,
                    ":seen": max(call["timestamp"] for call in calls),
                },
            )
            return len(new)
        except ClientError as error:
            if error.response["Error"]["Code"] != "ConditionalCheckFailedException":
                raise


def read(customer: str, hour: str) -> list[dict]:
    condition = Key("pk").eq(customer) & Key("sk").begins_with(hour)
    page = events.query(
        KeyConditionExpression=condition, ConsistentRead=True, ProjectionExpression="sk"
    )
    return page["Items"]


def put(customer: str, call: dict) -> None:
    item = {"pk": customer, "sk": sort_key(call), "body": json.dumps(call)}
    try:
        events.put_item(Item=item, ConditionExpression=Attr("pk").not_exists())
    except ClientError as error:
        if error.response["Error"]["Code"] != "ConditionalCheckFailedException":
            raise


def hour_of(call: dict) -> str:
    at = datetime.fromisoformat(call["timestamp"]).astimezone(timezone.utc)
    return at.strftime("%Y-%m-%dT%H")


def sort_key(call: dict) -> str:
    return f"{hour_of(call)}#{call['messageId']}"


@metrics.log_metrics
@logger.inject_lambda_context
def handler(event: dict, context: object) -> dict:
    return app.resolve(event, context)


class Context:
    function_name = memory_limit_in_mb = invoked_function_arn = aws_request_id = "peer"


def main() -> None:
    # What a function prints is its log.
    answers, sys.stdout = sys.stdout, open(os.devnull, "w")
    for line in sys.stdin:
        event = json.loads(line)
        begin, used = time.perf_counter_ns(), time.process_time_ns()
        reply = handler(event, Context())
        took = f"{time.perf_counter_ns() - begin} {time.process_time_ns() - used}"
        accepted = json.loads(reply["body"]).get("accepted")
        print(took if reply["statusCode"] == 200 and accepted else reply, file=answers, flush=True)


if __name__ == "__main__":
    main()
