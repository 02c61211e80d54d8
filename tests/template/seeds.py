"""Mistakes that people make in this template, and the words with which each must be caught.

A seed is an edit of the file's text: after `anchor`, the first `old` becomes `new`. A seed whose
text is no longer found fails too, so that a changed template cannot leave it proving nothing.
"""

from typing import Callable, Iterator, NamedTuple

from check import lint_problems, sam_problems
from rules import RULES
from stack import NotTranslatable, Stack


def by_rules(text: str) -> list[str]:
    try:
        stack = Stack(text)
    except NotTranslatable as error:
        return [str(error)]
    return [problem for rule in RULES for problem in rule(stack)]


def by_lint(text: str) -> list[str]:
    return lint_problems(Stack(text))


class Seed(NamedTuple):
    name: str
    anchor: str
    old: str
    new: str
    caught: str
    layer: Callable[[str], list[str]] = by_rules


SEEDS = [
    Seed("rate in the plural of one", "  DueRate:", "- rate(1 minute)", "- rate(1 minutes)", "1 wants the unit `minute`"),
    Seed("rate in the singular of five", "  DueRate:", "Default: rate(5 minutes)", "Default: rate(5 minute)", "5 wants the unit `minutes`"),
    Seed("rate of nothing", "  DueRate:", "- rate(1 minute)", "- rate(0 minutes)", "a whole number from 1"),
    Seed("cron of five fields", "  ScoreCron:", "cron(30 2 * * ? *)", "cron(30 2 * * ?)", "six fields, this has 5"),
    Seed("cron with two open days", "  ScoreCron:", "cron(30 2 * * ? *)", "cron(30 2 * * * *)", "is `?`"),
    Seed("cron at hour 25", "  ScoreCron:", "cron(30 2 * * ? *)", "cron(30 25 * * ? *)", "hour is outside 0-23"),
    Seed("schedule input that is not JSON", "            Name: score-nightly", '"sweep":"all"}', '"sweep":"all"', "Input is not JSON"),
    Seed("schedule without its time", "            Name: score-nightly", "<aws.scheduler.scheduled-time>", "now", "needs scheduled_time"),
    Seed("schedule copied and not renamed", "            Name: score-nightly", '"schedule":"score-nightly"', '"schedule":"comply-nightly"', "Input's schedule is comply-nightly"),
    Seed("schedule without dead letters", "            Name: score-nightly", "            DeadLetterConfig: { Arn: !GetAtt FailedRuns.Arn }\n", "", "no DeadLetterConfig"),
    Seed("schedule outside the group", "            Name: score-nightly", "            GroupName: !Ref Schedules\n", "", "no GroupName"),
    Seed("filter that is not JSON", "            BatchSize: 10\n", "            FunctionResponseTypes", "            FilterCriteria: { Filters: [{ Pattern: '{body: x}' }] }\n            FunctionResponseTypes", "pattern is not JSON"),
    Seed("pattern with a bare string", "  LifecycleEventsRule:", "source: [{ prefix: lifecycle. }]", "source: lifecycle.", "is not a list"),
    Seed("patterns that overlap", "  ForeignEventsRule:", "[{ anything-but: { prefix: lifecycle. } }]", "[{ prefix: '' }]", "anything but that prefix"),
    Seed("receive count of zero", "  ScoreTickets:", "maxReceiveCount: 5", "maxReceiveCount: 0", "maxReceiveCount is 0"),
    Seed("queue without dead letters", "  ScoreTickets:", "      RedrivePolicy:\n        deadLetterTargetArn: !GetAtt ScoreDeadLetters.Arn\n        maxReceiveCount: 5\n", "", "ScoreTickets: has no dead-letter queue"),
    Seed("dead letters that expire first", "  ScoreDeadLetters:", "1209600", "86400", "expire no later"),
    Seed("queue in clear", "  ScoreTickets:", "SqsManagedSseEnabled: true", "SqsManagedSseEnabled: false", "ScoreTickets: is not encrypted"),
    Seed("visibility shorter than a run", "  ScoreTickets:", "VisibilityTimeout: 1800", "VisibilityTimeout: 300", "wants 1800 s or more"),
    Seed("batch over ten without a window", "            # Ten is the most", "BatchSize: 10", "BatchSize: 50", "needs a batching window"),
    Seed("whole batch fails", "            # Ten is the most", "            FunctionResponseTypes: [ReportBatchItemFailures]\n", "", "no ReportBatchItemFailures"),
    Seed("stream that retries for ever", "  NotifyFunction:", "            MaximumRetryAttempts: 10\n", "", "no MaximumRetryAttempts"),
    Seed("stream that starts late", "  NotifyFunction:", "TRIM_HORIZON", "LATEST", "is not TRIM_HORIZON"),
    Seed("function without a timeout", "  ScoreFunction:", "      Timeout: 900\n", "", "ScoreFunction: no Timeout"),
    Seed("function without a log group", "  ScoreFunction:", "      LoggingConfig: { LogGroup: !Ref ScoreLogs }\n", "", "ScoreFunction: no log group"),
    Seed("log group kept for ever", "  ScoreLogs:", "      RetentionInDays: !Ref LogRetentionDays\n", "", "ScoreFunction: no log group of this template with a retention"),
    Seed("metrics filtered away", "    LoggingConfig:", "ApplicationLogLevel: TRACE", "ApplicationLogLevel: WARN", "would drop metric lines"),
    Seed("role left to SAM", "  ScoreFunction:", "      Role: !GetAtt ScoreRole.Arn\n", "", "no role of its own"),
    Seed("folder of another function", "  ScoreFunction:", "functions/score/", "functions/comply/", "CodeUri is not functions/score/"),
    Seed("variable of another table", "  Function:", "EVENTS_TABLE: !Ref EventsTable", "EVENTS_TABLE: !Ref ControlTable", "EVENTS_TABLE is not EventsTable"),
    Seed("variable that refers to nothing", "  NotifyFunction:", "urgent=${UrgentTopic}", "urgent=${PagerTopic}", "TOPICS refers to PagerTopic"),
    Seed("asynchronous failure lost", "  ScoreFunction:", "        DestinationConfig:\n          OnFailure: { Type: SQS, Destination: !GetAtt FailedRuns.Arn }\n", "", "has no on-failure destination"),
    Seed("wildcard action", "  ScoreRole:", "Action: dynamodb:Query", "Action: dynamodb:*", "wildcard action dynamodb:*"),
    Seed("wildcard resource", "  ScoreRole:", "Resource: !GetAtt EventsTable.Arn", 'Resource: "*"', "wildcard resource *"),
    Seed("all indexes instead of one", "  EvaluateRole:", "/index/due", "/index/*", "wildcard resource ${CustomersTable.Arn}/index/*"),
    Seed("two tables in one statement", "  ScoreRole:", "Resource: !GetAtt EventsTable.Arn", "Resource: [!GetAtt EventsTable.Arn, !GetAtt ControlTable.Arn]", "covers 2 tables"),
    Seed("managed policy", "  ScoreRole:", "    Properties:\n", "    Properties:\n      ManagedPolicyArns: [arn:aws:iam::aws:policy/AmazonDynamoDBReadOnlyAccess]\n", "has a managed policy"),
    Seed("tickets that may not be sent", "              - Sid: SendTickets", "Action: sqs:SendMessage", "Action: sqs:GetQueueUrl", "lacks sqs:SendMessage"),
    Seed("topic key that may not be used", "              - Sid: EncryptForTopics", "kms:GenerateDataKey", "kms:DescribeKey", "lacks kms:GenerateDataKey"),
    Seed("gateway that may not invoke", "  ConsoleHttpPermission:", "FunctionName: !Ref ConsoleFunction", "FunctionName: !Ref ScoreFunction", "may not invoke ConsoleFunction"),
    Seed("method that the gateway may not hand on", "  ConsoleHttpPermission:", "${HttpApi}/*/*/api/*", "${HttpApi}/*/GET/api/*", "ConsolePostRoute: the gateway may not invoke ConsoleFunction"),
    Seed("table in clear", "  EventsTable:", "SSEEnabled: true", "SSEEnabled: false", "EventsTable: is not encrypted"),
    Seed("table without recovery", "  EventsTable:", "PointInTimeRecoveryEnabled: true", "PointInTimeRecoveryEnabled: false", "no point-in-time recovery"),
    Seed("table deleted with the stack", "  EventsTable:", "DeletionPolicy: Retain", "DeletionPolicy: Delete", "DeletionPolicy is not Retain"),
    Seed("bucket without a lock", "  RootsBucket:", "      ObjectLockEnabled: true\n", "", "RootsBucket: has no Object Lock"),
    Seed("bucket without versions", "  RootsBucket:", "Status: Enabled", "Status: Suspended", "RootsBucket: has no versions"),
    Seed("bucket that may be published", "  RootsBucket:", "BlockPublicPolicy: true", "BlockPublicPolicy: false", "RootsBucket: does not block public access"),
    Seed("bucket deleted with the stack", "  RootsBucket:", "DeletionPolicy: Retain", "DeletionPolicy: Delete", "RootsBucket: DeletionPolicy is not Retain"),
    Seed("roots that may be deleted", "  KeepRoots:", "Action: s3:PutObject", "Action: [s3:PutObject, s3:DeleteObject]", "s3:DeleteObject is more than to put a root"),
    Seed("roots that may not be put", "  KeepRoots:", "Roles: [!Ref ComplyRole]", "Roles: [!Ref ScoreRole]", "lacks s3:PutObject"),
    Seed("computed key", "  EventsTable:", "{ AttributeName: sk, KeyType: RANGE }", "{ AttributeName: !Ref LogLevel, KeyType: RANGE }", "KeySchema is computed"),
    Seed("topic key that alarms may not use", "  UrgentTopic:", "!Ref TopicKey", "alias/aws/sns", "alarms could not reach it"),
    Seed("open read route", "  ConsoleRoute:", "AuthorizationType: !If [HasJwt, JWT, AWS_IAM]", "AuthorizationType: NONE", "AuthorizationType of /api/{proxy+} is NONE"),
    Seed("open function URL", "  ConsoleUrl:", "AuthType: AWS_IAM", "AuthType: NONE", "ConsoleUrl: AuthType is NONE"),
    Seed("table that may be deleted", "  EventsTable:", "DeletionProtectionEnabled: true", "DeletionProtectionEnabled: false", "EventsTable: has no deletion protection"),
    Seed("tickets that wait unnoticed", "  ScoreTicketsLate:", "!GetAtt ScoreTickets.", "!GetAtt ComplyTickets.", "ScoreTickets: no alarm on tickets that wait"),
    Seed("pages for everybody", "  PagesRoute:", "AuthorizationType: JWT", "AuthorizationType: NONE", "want JWT"),
    Seed("pages whose token nobody looks at", "  PagesRoute:", "AuthorizerId: !Ref JwtAuthorizer", "AuthorizerId: !Ref HttpApi", "no authorizer of this template"),
    Seed("personal data in the access log", "  ApiStage:", "$context.routeKey", "$context.path", "may be personal data"),
    Seed("free parameter", "  Architecture:", "    AllowedValues: [arm64, x86_64]\n", "", "takes anything"),
    Seed("fixed name", "  TeamTopic:", "    Properties:\n", "    Properties:\n      TopicName: team\n", "TopicName is fixed"),
    Seed("function without an alarm", "  ScoreErrors:", "!Ref ScoreFunction", "!Ref ComplyFunction", "ScoreFunction: no alarm on Errors"),
    Seed("dead letters without an alarm", "  ScoreDeadLettersAlarm:", "!GetAtt ScoreDeadLetters", "!GetAtt ComplyDeadLetters", "ScoreDeadLetters: takes dead letters and has no alarm"),
    Seed("alarm that reaches nobody", "  ScoreErrors:", "      AlarmActions: [!Ref UrgentTopic]\n", "", "AlarmActions is not the urgent topic"),
    Seed("dashboard that is not JSON", "  Dashboard:", '"view":"timeSeries",', '"view":"timeSeries"', "body is not JSON"),
    Seed("misspelled property", "  ScoreTickets:", "VisibilityTimeout", "VisibilityTimeOut", "VisibilityTimeOut", by_lint),
    Seed("attribute that no key uses", "  EventsTable:", "AttributeName: sk, KeyType: RANGE", "AttributeName: at, KeyType: RANGE", "EventsTable", by_lint),
    Seed("reference to nothing", "  ScoreErrors:", "!Ref UrgentTopic", "!Ref PagerTopic", "PagerTopic", by_lint),
    Seed("event type that SAM does not know", "  ScoreFunction:", "Type: ScheduleV2", "Type: ScheduleV3", "ScheduleV3"),
    Seed("value that no table takes", "  EventsTable:", "PAY_PER_REQUEST", "PAY_PER_EVENT", "PAY_PER_EVENT", sam_problems),
    Seed("queued request without its sender's key", "  QueuedIngestIntegration:", "${request.header.authorization}", "none", "is not the path and the credentials"),
    Seed("queue that the gateway may not send to", "  QueuedIngestRole:", "Resource: !GetAtt IngestQueue.Arn", "Resource: !GetAtt FailedRuns.Arn", "lacks sqs:SendMessage on IngestQueue"),
]


def outcomes(text: str) -> Iterator[tuple[str, list[str]]]:
    """For each seed, nothing when it was caught, else what was said instead."""
    yield "the template itself has no problem", by_rules(text)
    for seed in SEEDS:
        yield seed.name, missed(seed, text)


def missed(seed: Seed, text: str) -> list[str]:
    at = text.find("\n" + seed.anchor)
    start = text.find(seed.old, at) if at >= 0 else -1
    if start < 0:
        return [f"not seeded: {seed.old!r} is not found after {seed.anchor.strip()!r}"]
    problems = seed.layer(text[:start] + seed.new + text[start + len(seed.old) :])
    if any(seed.caught in problem for problem in problems):
        return []
    return [f"not caught: want {seed.caught!r}, have {problems or 'no problem'}"]
