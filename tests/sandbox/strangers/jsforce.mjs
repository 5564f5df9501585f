// jsforce, on Node 20 too: its undici asks for three functions of Node 22.
import worker from "node:worker_threads";
import zlib from "node:zlib";

zlib.createZstdDecompress ??= zlib.createUnzip;
Promise.withResolvers ??= () => {
  const made = {};
  made.promise = new Promise((resolve, reject) => Object.assign(made, { resolve, reject }));
  return made;
};
worker.markAsUncloneable ??= () => {};

export default (await import("jsforce")).default;
