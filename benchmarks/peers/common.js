// The command line of all servers: --port N [--certificate FILE] ROLE
"use strict";

const { parseArgs } = require("node:util");

const { values, positionals } = parseArgs({
  options: { port: { type: "string" }, certificate: { type: "string" } },
  allowPositionals: true,
});

module.exports = {
  port: Number(values.port),
  certificate: values.certificate,
  role: positionals[0],
  isEcho: ["echo", "tls"].includes(positionals[0]),
};
