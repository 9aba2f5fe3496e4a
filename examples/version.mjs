// A published version in JavaScript: verify it, turn rows into tensors, predict, replay.
//
// Node and the browser differ in what they pass in: `ort`, which is onnxruntime-node or onnxruntime-web, and `read(place)`, which
// resolves to the bytes of the file at a path or URL. Shapes: N rows, K classes.

/** A failure told as `WHERE: REASON; ACTION`; status 1 when a check said no, 2 when the input or the call is wrong. */
export class Problem extends Error {
  constructor(status, where, reason, action) {
    super(`${where}: ${reason}; ${action}`);
    this.status = status;
  }
}

/** Open the version in `folder`. Nothing but metadata.json is parsed before its SHA-256 is the one written there. */
export async function open(ort, folder, read) {
  const metadata = parse(`${folder}/metadata.json`, await read(`${folder}/metadata.json`));
  const { onnx, config, golden } = metadata?.files ?? {};
  if (!onnx || !config || !golden) {
    throw new Problem(2, `${folder}/metadata.json`, "does not name onnx, config and golden", "name a published version");
  }
  const documents = {
    config: parse(`${folder}/${config.path}`, await verified(folder, config, read)),
    golden: parse(`${folder}/${golden.path}`, await verified(folder, golden, read)),
  };
  const model = await verified(folder, onnx, read);
  try {
    const session = await ort.InferenceSession.create(model, { logSeverityLevel: 4 }); // a failure throws: no second report
    return { ort, session, metadata, ...documents };
  } catch (error) {
    throw new Problem(2, `${folder}/${onnx.path}`, `cannot be read (${firstLine(error)})`, "is this onnxruntime too old for it?");
  }
}

/** Answer raw rows, objects with a cell for each column: [{label, probabilities: [K]}], or [{prediction}] of a regression. */
export async function predict({ ort, metadata, session }, rows) {
  if (rows.length === 0) return [];
  const { label, probabilities, prediction } = await session.run(feeds(ort, rows, metadata.input_schema));
  if (prediction) return Array.from(prediction.data, (value) => ({ prediction: value }));
  const classes = probabilities.dims[1];
  return Array.from(label.data, (value, row) => ({
    label: toLabel(value, label.type),
    probabilities: Array.from(probabilities.data.subarray(row * classes, (row + 1) * classes)),
  }));
}

/**
 * Answer the rows of golden.json and compare. Returns the largest difference, in the units of `tolerance`, and for each row
 * its cells, the answer found, the one expected, their difference and whether they agree.
 */
export async function replay(version) {
  const { columns, rows: cells, label, probabilities, prediction, scale, tolerance } = version.golden;
  const rows = cells.map((row) => Object.fromEntries(columns.map((name, i) => [name, row[i]])));
  const found = await predict(version, rows);
  const compared = rows.map((row, i) => {
    const expected = prediction ? { prediction: prediction[i] } : { label: label[i], probabilities: probabilities[i] };
    const difference = apart(numbers(found[i]), numbers(expected), scale);
    // `<=`, so that NaN does not agree.
    return { row, found: found[i], expected, difference, agrees: difference <= tolerance && found[i].label === expected.label };
  });
  return { rows: compared, largest: Math.max(0, ...compared.map(({ difference }) => difference)) };
}

/** Say of a replay what every consumer says, and which row is the first that differs. */
export function summary({ rows, largest }) {
  const said = `${rows.length} golden rows replayed, largest difference ${largest.toExponential(1)}`;
  const differ = rows.flatMap(({ agrees }, i) => (agrees ? [] : [i]));
  if (differ.length === 0) return said;
  const { found, expected } = rows[differ[0]];
  return `${said}, ${differ.length} differ: row ${differ[0]} is ${show(found)}, expected ${show(expected)}`;
}

/** One tensor [N, 1] for each input of the model. */
function feeds(ort, rows, inputs) {
  return Object.fromEntries(
    inputs.map(({ name, dtype }) => {
      const convert = dtype === "string" ? toText : toNumber;
      const cells = rows.map((row, i) => convert(cell(row, name, i), `row ${i}, column '${name}'`));
      return [name, new ort.Tensor(dtype, dtype === "string" ? cells : Float32Array.from(cells), [rows.length, 1])];
    }),
  );
}

function cell(row, name, i) {
  if (typeof row !== "object" || row === null) throw new Problem(2, `row ${i}`, "is no object", "give a cell for each column");
  if (Object.hasOwn(row, name)) return row[name];
  throw new Problem(2, `row ${i}`, `lacks column '${name}'`, "give it, as null when it is unknown");
}

function toNumber(value, where) {
  if (value === null) return NaN; // missing, as is ±inf: the model itself sees to that
  if (typeof value === "number" || typeof value === "boolean") return Number(value);
  throw new Problem(2, where, `holds a ${typeof value}`, "give a number or null");
}

function toText(value, where) {
  if (value === null) return ""; // missing
  if (typeof value !== "string") throw new Problem(2, where, `holds a ${typeof value}`, "give text or null");
  if (!value.includes("\0") && value.isWellFormed()) return value; // the runtime would cut it at NUL
  throw new Problem(2, where, "holds NUL or a lone surrogate", "clean the text");
}

/** int64 comes as BigInt, bool as a byte; in JSON they are a number (exact up to 2^53, as ever in JavaScript) and a boolean. */
function toLabel(value, type) {
  if (type === "int64") return Number(value);
  return type === "bool" ? Boolean(value) : value;
}

function numbers({ prediction, probabilities }) {
  return probabilities ?? [prediction];
}

function apart(found, expected, scale) {
  if (found.length !== expected.length) return NaN;
  const each = found.map((value, k) => Math.abs(value - Math.fround(expected[k])) / Math.max(scale, Math.abs(expected[k])));
  return Math.max(...each);
}

function show({ label, probabilities, prediction }) {
  return probabilities ? `${label} [${probabilities.join(", ")}]` : String(prediction);
}

/** Parse the JSON in the bytes of the file at `place`. */
export function parse(place, data) {
  try {
    return JSON.parse(new TextDecoder("utf-8", { fatal: true }).decode(data));
  } catch (error) {
    throw new Problem(2, place, `is not JSON (${firstLine(error)})`, "give another file");
  }
}

async function verified(folder, { path, sha256 }, read) {
  const data = await read(`${folder}/${path}`);
  const digest = new Uint8Array(await crypto.subtle.digest("SHA-256", data));
  const found = Array.from(digest, (byte) => byte.toString(16).padStart(2, "0")).join("");
  if (found === sha256) return data;
  throw new Problem(1, `${folder}/${path}`, `sha256 is ${found}, metadata.json says ${sha256}`, "fetch the version again");
}

function firstLine(error) {
  return error.message.split("\n", 1)[0];
}
