// Answers cases, one JSON text a line, with the WebAssembly verifier.
// node run.mjs WASM_EXEC_JS VERIFY_WASM < cases > answers
import { createInterface } from "node:readline";
import { readFile } from "node:fs/promises";
import { createRequire } from "node:module";

const [glue, wasm] = process.argv.slice(2);
createRequire(import.meta.url)(glue); // sets globalThis.Go
const go = new globalThis.Go();
const { instance } = await WebAssembly.instantiate(await readFile(wasm), go.importObject);
const ready = new Promise((resolve) => { globalThis.blindboxReady = resolve; });
go.run(instance);
await ready;
for await (const line of createInterface({ input: process.stdin, crlfDelay: Infinity })) {
  process.stdout.write(JSON.stringify(globalThis.blindboxVerify(line)) + "\n");
}
process.exit(0);
