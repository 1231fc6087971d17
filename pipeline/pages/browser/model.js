// The exported generator, computed by onnxruntime-web. It and its .wasm file lie beside this one.

const DIGITS = 10;

export async function load() {
  const ort = await import("./ort.js");
  ort.env.wasm.numThreads = 1; // more need headers (COOP, COEP) that plain hosts do not send
  const file = await fetch(new URL("generator.onnx", import.meta.url), { cache: "no-cache" });
  if (!file.ok) throw new Error(`generator.onnx: ${file.status} ${file.statusText}`);
  const model = new Uint8Array(await file.arrayBuffer());
  return new Model(ort, await ort.InferenceSession.create(model, { executionProviders: ["wasm"] }));
}

class Model {
  #ort;
  #session;
  #last = Promise.resolve(); // a session computes one batch at a time

  constructor(ort, session) {
    this.#ort = ort;
    this.#session = session;
    this.conditional = session.inputNames.includes("digit");
    this.latentDim = session.inputMetadata.find(({ name }) => name === "z").shape[1];
  }

  // noise: Float32Array of count * latentDim; digits: count of them, where the model is conditional.
  // Answers with pixels in [0, 1], Float32Array of count * 28 * 28, and the time they took.
  draw(noise, digits) {
    const drawn = this.#last.then(() => this.#run(noise, digits));
    this.#last = drawn.catch(() => {});
    return drawn;
  }

  async #run(noise, digits) {
    const count = noise.length / this.latentDim;
    const inputs = { z: new this.#ort.Tensor("float32", noise, [count, this.latentDim]) };
    if (this.conditional) {
      const oneHot = new Float32Array(count * DIGITS);
      digits.forEach((digit, place) => (oneHot[place * DIGITS + digit] = 1));
      inputs.digit = new this.#ort.Tensor("float32", oneHot, [count, DIGITS]);
    }
    const began = performance.now();
    const { image } = await this.#session.run(inputs);
    return { pixels: image.data, milliseconds: performance.now() - began };
  }
}
