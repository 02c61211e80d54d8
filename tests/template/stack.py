"""The template as CloudFormation will see it: parsed, translated, and asked questions.

Knows how templates are built, not what ours should say; that is in `rules.py`.
"""

import copy
import logging
import re
from typing import Any, Iterator

from samtranslator.model.exceptions import InvalidDocumentException
from samtranslator.translator.transform import transform
from samtranslator.yaml_helper import yaml_parse

# The translator counts its own work for AWS and warns each time that the counts are thrown away.
logging.getLogger("samtranslator.metrics").setLevel(logging.ERROR)


class NotTranslatable(Exception):
    """SAM refuses the template; the message says what and why."""


class NoManagedPolicies:
    """Stands in for the list that SAM would fetch from IAM; no role of ours uses one."""

    def load(self) -> dict[str, str]:
        return {}


class Stack:
    """A template before (`source`) and after (`resources`) SAM's translation."""

    def __init__(self, text: str):
        self.source: dict[str, Any] = yaml_parse(text)
        self.translated = translate(self.source)
        self.parameters: dict[str, Any] = self.translated.get("Parameters", {})
        self.resources: dict[str, Any] = self.translated["Resources"]

    def of_type(self, kind: str) -> Iterator[tuple[str, dict[str, Any]]]:
        """Logical id and properties of each resource of a type, as "SQS::Queue"."""
        for name, resource in self.resources.items():
            if resource["Type"] == f"AWS::{kind}":
                yield name, resource.get("Properties", {})

    def possible_values(self, value: Any) -> list[Any]:
        """A literal is itself; a parameter is its default and all that it allows."""
        parameter = self.parameters.get(value["Ref"]) if is_ref(value) else None
        if parameter is None:
            return [value]
        return [parameter["Default"], *parameter.get("AllowedValues", [])]

    def properties(self, name: str | None) -> dict[str, Any]:
        return self.resources.get(name or "", {}).get("Properties", {})


def translate(source: dict[str, Any]) -> dict[str, Any]:
    """Runs SAM's own translator. Code is not packaged here, so each folder becomes a made-up object."""
    template = copy.deepcopy(source)
    for resource in template["Resources"].values():
        if resource["Type"] == "AWS::Serverless::Function":
            resource["Properties"]["CodeUri"] = "s3://not-packaged/code"
    try:
        return transform(template, {}, NoManagedPolicies())
    except InvalidDocumentException as error:
        raise NotTranslatable("; ".join(cause.message for cause in error.causes)) from error


def is_ref(value: Any) -> bool:
    return isinstance(value, dict) and set(value) == {"Ref"}


def target(value: Any) -> str | None:
    """The logical id that a value points at by Ref, GetAtt or a Sub of a single ARN."""
    found = targets(value)
    return found[0] if len(found) == 1 else None


def targets(value: Any) -> list[str]:
    """Every logical id, parameter or pseudo parameter that a value points at, in order."""
    if isinstance(value, list):
        return [name for item in value for name in targets(item)]
    if not isinstance(value, dict):
        return []
    if is_ref(value):
        return [value["Ref"]]
    if "Fn::GetAtt" in value:
        path = value["Fn::GetAtt"]
        return [path.split(".")[0] if isinstance(path, str) else path[0]]
    if "Fn::Sub" in value:
        text = value["Fn::Sub"] if isinstance(value["Fn::Sub"], str) else value["Fn::Sub"][0]
        return [name.split(".")[0] for name in re.findall(r"\$\{([^!}]+)\}", text)]
    return [name for item in value.values() for name in targets(item)]


def as_list(value: Any) -> list[Any]:
    return value if isinstance(value, list) else [value]


def text_of(value: Any) -> str:
    """A value as one line, for wildcards and messages: `${Table.Arn}/stream/*`."""
    if isinstance(value, str):
        return value
    if is_ref(value):
        return "${%s}" % value["Ref"]
    if isinstance(value, dict) and "Fn::GetAtt" in value:
        return "${%s}" % ".".join(as_list(value["Fn::GetAtt"]))
    if isinstance(value, dict) and "Fn::Sub" in value:
        return as_list(value["Fn::Sub"])[0]
    return str(value)
