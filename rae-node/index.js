"use strict";
module.exports = require("./rae.node");
