// Predict from a published version with onnxruntime-node, or replay its golden.json.
//
//   npm ci --ignore-scripts
//   node main.mjs replay  ../../models/simple_classifier/v1.0.0
//   node main.mjs predict ../../models/simple_classifier/v1.0.0 rows.json     a list of objects; null is a missing cell

import { readFile } from "node:fs/promises";

import ort from "onnxruntime-node";

import { open, parse, predict, Problem, replay, summary } from "../version.mjs";

const USAGE = "node main.mjs replay DIR, or node main.mjs predict DIR ROWS.json";

async function main(command, folder, file) {
  if (command === "replay" && folder) return replayGolden(folder);
  if (command === "predict" && file) return predictRows(folder, file);
  throw new Problem(2, [command, folder].filter(Boolean).join(" ") || "the call", "is no whole command", USAGE);
}

async function replayGolden(folder) {
  const result = await replay(await open(ort, folder, read));
  if (result.rows.every(({ agrees }) => agrees)) return console.log(`${folder}: ${summary(result)}`);
  throw new Problem(1, `${folder}/golden.json`, summary(result), "do not use this version here");
}

async function predictRows(folder, file) {
  const rows = parse(file, await read(file));
  if (!Array.isArray(rows)) throw new Problem(2, file, "is no list", "give a list of objects");
  for (const answer of await predict(await open(ort, folder, read), rows)) console.log(JSON.stringify(answer));
}

async function read(path) {
  try {
    return await readFile(path);
  } catch (error) {
    throw new Problem(2, path, `cannot be read (${error.code})`, "name a published version and its file; run 'dvc pull' first");
  }
}

try {
  await main(...process.argv.slice(2));
} catch (error) {
  if (!(error instanceof Problem)) throw error;
  console.error(`error: ${error.message}`);
  process.exitCode = error.status;
}
