"""What must hold of our template and no linter asks: one function per rule.

A rule yields one line per breach, "<resource>: <what is wrong and what is wanted>".
"""

import json
import pathlib
import re
from fnmatch import fnmatch
from typing import Any, Callable, Iterator

from stack import Stack, as_list, is_ref, target, targets, text_of

Rule = Callable[[Stack], Iterator[str]]
RULES: list[Rule] = []
ROOT = pathlib.Path(__file__).resolve().parents[2]
UNITS = ("minute", "hour", "day")
SCHEDULED_TIME = "<aws.scheduler.scheduled-time>"
COMMON_VARIABLES = {
    "EVENTS_TABLE": "EventsTable",
    "CUSTOMERS_TABLE": "CustomersTable",
    "JOURNAL_TABLE": "JournalTable",
    "CONTROL_TABLE": "ControlTable",
    "LOG_LEVEL": "LogLevel",
    "TRUST_STORE": "TrustStore",
    "EVENT_RETENTION_DAYS": "EventRetentionDays",
}
# Actions that no single resource ARN covers: a stream has a name of its own, an object that of its day.
ROOTS = "${RootsBucket.Arn}/roots/*"
WILDCARD_RESOURCES = {("dynamodb:ListStreams", "${JournalTable.Arn}/stream/*"), ("s3:PutObject", ROOTS)}
# An HTTP API gives up on an integration after 30 seconds.
HTTP_TIMEOUT_SECONDS = 29
# What every route of /api wants: a token where there is an issuer, a signature where there is none.
GUARD = {"Fn::If": ["HasJwt", "JWT", "AWS_IAM"]}


def rule(function: Rule) -> Rule:
    RULES.append(function)
    return function


# Schedules and patterns ---------------------------------------------------------------------------


@rule
def schedule_expressions_are_valid(stack: Stack) -> Iterator[str]:
    """Nothing before the service itself parses these."""
    for kind in ("Scheduler::Schedule", "Events::Rule"):
        for name, properties in stack.of_type(kind):
            if "ScheduleExpression" in properties:
                for expression in stack.possible_values(properties["ScheduleExpression"]):
                    if fault := schedule_fault(expression):
                        yield f"{name}: {expression}: {fault}"


def schedule_fault(expression: str) -> str | None:
    if rate := re.fullmatch(r"rate\((\S+) (\S+)\)", expression):
        return rate_fault(*rate.groups())
    if cron := re.fullmatch(r"cron\((.*)\)", expression):
        return cron_fault(cron[1].split(" "))
    return "want rate(<n> <unit>) or cron(<six fields>)"


def rate_fault(count: str, unit: str) -> str | None:
    if not count.isdigit() or int(count) < 1:
        return "a rate is a whole number from 1"
    if unit.removesuffix("s") not in UNITS:
        return f"a rate's unit is one of {', '.join(UNITS)}"
    wanted = unit.removesuffix("s") + ("" if int(count) == 1 else "s")
    return None if unit == wanted else f"{count} wants the unit `{wanted}`"


def cron_fault(fields: list[str]) -> str | None:
    if len(fields) != 6 or not all(fields):
        return f"a cron has six fields, this has {len(fields)}"
    if (fields[2] == "?") == (fields[4] == "?"):
        return "one of day-of-month and day-of-week, and only one, is `?`"
    for label, field, low, high in zip(("minute", "hour"), fields, (0, 0), (59, 23)):
        if any(not low <= int(number) <= high for number in re.findall(r"\d+", field)):
            return f"{label} is outside {low}-{high}"
    return None


@rule
def schedules_say_what_to_run(stack: Stack) -> Iterator[str]:
    for name, properties in stack.of_type("Scheduler::Schedule"):
        yield from (f"{name}: {fault}" for fault in schedule_input_faults(properties))
        aim = properties["Target"]
        if "RetryPolicy" not in aim:
            yield f"{name}: no RetryPolicy: a run would be tried for a day"
        if not aim.get("DeadLetterConfig", {}).get("Arn"):
            yield f"{name}: no DeadLetterConfig: a run that cannot start would leave no trace"
        if "GroupName" not in properties:
            yield f"{name}: no GroupName: its name would clash with that of a second stack"
        if not is_ref(properties.get("ScheduleExpressionTimezone")):
            yield f"{name}: ScheduleExpressionTimezone is not the parameter"


def schedule_input_faults(properties: dict[str, Any]) -> Iterator[str]:
    try:
        message = json.loads(properties["Target"].get("Input", ""))
    except (TypeError, ValueError) as error:
        yield f"Input is not JSON: {error}"
        return
    if message.get("scheduled_time") != SCHEDULED_TIME:
        yield f"Input needs scheduled_time {SCHEDULED_TIME}: it is the run's now"
    if message.get("schedule") != properties.get("Name"):
        yield f"Input's schedule is {message.get('schedule')}, its Name {properties.get('Name')}"
    if message.get("sweep") not in ("due", "all", "learn", "overview"):
        yield f"Input's sweep is {message.get('sweep')}, want due, all, learn or overview"


@rule
def patterns_are_json(stack: Stack) -> Iterator[str]:
    """Filters of event sources are text; a rule's pattern or a topic's filter may be."""
    for name, properties in stack.of_type("Lambda::EventSourceMapping"):
        for item in properties.get("FilterCriteria", {}).get("Filters", []):
            yield from pattern_faults(name, item.get("Pattern"))
    for name, properties in stack.of_type("Events::Rule"):
        if "EventPattern" in properties:
            yield from pattern_faults(name, properties["EventPattern"])
    for name, properties in stack.of_type("SNS::Subscription"):
        if "FilterPolicy" in properties:
            yield from pattern_faults(name, properties["FilterPolicy"])


def pattern_faults(name: str, pattern: Any) -> Iterator[str]:
    if isinstance(pattern, str):
        try:
            pattern = json.loads(pattern)
        except ValueError as error:
            yield f"{name}: pattern is not JSON: {error}"
            return
    if not isinstance(pattern, dict) or not pattern:
        yield f"{name}: pattern is not an object with a field"
        return
    for field, value in pattern.items():
        if isinstance(value, dict):
            yield from pattern_faults(name, value)
        elif not isinstance(value, list) or not value:
            yield f"{name}: pattern field {field} is not a list of what it may be"


@rule
def bus_patterns_take_every_event_once(stack: Stack) -> Iterator[str]:
    """A prefix and its negation; anything else on the bus would be lost or taken twice."""
    patterns = [properties["EventPattern"] for _, properties in stack.of_type("Events::Rule")]
    tests = [as_list(pattern.get("source"))[0] for pattern in patterns if isinstance(pattern, dict)]
    prefixes = [test for test in tests if isinstance(test, dict) and "prefix" in test]
    if not prefixes or sorted(map(str, tests)) != sorted(map(str, [prefixes[0], {"anything-but": prefixes[0]}])):
        yield "EventBus: its rules are not one source prefix and anything but that prefix"


# Queues and event sources -------------------------------------------------------------------------


def dead_letter_queues(stack: Stack) -> set[str]:
    """Every queue that takes what something else gave up on."""
    found = {target(properties.get("RedrivePolicy", {}).get("deadLetterTargetArn")) for _, properties in stack.of_type("SQS::Queue")}
    for kind in ("Lambda::EventInvokeConfig", "Lambda::EventSourceMapping"):
        found |= {target(failure_destination(properties)) for _, properties in stack.of_type(kind)}
    for _, properties in stack.of_type("Scheduler::Schedule"):
        found.add(target(properties["Target"].get("DeadLetterConfig", {}).get("Arn")))
    for _, properties in stack.of_type("Events::Rule"):
        found |= {target(aim.get("DeadLetterConfig", {}).get("Arn")) for aim in properties.get("Targets", [])}
    return {name for name in found if name}


def failure_destination(properties: dict[str, Any]) -> Any:
    return properties.get("DestinationConfig", {}).get("OnFailure", {}).get("Destination")


@rule
def every_queue_has_dead_letters_or_is_one(stack: Stack) -> Iterator[str]:
    last_stops = dead_letter_queues(stack)
    for name, properties in stack.of_type("SQS::Queue"):
        redrive = properties.get("RedrivePolicy")
        if redrive is None and name not in last_stops:
            yield f"{name}: has no dead-letter queue and is none"
        if properties.get("SqsManagedSseEnabled") is not True and "KmsMasterKeyId" not in properties:
            yield f"{name}: is not encrypted"
        if redrive is not None:
            yield from redrive_faults(stack, name, properties)


def redrive_faults(stack: Stack, name: str, properties: dict[str, Any]) -> Iterator[str]:
    redrive = properties["RedrivePolicy"]
    count = redrive.get("maxReceiveCount")
    if not isinstance(count, int) or count < 1:
        yield f"{name}: maxReceiveCount is {count}, want 1 or more"
    last_stop = target(redrive.get("deadLetterTargetArn"))
    if last_stop == name:
        yield f"{name}: is its own dead-letter queue"
    kept = properties.get("MessageRetentionPeriod", 345600)
    if stack.properties(last_stop).get("MessageRetentionPeriod", 345600) <= kept:
        yield f"{name}: its dead letters in {last_stop} expire no later than its own messages"


@rule
def visibility_timeout_is_six_times_the_function(stack: Stack) -> Iterator[str]:
    for _, mapping in stack.of_type("Lambda::EventSourceMapping"):
        queue = target(mapping.get("EventSourceArn"))
        if stack.resources.get(queue or "", {}).get("Type") != "AWS::SQS::Queue":
            continue
        function = target(mapping["FunctionName"])
        wanted = 6 * stack.properties(function).get("Timeout", 3) + mapping.get("MaximumBatchingWindowInSeconds", 0)
        actual = stack.properties(queue).get("VisibilityTimeout", 30)
        if actual < wanted:
            yield f"{queue}: VisibilityTimeout is {actual} s, {function} wants {wanted} s or more"


@rule
def event_sources_report_and_give_up(stack: Stack) -> Iterator[str]:
    """One bad record must neither fail its neighbours nor block its shard for ever."""
    for name, mapping in stack.of_type("Lambda::EventSourceMapping"):
        if "ReportBatchItemFailures" not in mapping.get("FunctionResponseTypes", []):
            yield f"{name}: no ReportBatchItemFailures: one bad record fails the batch"
        source = stack.resources.get(target(mapping.get("EventSourceArn")) or "", {}).get("Type")
        if source == "AWS::SQS::Queue":
            if mapping.get("BatchSize", 10) > 10 and not mapping.get("MaximumBatchingWindowInSeconds"):
                yield f"{name}: a batch over 10 needs a batching window of 1 s or more"
        elif source == "AWS::DynamoDB::Table":
            yield from (f"{name}: {fault}" for fault in stream_faults(mapping))
        else:
            yield f"{name}: its source is no queue and no table of this template"


def stream_faults(mapping: dict[str, Any]) -> Iterator[str]:
    if mapping.get("BisectBatchOnFunctionError") is not True:
        yield "no BisectBatchOnFunctionError: a bad record drags its batch along"
    if mapping.get("MaximumRetryAttempts", -1) < 0:
        yield "no MaximumRetryAttempts: a bad record blocks its shard for a day"
    if not failure_destination(mapping):
        yield "no OnFailure destination: what is given up leaves no trace"
    if mapping.get("StartingPosition") != "TRIM_HORIZON":
        yield "StartingPosition is not TRIM_HORIZON: entries before the first poll are lost"


# Functions ----------------------------------------------------------------------------------------


@rule
def functions_are_complete(stack: Stack) -> Iterator[str]:
    for name, properties in stack.of_type("Lambda::Function"):
        for key in ("MemorySize", "Timeout", "Description"):
            if key not in properties:
                yield f"{name}: no {key}"
        log_group = target(properties.get("LoggingConfig", {}).get("LogGroup"))
        if "RetentionInDays" not in stack.properties(log_group):
            yield f"{name}: no log group of this template with a retention"
        if properties.get("LoggingConfig", {}).get("ApplicationLogLevel") != "TRACE":
            yield f"{name}: ApplicationLogLevel is not TRACE: Lambda would drop metric lines"
        if target(properties.get("Role")) not in stack.resources or "Role" not in stack.source["Resources"][name]["Properties"]:
            yield f"{name}: no role of its own; SAM would add managed policies"


@rule
def functions_are_built_from_their_folder(stack: Stack) -> Iterator[str]:
    for name, resource in stack.source["Resources"].items():
        if resource["Type"] != "AWS::Serverless::Function":
            continue
        folder = name.removesuffix("Function").lower()
        metadata = resource.get("Metadata", {})
        if metadata.get("BuildMethod") != "rust-cargolambda":
            yield f"{name}: BuildMethod is not rust-cargolambda"
        if metadata.get("BuildProperties", {}).get("Binary") != folder:
            yield f"{name}: Binary is not {folder}"
        if resource["Properties"].get("CodeUri") != f"functions/{folder}/":
            yield f"{name}: CodeUri is not functions/{folder}/"
        elif not (ROOT / "functions" / folder / "Cargo.toml").is_file():
            yield f"{name}: functions/{folder}/ holds no package"


@rule
def every_folder_of_functions_is_deployed(stack: Stack) -> Iterator[str]:
    deployed = {resource["Properties"].get("CodeUri") for resource in stack.source["Resources"].values() if resource["Type"] == "AWS::Serverless::Function"}
    for manifest in sorted(ROOT.glob("functions/*/Cargo.toml")):
        if f"functions/{manifest.parent.name}/" not in deployed:
            yield f"functions/{manifest.parent.name}/: no function of the template deploys it"


@rule
def variables_are_set_and_resolve(stack: Stack) -> Iterator[str]:
    for name, properties in stack.of_type("Lambda::Function"):
        variables = properties.get("Environment", {}).get("Variables", {})
        for key, value in variables.items():
            for missing in (to for to in targets(value) if not is_known(stack, to)):
                yield f"{name}: {key} refers to {missing}, which does not exist"
        for key, wanted in COMMON_VARIABLES.items():
            if target(variables.get(key)) != wanted:
                yield f"{name}: {key} is not {wanted}"


def is_known(stack: Stack, name: str) -> bool:
    return name in stack.resources or name in stack.parameters or name.startswith("AWS::")


@rule
def asynchronous_failures_are_kept(stack: Stack) -> Iterator[str]:
    """The scheduler and the bus only hand over: that the function then failed, they never learn."""
    callees = {target(properties["Target"]["Arn"]) for _, properties in stack.of_type("Scheduler::Schedule")}
    for name, properties in stack.of_type("Events::Rule"):
        for aim in properties.get("Targets", []):
            callees.add(target(aim["Arn"]))
            if "RetryPolicy" not in aim or "DeadLetterConfig" not in aim:
                yield f"{name}: its target has no RetryPolicy or no DeadLetterConfig"
    kept = {target(properties["FunctionName"]) for _, properties in stack.of_type("Lambda::EventInvokeConfig") if failure_destination(properties)}
    for name in sorted(callees - kept - {None}):
        yield f"{name}: is invoked asynchronously and has no on-failure destination"


# Permissions --------------------------------------------------------------------------------------


def statements(stack: Stack, role: str | None) -> Iterator[dict[str, Any]]:
    for policy in stack.properties(role).get("Policies", []):
        yield from as_list(policy["PolicyDocument"]["Statement"])
    for _, policy in stack.of_type("IAM::Policy"):
        if role is not None and role in map(target, policy.get("Roles", [])):
            yield from as_list(policy["PolicyDocument"]["Statement"])


def is_granted(stack: Stack, role: str | None, action: str, resource: Any) -> bool:
    wanted = text_of(resource)
    return any(
        action in as_list(statement["Action"]) and wanted in map(text_of, as_list(statement["Resource"]))
        for statement in statements(stack, role)
    )


@rule
def policies_name_actions_and_resources(stack: Stack) -> Iterator[str]:
    """A key's own policy is not asked: its resource is always `*`, the key."""
    for name, properties in stack.of_type("IAM::Role"):
        if properties.get("ManagedPolicyArns"):
            yield f"{name}: has a managed policy; name the actions instead"
        for statement in statements(stack, name):
            yield from (f"{name}: {fault}" for fault in statement_faults(stack, statement))
    for kind in ("SQS::QueuePolicy", "SNS::TopicPolicy", "IAM::Policy", "IAM::ManagedPolicy"):
        for name, properties in stack.of_type(kind):
            for statement in as_list(properties["PolicyDocument"]["Statement"]):
                yield from (f"{name}: {fault}" for fault in statement_faults(stack, statement))
                if statement.get("Principal") and "Condition" not in statement:
                    yield f"{name}: {statement.get('Sid')} has no Condition on who sends"


def statement_faults(stack: Stack, statement: dict[str, Any]) -> Iterator[str]:
    label = statement.get("Sid") or "a statement without Sid"
    if "Sid" not in statement:
        yield "a statement has no Sid"
    if "NotAction" in statement or "NotResource" in statement:
        yield f"{label} says what is not meant instead of what is"
    actions = as_list(statement.get("Action", []))
    resources = [text_of(resource) for resource in as_list(statement.get("Resource", []))]
    for action in actions:
        if "*" in action:
            yield f"{label} has the wildcard action {action}"
    for resource in resources:
        if "*" in resource and any((action, resource) not in WILDCARD_RESOURCES for action in actions):
            yield f"{label} has the wildcard resource {resource}"
    tables = [name for name in targets(statement.get("Resource")) if stack.resources.get(name, {}).get("Type") == "AWS::DynamoDB::Table"]
    if len(tables) > 1:
        yield f"{label} covers {len(tables)} tables, want one statement each"


@rule
def roles_may_do_what_the_wiring_needs(stack: Stack) -> Iterator[str]:
    """Local stand-ins for AWS enforce no permissions, so what the template itself implies is checked here."""
    for name, role, action, resource in implied_permissions(stack):
        if not is_granted(stack, role, action, resource):
            yield f"{name}: {role} lacks {action} on {text_of(resource)}"


def implied_permissions(stack: Stack) -> Iterator[tuple[str, str | None, str, Any]]:
    for name, function in stack.of_type("Lambda::Function"):
        role = target(function.get("Role"))
        variables = function.get("Environment", {}).get("Variables", {})
        log_group = target(function.get("LoggingConfig", {}).get("LogGroup"))
        for action in ("logs:CreateLogStream", "logs:PutLogEvents"):
            yield name, role, action, {"Fn::GetAtt": [log_group or "", "Arn"]}
        if "SWEEP_QUEUE_URL" in variables:
            yield name, role, "sqs:SendMessage", {"Fn::GetAtt": [target(variables["SWEEP_QUEUE_URL"]) or "", "Arn"]}
        if "ROOTS_BUCKET" in variables:
            yield name, role, "s3:PutObject", {"Fn::Sub": ROOTS}
        for topic in targets(variables.get("TOPICS")):
            yield name, role, "sns:Publish", {"Ref": topic}
            for action in ("kms:Decrypt", "kms:GenerateDataKey"):
                yield name, role, action, {"Fn::GetAtt": [target(stack.properties(topic).get("KmsMasterKeyId")) or "", "Arn"]}
    for kind in ("Lambda::EventInvokeConfig", "Lambda::EventSourceMapping"):
        for name, properties in stack.of_type(kind):
            role = target(stack.properties(target(properties["FunctionName"])).get("Role"))
            if failure_destination(properties):
                yield name, role, "sqs:SendMessage", failure_destination(properties)
            if kind == "Lambda::EventSourceMapping":
                source = properties["EventSourceArn"]
                for action in read_actions(stack.resources.get(target(source) or "", {}).get("Type")):
                    yield name, role, action, source
    for name, properties in stack.of_type("Scheduler::Schedule"):
        aim = properties["Target"]
        yield name, target(aim["RoleArn"]), "lambda:InvokeFunction", aim["Arn"]
        yield name, target(aim["RoleArn"]), "sqs:SendMessage", aim.get("DeadLetterConfig", {}).get("Arn")


def read_actions(source: str | None) -> tuple[str, ...]:
    if source == "AWS::SQS::Queue":
        return "sqs:ReceiveMessage", "sqs:DeleteMessage", "sqs:GetQueueAttributes"
    return "dynamodb:DescribeStream", "dynamodb:GetRecords", "dynamodb:GetShardIterator"


def function_integrations(stack: Stack) -> Iterator[tuple[str, dict[str, Any]]]:
    """Those that invoke a function; the others call a service themselves."""
    for name, properties in stack.of_type("ApiGatewayV2::Integration"):
        if "IntegrationSubtype" not in properties:
            yield name, properties


@rule
def function_urls_are_guarded(stack: Stack) -> Iterator[str]:
    """Only ingest looks at who sends by itself."""
    for name, properties in stack.of_type("Lambda::Url"):
        wanted = "NONE" if target(properties["TargetFunctionArn"]) == "IngestFunction" else "AWS_IAM"
        if properties.get("AuthType") != wanted:
            yield f"{name}: AuthType is {properties.get('AuthType')}, want {wanted}"


@rule
def the_gateway_may_send_what_it_queues(stack: Stack) -> Iterator[str]:
    """And it hands on what ingest needs to judge the sender by."""
    for name, properties in stack.of_type("ApiGatewayV2::Integration"):
        if properties.get("IntegrationSubtype") != "SQS-SendMessage":
            continue
        parameters = properties.get("RequestParameters", {})
        queue, role = target(parameters.get("QueueUrl")), target(properties.get("CredentialsArn"))
        if not is_granted(stack, role, "sqs:SendMessage", {"Fn::GetAtt": [queue or "", "Arn"]}):
            yield f"{name}: {role} lacks sqs:SendMessage on {queue}"
        if parameters.get("MessageBody") != "$request.body":
            yield f"{name}: its message is not the body of the request"
        try:
            attributes = json.loads(text_of(parameters.get("MessageAttributes")))
        except ValueError as error:
            yield f"{name}: MessageAttributes is not JSON: {error}"
            continue
        values = {key: value.get("StringValue") for key, value in attributes.items()}
        if values != {"path": "${request.path}", "authorization": "${request.header.authorization}"}:
            yield f"{name}: MessageAttributes is not the path and the credentials of the request"


def may_invoke(stack: Stack, function: str | None, method: str, path: str) -> bool:
    """Whether a permission covers a route: its source ends in stage, method and path."""
    for _, properties in stack.of_type("Lambda::Permission"):
        if target(properties["FunctionName"]) != function:
            continue
        parts = text_of(properties.get("SourceArn")).split("}/")[-1].split("/", 2)
        if len(parts) == 3 and parts[1] in ("*", method) and fnmatch(path, "/" + parts[2]):
            return True
    return False


@rule
def callers_may_call(stack: Stack) -> Iterator[str]:
    """A function's own policy must admit the gateway and each rule, or every call is refused."""
    admitted = {(target(properties["FunctionName"]), properties["Principal"], name) for _, properties in stack.of_type("Lambda::Permission") for name in targets(properties.get("SourceArn"))}
    for name, properties in function_integrations(stack):
        function = target(properties["IntegrationUri"])
        if (function, "apigateway.amazonaws.com", target(properties["ApiId"])) not in admitted:
            yield f"{name}: the gateway may not invoke {function}"
        for route, settings in stack.of_type("ApiGatewayV2::Route"):
            method, path = settings["RouteKey"].split(" ")
            if name in targets(settings["Target"]) and not may_invoke(stack, function, method, path):
                yield f"{route}: the gateway may not invoke {function} for {settings['RouteKey']}"
    for name, properties in stack.of_type("Events::Rule"):
        for aim in properties.get("Targets", []):
            if (target(aim["Arn"]), "events.amazonaws.com", name) not in admitted:
                yield f"{name}: the rule may not invoke {target(aim['Arn'])}"
    for name, properties in stack.of_type("Lambda::Permission"):
        is_url = "FunctionUrlAuthType" in properties or properties.get("InvokedViaFunctionUrl") is True
        if "SourceArn" not in properties and not is_url:
            yield f"{name}: no SourceArn: anyone's gateway or rule could invoke the function"


# Tables, topics, API ------------------------------------------------------------------------------


@rule
def tables_are_protected(stack: Stack) -> Iterator[str]:
    for name, properties in stack.of_type("DynamoDB::Table"):
        if properties.get("SSESpecification", {}).get("SSEEnabled") is not True:
            yield f"{name}: is not encrypted"
        if properties.get("PointInTimeRecoverySpecification", {}).get("PointInTimeRecoveryEnabled") is not True:
            yield f"{name}: has no point-in-time recovery"
        if properties.get("BillingMode") != "PAY_PER_REQUEST":
            yield f"{name}: is not PAY_PER_REQUEST"
        for policy in ("DeletionPolicy", "UpdateReplacePolicy"):
            if stack.resources[name].get(policy) != "Retain":
                yield f"{name}: {policy} is not Retain"
        if properties.get("DeletionProtectionEnabled") is not True:
            yield f"{name}: has no deletion protection"


@rule
def buckets_are_locked(stack: Stack) -> Iterator[str]:
    """What is in a bucket of ours is there to be compared with: nobody may change, delete or publish it."""
    for name, properties in stack.of_type("S3::Bucket"):
        lock = properties.get("ObjectLockConfiguration", {}).get("Rule", {}).get("DefaultRetention", {})
        if properties.get("ObjectLockEnabled") is not True or not {"Mode", "Days"} <= set(lock):
            yield f"{name}: has no Object Lock with a default retention"
        if properties.get("VersioningConfiguration", {}).get("Status") != "Enabled":
            yield f"{name}: has no versions"
        if "BucketEncryption" not in properties:
            yield f"{name}: does not say how it is encrypted"
        shut = properties.get("PublicAccessBlockConfiguration", {})
        if [shut.get(key) for key in ("BlockPublicAcls", "BlockPublicPolicy", "IgnorePublicAcls", "RestrictPublicBuckets")] != [True] * 4:
            yield f"{name}: does not block public access"
        for policy in ("DeletionPolicy", "UpdateReplacePolicy"):
            if stack.resources[name].get(policy) != "Retain":
                yield f"{name}: {policy} is not Retain"
    for name, role in stack.of_type("IAM::Role"):
        for statement in statements(stack, name):
            for action in as_list(statement.get("Action", [])):
                if action.startswith("s3:") and action != "s3:PutObject":
                    yield f"{name}: {action} is more than to put a root"


@rule
def tables_are_literal(stack: Stack) -> Iterator[str]:
    """The tests and the local server read the definitions without CloudFormation's functions."""
    for name, properties in stack.of_type("DynamoDB::Table"):
        for key in ("AttributeDefinitions", "KeySchema", "GlobalSecondaryIndexes", "StreamSpecification", "TimeToLiveSpecification"):
            if "Fn::" in json.dumps(properties.get(key)) or targets(properties.get(key)):
                yield f"{name}: {key} is computed, want it written out"


@rule
def topics_are_encrypted_and_reachable(stack: Stack) -> Iterator[str]:
    """CloudWatch may not use the key alias/aws/sns: an alarm to such a topic reaches nobody."""
    for name, properties in stack.of_type("SNS::Topic"):
        key = target(properties.get("KmsMasterKeyId"))
        if stack.resources.get(key or "", {}).get("Type") != "AWS::KMS::Key":
            yield f"{name}: is not encrypted with a key of this template, so alarms could not reach it"
        elif "cloudwatch.amazonaws.com" not in json.dumps(stack.properties(key).get("KeyPolicy")):
            yield f"{name}: its key {key} does not admit cloudwatch.amazonaws.com"


@rule
def routes_are_guarded(stack: Stack) -> Iterator[str]:
    for name, properties in stack.of_type("ApiGatewayV2::Route"):
        path = properties["RouteKey"].split(" ")[-1]
        wanted = "NONE" if path.startswith("/v1/") else GUARD if path.startswith("/api/") else "JWT"
        if properties.get("AuthorizationType") != wanted:
            yield f"{name}: AuthorizationType of {path} is {properties.get('AuthorizationType')}, want {wanted}"
        if wanted == "JWT" and stack.resources.get(target(properties.get("AuthorizerId")) or "", {}).get("Type") != "AWS::ApiGatewayV2::Authorizer":
            yield f"{name}: no authorizer of this template looks at the token"
    for name, properties in function_integrations(stack):
        if properties.get("PayloadFormatVersion") != "2.0":
            yield f"{name}: PayloadFormatVersion is not \"2.0\""
        function = target(properties["IntegrationUri"])
        if stack.properties(function).get("Timeout", 3) > HTTP_TIMEOUT_SECONDS:
            yield f"{function}: Timeout is over {HTTP_TIMEOUT_SECONDS} s, the gateway gives up at 30"
    for name, properties in stack.of_type("ApiGatewayV2::Stage"):
        if "ThrottlingRateLimit" not in properties.get("DefaultRouteSettings", {}):
            yield f"{name}: is not throttled"
        yield from access_log_faults(name, properties.get("AccessLogSettings", {}))


def access_log_faults(name: str, settings: dict[str, Any]) -> Iterator[str]:
    try:
        line = json.loads(settings.get("Format", ""))
    except ValueError as error:
        yield f"{name}: access log line is not JSON: {error}"
        return
    for personal in ("$context.path", "$context.identity.sourceIp", "$context.http.path"):
        if personal in line.values():
            yield f"{name}: access log line holds {personal}, which may be personal data"


@rule
def parameters_are_safe(stack: Stack) -> Iterator[str]:
    for name, parameter in stack.parameters.items():
        if "Default" not in parameter or "Description" not in parameter:
            yield f"{name}: no Default or no Description"
        if not {"AllowedValues", "AllowedPattern", "MinValue"} & set(parameter):
            yield f"{name}: takes anything; want AllowedValues, AllowedPattern or MinValue"
        pattern = parameter.get("AllowedPattern")
        if pattern and not re.search(pattern, parameter["Default"]):
            yield f"{name}: its Default does not match its AllowedPattern"


@rule
def names_are_not_fixed(stack: Stack) -> Iterator[str]:
    """A second stack in the account must not clash with this one."""
    keys = ("TableName", "QueueName", "TopicName", "FunctionName", "RoleName", "AlarmName", "LogGroupName", "DashboardName")
    for name, resource in stack.resources.items():
        for key in keys:
            if isinstance(resource.get("Properties", {}).get(key), str):
                yield f"{name}: {key} is fixed"


# Alarms -------------------------------------------------------------------------------------------


def alarmed(stack: Stack, metric: str) -> set[str]:
    """What the alarms on a metric look at."""
    found: set[str] = set()
    for _, properties in stack.of_type("CloudWatch::Alarm"):
        if properties.get("MetricName") == metric:
            found |= {name for dimension in properties.get("Dimensions", []) for name in targets(dimension["Value"])}
    return found


@rule
def what_can_fail_has_an_alarm(stack: Stack) -> Iterator[str]:
    for metric in ("Errors", "Throttles"):
        for name, _ in stack.of_type("Lambda::Function"):
            if name not in alarmed(stack, metric):
                yield f"{name}: no alarm on {metric}"
    for name in sorted(dead_letter_queues(stack) - alarmed(stack, "ApproximateNumberOfMessagesVisible")):
        yield f"{name}: takes dead letters and has no alarm"
    for name, mapping in stack.of_type("Lambda::EventSourceMapping"):
        queue = target(mapping.get("EventSourceArn")) or ""
        if queue.endswith("Tickets") and queue not in alarmed(stack, "ApproximateAgeOfOldestMessage"):
            yield f"{queue}: no alarm on tickets that wait: a sweep may not complete"
        if "StartingPosition" in mapping and target(mapping["FunctionName"]) not in alarmed(stack, "IteratorAge"):
            yield f"{name}: no alarm on IteratorAge"
    for name, _ in stack.of_type("ApiGatewayV2::Api"):
        if name not in alarmed(stack, "5xx"):
            yield f"{name}: no alarm on 5xx"


@rule
def alarms_reach_someone(stack: Stack) -> Iterator[str]:
    for name, properties in stack.of_type("CloudWatch::Alarm"):
        if targets(properties.get("AlarmActions")) != ["UrgentTopic"]:
            yield f"{name}: AlarmActions is not the urgent topic"
        if "TreatMissingData" not in properties:
            yield f"{name}: TreatMissingData is not said"
        if not properties.get("AlarmDescription"):
            yield f"{name}: no AlarmDescription for the person it wakes"


@rule
def dashboards_are_json(stack: Stack) -> Iterator[str]:
    for name, properties in stack.of_type("CloudWatch::Dashboard"):
        try:
            json.loads(text_of(properties["DashboardBody"]))
        except ValueError as error:
            yield f"{name}: body is not JSON: {error}"
        for missing in (to for to in targets(properties["DashboardBody"]) if not is_known(stack, to)):
            yield f"{name}: shows {missing}, which does not exist"
