// The page: load a version by its URL, replay its golden.json, and answer a row that a person may edit.

import * as ort from "./node_modules/onnxruntime-web/dist/ort.wasm.min.mjs";

import { open, predict, Problem, replay, summary } from "../version.mjs";

ort.env.wasm.numThreads = 1; // more need a page that is cross-origin isolated
ort.env.wasm.proxy = true; // in a worker: a large forest takes seconds to load, and the page stays alive

const byId = (id) => document.getElementById(id);
const fields = new Map(); // column → its input
let version; // the one shown
let row; // the one answered: {column: cell}

async function load(folder) {
  document.querySelector("main").hidden = true;
  say("loading", "Loading …");
  version = await open(ort, folder, read);
  const replayed = await replay(version);
  byId("name").textContent = `${version.metadata.model_name} ${version.metadata.version}`;
  byId("golden").replaceChildren(...replayed.rows.map(goldenRow));
  byId("row").replaceChildren(...version.metadata.input_schema.map(field));
  await ask(replayed.rows[0].row);
  document.querySelector("main").hidden = false;
  const same = replayed.rows.every(({ agrees }) => agrees);
  if (same) say("same", `The reference’s answers, here too: hashes ok, ${summary(replayed)}.`);
  else say("differs", `Not the reference’s answers: ${summary(replayed)}. Do not use this version here.`);
}

async function read(url) {
  const response = await fetch(url).catch((error) => {
    throw new Problem(2, url, error.message, "is its server running, and does it allow this page?");
  });
  if (response.ok) return new Uint8Array(await response.arrayBuffer());
  throw new Problem(2, url, `the server says ${response.status}`, "name a published version, with its binaries");
}

/** Show a row in the form, and answer it. */
async function ask(cells) {
  row = { ...cells };
  for (const [name, input] of fields) input.value = row[name] ?? "";
  await answer();
}

async function answer() {
  const [found] = await predict(version, [row]);
  const shown = found.probabilities
    ? found.probabilities.map((share, k) => bar(version.config.classes[k], share, version.config.classes[k] === found.label))
    : [element("p", { className: "value" }, brief(found.prediction))];
  byId("answer").replaceChildren(...shown);
}

function field({ name, dtype }) {
  const input = element("input", dtype === "string" ? { type: "text" } : { type: "number", step: "any" });
  input.addEventListener("input", () => {
    row[name] = dtype === "string" ? input.value : input.value === "" ? null : Number(input.value);
    attempt(answer);
  });
  fields.set(name, input);
  return element("label", { title: name }, element("span", {}, name), input);
}

function bar(name, share, top) {
  const [text, meter] = [element("span", {}, String(name)), element("meter", { value: share })];
  return element("div", { className: top ? "bar top" : "bar" }, text, meter, element("span", {}, share.toFixed(4)));
}

function goldenRow({ row: cells, found, expected, difference, agrees }, i) {
  const shown = [i, show(expected), show(found), difference === 0 ? "0" : difference.toExponential(1)];
  const line = element("tr", { tabIndex: 0 }, ...shown.map((text) => element("td", {}, String(text))));
  line.dataset.agrees = agrees;
  const choose = () => attempt(() => ask(cells));
  line.addEventListener("click", choose);
  line.addEventListener("keydown", ({ key }) => key === "Enter" && choose());
  return line;
}

function show({ label, probabilities, prediction }) {
  return probabilities ? `${label} (${Math.max(...probabilities).toFixed(4)})` : brief(prediction);
}

function brief(number) {
  return String(Number(number.toPrecision(7))); // the digits of a float32
}

function say(state, text) {
  byId("status").textContent = text;
  byId("status").dataset.state = state;
}

function element(tag, properties, ...children) {
  const made = Object.assign(document.createElement(tag), properties);
  made.append(...children);
  return made;
}

async function attempt(action) {
  try {
    await action();
  } catch (error) {
    say("failed", error.message);
    if (!(error instanceof Problem)) throw error;
  }
}

const wanted = new URL(location).searchParams.get("version")?.replace(/\/$/, "");
byId("row").addEventListener("submit", (event) => event.preventDefault());
byId("version").value = wanted ?? "";
if (wanted) attempt(() => load(wanted));
