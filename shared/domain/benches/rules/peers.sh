#!/usr/bin/env bash
# 20 rules over 30 metrics in one run: this language, Rust closures and the cel crate (criterion), then
# cel-python and json-logic-js. Installs the peers from their registries into target/.
set -euo pipefail
cd "$(dirname "$0")/../../../.."
rules=shared/domain/benches/rules

cargo bench -p domain --bench rules -- --noplot

[ -x target/venv/bin/python ] || python3 -m venv target/venv
target/venv/bin/pip install --quiet --disable-pip-version-check 'cel-python==0.5.0'
target/venv/bin/python "$rules/cel_python.py" "$rules/rules.json"

mkdir -p target/peers
[ -d target/peers/node_modules/json-logic-js ] ||
    npm install --prefix target/peers --no-audit --no-fund --loglevel=error json-logic-js@2.0.5
NODE_PATH=target/peers/node_modules node "$rules/json_logic.cjs" "$rules/rules.json"
