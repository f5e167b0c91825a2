import native from "./index.js";

export const version = native.version;
