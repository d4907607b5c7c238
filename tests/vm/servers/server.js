// A Node server: says hello, or asks the backend whose port is in BACKEND, as threaded.py does.
//   node server.js PORT
"use strict";
const http = require("http");

const backend = Number(process.env.BACKEND || 0);
const agent = new http.Agent({ keepAlive: true });

const server = http.createServer((request, response) => {
	const id = request.url.split("/").pop();
	const requestId = request.headers["x-request-id"] || "none";
	const answer = (status, body) => {
		response.writeHead(status, { "Content-Type": "application/json", "Content-Length": Buffer.byteLength(body) });
		response.end(body);
	};
	if (!backend) {
		answer(200, JSON.stringify({ id, request: requestId }));
		return;
	}
	const options = { port: backend, host: "127.0.0.1", path: `/items/${id}`, agent, headers: { "X-Request-Id": requestId } };
	http.get(options, (inner) => {
		const parts = [];
		inner.on("data", (part) => parts.push(part));
		inner.on("end", () => answer(inner.statusCode, Buffer.concat(parts).toString()));
	}).on("error", (error) => answer(502, JSON.stringify({ error: error.message })));
});
server.keepAliveTimeout = 60000;
server.listen(Number(process.argv[2]), "127.0.0.1");
