// node node.mjs ONNXRUNTIME_WEB PROVIDER GRAPH LATENTS LATENT_DIM OUT SIZE...
import { readFile, writeFile } from "node:fs/promises";
import { pathToFileURL } from "node:url";

import { draw } from "./draw.mjs";

const [library, provider, graph, latents, latentDim, out, ...sizes] = process.argv.slice(2);
const ort = await import(pathToFileURL(`${library}/dist/ort.node.min.mjs`));
const rows = new Float32Array((await readFile(latents)).buffer.slice(0));
const drawn = await draw(ort, provider, await readFile(graph), rows, +latentDim, sizes.map(Number));
for (const [size, { type, data }] of Object.entries(drawn)) {
  await writeFile(`${out}/${size}.${type}`, new Uint8Array(data.buffer));
}
