// A service on Node (tests/accuracy/cases.py says what each shape is): http.request with and without a keep-alive agent,
// fetch, and a connection to Redis that all requests share.
"use strict";
const http = require("http");
const net = require("net");
const { setTimeout: sleep, setImmediate: turn } = require("timers/promises");

const backend = Number(process.env.BACKEND);
const next = Number(process.env.NEXT || 0);
const keeping = new http.Agent({ keepAlive: true });
const few = new http.Agent({ keepAlive: true, maxSockets: 4 });

const MISSING = "$-1\r\n"; // what Redis answers about keys that it has not
const looked = [];
let store;

// Ask Redis, on the one connection, whose answers come in the order of the questions.
function look(key) {
	if (!store) {
		let rest = "";
		store = net.connect(Number(process.argv[2]), "127.0.0.1");
		store.setEncoding("latin1");
		store.on("data", (part) => {
			for (rest += part; rest.startsWith(MISSING); rest = rest.slice(MISSING.length)) looked.shift()();
		});
	}
	return new Promise((resolve) => {
		looked.push(resolve);
		store.write(`*2\r\n$3\r\nGET\r\n$${key.length}\r\n${key}\r\n`);
	});
}

// One request by http.request; `agent` false is a connection for this call alone.
function ask(port, path, number, agent) {
	return new Promise((resolve, reject) => {
		const options = { host: "127.0.0.1", port, path, agent, headers: { "X-Request-Id": number } };
		http.get(options, (answer) => {
			let body = "";
			answer.setEncoding("utf8");
			answer.on("data", (part) => (body += part));
			answer.on("end", () => resolve(body));
		}).on("error", reject);
	});
}

async function fetched(port, path, number) {
	const answer = await fetch(`http://127.0.0.1:${port}${path}`, { headers: { "X-Request-Id": number } });
	return answer.text();
}

async function work(shape, number) {
	const path = `/work/${number}/0`;
	const paths = [0, 1, 2].map((call) => `/work/${number}/${call}`);
	switch (shape) {
	case "one":
		return [await ask(backend, path, number, false)];
	case "pooled":
	case "inner":
		return [await ask(backend, path, number, keeping)];
	case "sequence": {
		const answers = [];
		for (const each of paths) answers.push(await fetched(backend, each, number));
		return answers;
	}
	case "fan":
		return Promise.all(paths.map((each) => ask(backend, each, number, keeping)));
	case "sleep":
		await sleep(20);
		return [await ask(backend, path, number, keeping)];
	case "worker":
		await turn();
		return [await ask(backend, path, number, keeping)];
	case "shared":
		await look(number);
		return [await ask(backend, path, number, keeping)];
	case "queued":
		return [await ask(backend, path, number, few)];
	case "hops":
		return [await fetched(next, `/inner/${number}`, number)];
	default:
		return [number];
	}
}

async function answer(request, response) {
	const [, shape, number] = request.url.split("/");
	const answers = await work(shape, number);
	const ok = answers.every((each) => each === number);
	response.writeHead(ok ? 200 : 500, { "Content-Length": Buffer.byteLength(number) });
	response.end(number);
	if (shape === "after") {
		await sleep(10);
		await ask(backend, `/work/${number}/0`, number, keeping);
	}
}

const server = http.createServer((request, response) => {
	answer(request, response).catch((error) => response.destroy(error));
});
server.keepAliveTimeout = 60000;
server.listen(Number(process.env.PORT), "127.0.0.1", 512);
