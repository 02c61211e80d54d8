"""Fuzzes each target for some seconds: `tests/fuzz/run.py [SECONDS]` (8 by default).

Builds the targets with coverage instrumentation, which a stable toolchain has, makes a corpus of
the fixtures and presets, and runs one target after the other with a fixed seed. Everything goes to
`target/fuzz`; an input that fails is kept there, and its place printed. With a nightly toolchain,
`cargo fuzz run body` in `tests/` does the same without an end.
"""

import base64
import json
import os
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
TARGET = ROOT / "target" / "fuzz"
# The flags of `cargo fuzz` without a sanitizer: there is no unsafe code to be watched.
INSTRUMENTATION = [
    "-Cpasses=sancov-module",
    "-Cllvm-args=-sanitizer-coverage-level=4",
    "-Cllvm-args=-sanitizer-coverage-inline-8bit-counters",
    "-Cllvm-args=-sanitizer-coverage-pc-table",
    "-Cllvm-args=-sanitizer-coverage-trace-compares",
    "--cfg=fuzzing",
    "-Ccodegen-units=1",
]
LONGEST_INPUT_BYTES = 32_768
SLOWEST_INPUT_SECONDS = 10
CONDITIONS = [
    'traits.plan == "team" && metrics.logins_7d >= 3',
    "has(traits.seats) || !(segment.paying && stage.days > 10)",
    'traits.plan in ["trial", "team"] ? 1 : 0',
    "metrics.idle_days > 14 / (traits.seats - 2) * -0.5",
    'traits.owner != "kim@example.com"',
]

# A line is the criteria of a stage; all have the same priority.
CRITERIA = [
    [*CONDITIONS[:2], CONDITIONS[3]],
    ["metrics.idle_days > 14", "metrics.idle_days <= 14", "metrics.idle_days > 7 && traits.paid"],
    ["metrics.logins_7d > 3 && metrics.logins_7d < 2", "metrics.logins_7d * 4 > metrics.logins_30d"],
    ["traits.notice <= today || days_until(traits.notice) < 30", "!has(traits.notice)"],
    ["metrics.share >= 0.8", "metrics.share < 0.8 && traits.plan in [\"trial\"]", "segment.paying"],
    ["stage.name == \"s0\" && stage.days > 30", "metrics.trend < -50 || metrics.used % 2 == 1"],
]


def main() -> int:
    seconds = int(sys.argv[1]) if len(sys.argv) > 1 else 8
    corpus = {
        "body": bodies(),
        "call": calls(),
        "signature": signatures(),
        "lifecycle_file": lifecycle_files(),
        "condition": [condition.encode() for condition in CONDITIONS],
        "examine": ["\n".join(conditions).encode() for conditions in CRITERIA],
    }
    host = build()
    failed = [name for name, seeds in corpus.items() if not fuzz(host, name, seeds, seconds)]
    for name in failed:
        print(f"failed: {name}: see {TARGET / 'artifacts'}")
    return 1 if failed else 0


def build() -> str:
    version = subprocess.run(["rustc", "-vV"], stdout=subprocess.PIPE, check=True, text=True)
    host = next(line.split()[1] for line in version.stdout.splitlines() if line.startswith("host:"))
    # With a target named, build scripts and macros are built without the flags.
    command = ["cargo", "build", "--release", "--locked", "--quiet", "--bins", "--target", host]
    command += ["--manifest-path", str(ROOT / "tests/fuzz/Cargo.toml"), "--target-dir", str(TARGET)]
    flags = {"CARGO_ENCODED_RUSTFLAGS": "\x1f".join(INSTRUMENTATION)}
    subprocess.run(command, env={**os.environ, **flags}, check=True)
    return host


def fuzz(host: str, name: str, seeds: list[bytes], seconds: int) -> bool:
    corpus, artifacts = TARGET / "corpus" / name, TARGET / "artifacts"
    corpus.mkdir(parents=True, exist_ok=True)
    artifacts.mkdir(parents=True, exist_ok=True)
    for number, seed in enumerate(seeds):
        (corpus / f"seed-{number:03}").write_bytes(seed)
    options = {
        "max_total_time": seconds,
        "max_len": LONGEST_INPUT_BYTES,
        "timeout": SLOWEST_INPUT_SECONDS,
        "artifact_prefix": f"{artifacts}/{name}-",
        "seed": 1,
        "verbosity": 0,
        "print_final_stats": 1,
    }
    command = [str(TARGET / host / "release" / name), str(corpus)]
    command += [f"-{option}={value}" for option, value in options.items()]
    run = subprocess.run(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT)
    text = run.stdout.decode(errors="replace")
    executed = next((line.split()[-1] for line in text.splitlines() if "executed_units" in line), "0")
    print(f"{name}: {executed} inputs, {'ok' if run.returncode == 0 else 'FAILED'}", flush=True)
    if run.returncode != 0:
        print(text[-4_000:])
    return run.returncode == 0


def bodies() -> list[bytes]:
    found = []
    for file in sorted((ROOT / "tests/fixtures/recorded/clients").glob("*.json")):
        recording = json.loads(file.read_text())
        recorded = recording.get("requests", [recording])
        found += [base64.b64decode(request["body_wire_base64"]) for request in recorded]
    calls = ",".join(call.decode() for call in odd_calls())
    found.append(f'\ufeff{{"batch":[{calls}],"context":{{"ip":"x"}},"sentAt":"2026-01-15"}}'.encode())
    return found


def calls() -> list[bytes]:
    found = odd_calls()
    for file in sorted((ROOT / "tests/fixtures/recorded/apigw_v2").glob("*.json")):
        event = json.loads(file.read_text())
        if not event["isBase64Encoded"]:
            body = json.loads(event["body"])
            found += [json.dumps(call).encode() for call in body.get("batch", [body])]
    return found


def odd_calls() -> list[bytes]:
    return [
        b'{"type":"track","event":"e","userId":"u","properties":{"n":NaN,"i":-Infinity}}',
        b'{"type":"group","userId":4.5e1,"groupId":-0,"traits":{"name":"\\ud83d"}}',
        b'{"type":"alias","userId":"u","previousId":"u","timestamp":"2026-01-15T10:00:00+02:00"}',
        b'{"type":"page","anonymousId":1180591620717411303424,"properties":{"s":"a\\u0000b","n":1e400}}',
        b'{"type":"identify","userId":"u","context":{"traits":{"company":{"id":7}}},"messageId":"\xc3\xa9"}',
    ]


def signatures() -> list[bytes]:
    """A scheme's number, what stands in its headers, and a body."""
    return [
        b"\x00t=1768478400,v1=00ff,v1=zz,v0=1\n{}",
        b"\x01v1,AAAA v1a,BBBB v1,\n{}",
        b"\x021768478400000\n[{\"eventId\":1}]",
        b"\x03sha256=00ff, 00ff\npayload=%7B%7D&a=+",
    ]


def lifecycle_files() -> list[bytes]:
    files = [*ROOT.glob("shared/domain/src/presets/*.yaml")]
    files += ROOT.glob("shared/domain/src/lifecycle/*/*.yaml")
    return [file.read_bytes() for file in sorted(files)]


if __name__ == "__main__":
    sys.exit(main())
