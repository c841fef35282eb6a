// Draws with onnxruntime-web, in Node as in a browser: raw float32 latents in, raw images out.

/** Returns the images of all latents by batch size, as {size: {type, data}}. */
export async function draw(ort, provider, graph, latents, latentDim, sizes) {
  const session = await ort.InferenceSession.create(graph, { executionProviders: [provider] });
  const drawn = {};
  for (const size of sizes) {
    const parts = [];
    for (let at = 0; at < latents.length; at += size * latentDim) {
      const rows = latents.slice(at, at + size * latentDim);
      const input = new ort.Tensor("float32", rows, [rows.length / latentDim, latentDim]);
      const images = (await session.run({ [session.inputNames[0]]: input }))[session.outputNames[0]];
      parts.push({ type: images.type, data: await images.getData() });
    }
    const { type, data } = parts[0];
    const all = new data.constructor(parts.length * data.length);
    parts.forEach((part, i) => all.set(part.data, i * data.length));
    drawn[size] = { type, data: all };
  }
  return drawn;
}
