// GET /resolve/NAME: looks a name up by c-ares (dns.resolve4), or with "lookup" as the second word by getaddrinfo in libuv's threads.
//   node resolve.js PORT [lookup]
"use strict";
const dns = require("dns");
const http = require("http");

const find = process.argv[3] === "lookup" ? (name, done) => dns.lookup(name, { all: true }, done) : dns.resolve4;
const server = http.createServer((request, response) => {
	const id = request.url.split("/").pop();
	find(id, (error, found) => {
		const body = JSON.stringify({ id, found: error ? error.code : found.length });
		response.writeHead(200, { "Content-Length": Buffer.byteLength(body) });
		response.end(body);
	});
});
server.keepAliveTimeout = 60000;
server.listen(Number(process.argv[2]), "127.0.0.1");
