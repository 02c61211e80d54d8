// Times json-logic-js on the rules: `node json_logic.cjs rules.json`.
"use strict";

const fs = require("node:fs");
const logic = require("json-logic-js");

const CUSTOMERS = 64;
const ROUNDS = 500;
const file = JSON.parse(fs.readFileSync(process.argv[2], "utf8"));

// The same numbers as the Rust bench makes up.
let state = 2026n;
const rows = Array.from({ length: CUSTOMERS }, () => {
  const metrics = {};
  for (let index = 0; index < file.metrics; index += 1) {
    state = (state * 1103515245n + 12345n) % 2147483648n;
    metrics[`m${index}`] = Number((state / 65536n) % 50n);
  }
  return { metrics };
});

const pass = () => {
  let answers = 0;
  for (const row of rows) {
    for (const rule of file.rules) answers += logic.apply(rule.logic, row) ? 1 : 0;
  }
  return answers;
};

for (let round = 0; round < 50; round += 1) pass();
const start = process.cpuUsage();
let answers = 0;
for (let round = 0; round < ROUNDS; round += 1) answers = pass();
const took = process.cpuUsage(start);
const micros = (took.user + took.system) / ROUNDS / CUSTOMERS;
console.log(JSON.stringify({ micros, yes: answers }));
