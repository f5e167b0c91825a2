"use strict";
// The package, for `require` and, by index.mjs, for `import`.

const { native } = require("./lib/native.js");
const { classes } = require("./lib/errors.js");
const { Hits, LlmStream, Metered, Rae, Session, connect, open } = require("./lib/store.js");

module.exports = { open, connect, version: native.version, Hits, LlmStream, Metered, Rae, Session, ...classes };
