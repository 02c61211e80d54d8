"""Prints what a package is made of, as CycloneDX 1.5: `sbom.py PACKAGE [TARGET]`, as `sbom.py ingest`.

Of everything that Cargo.lock resolves, it lists what is compiled into the package for the target
(aarch64-unknown-linux-gnu unless told otherwise), with version, licence, source, checksum and edges. The
output is the same for the same Cargo.lock: no time, no random number.
"""

import json
import pathlib
import subprocess
import sys
import tomllib
from typing import Any

ROOT = pathlib.Path(__file__).resolve().parents[2]


def main() -> int:
    if not 2 <= len(sys.argv) <= 3 or sys.argv[1].startswith("-"):
        print(__doc__.splitlines()[0], file=sys.stderr)
        return 2
    target = sys.argv[2] if len(sys.argv) == 3 else "aarch64-unknown-linux-gnu"
    command = ["cargo", "metadata", "--locked", "--format-version", "1", "--filter-platform", target]
    metadata = json.loads(subprocess.run(command, cwd=ROOT, stdout=subprocess.PIPE, check=True).stdout)
    packages = {package["id"]: package for package in metadata["packages"]}
    edges = {node["id"]: compiled(node) for node in metadata["resolve"]["nodes"]}
    roots = [id for id in metadata["workspace_members"] if packages[id]["name"] == sys.argv[1]]
    if not roots:
        print(f"no package of the workspace is called {sys.argv[1]}", file=sys.stderr)
        return 2
    found = reached(roots[0], edges)
    lock = tomllib.loads((ROOT / "Cargo.lock").read_text())["package"]
    checksums = {(package["name"], package["version"]): package.get("checksum") for package in lock}
    document = {
        "bomFormat": "CycloneDX",
        "specVersion": "1.5",
        "version": 1,
        "metadata": {"component": component(packages[roots[0]], checksums, "application")},
        "components": sorted((component(packages[id], checksums, "library") for id in found - {roots[0]}), key=lambda part: part["bom-ref"]),
        "dependencies": sorted(({"ref": purl(packages[id]), "dependsOn": sorted(purl(packages[to]) for to in edges[id])} for id in found), key=lambda edge: edge["ref"]),
    }
    print(json.dumps(document, indent=1))
    return 0


def compiled(node: dict[str, Any]) -> list[str]:
    """What is in the program, or built it; what only tests need is neither."""
    return sorted({edge["pkg"] for edge in node["deps"] if any(kind["kind"] in (None, "build") for kind in edge["dep_kinds"])})


def reached(root: str, edges: dict[str, list[str]]) -> set[str]:
    found: set[str] = set()
    waiting = [root]
    while waiting:
        id = waiting.pop()
        if id not in found:
            found.add(id)
            waiting += edges[id]
    return found


def component(package: dict[str, Any], checksums: dict[tuple[str, str], str | None], kind: str) -> dict[str, Any]:
    part = {"type": kind, "bom-ref": purl(package), "name": package["name"], "version": package["version"], "purl": purl(package)}
    if package.get("license"):
        part["licenses"] = [{"expression": package["license"].replace("/", " OR ")}]
    if checksum := checksums.get((package["name"], package["version"])):
        part["hashes"] = [{"alg": "SHA-256", "content": checksum}]
    return part


def purl(package: dict[str, Any]) -> str:
    return f"pkg:cargo/{package['name']}@{package['version']}"


if __name__ == "__main__":
    sys.exit(main())
