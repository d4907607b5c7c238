// A service on the JDK's own server (tests/accuracy/cases.py says what each shape is): a thread per request, which with
// POOL hands it to an executor of so many threads. Calls are made with HttpURLConnection, those of `pooled` with
// java.net.http.HttpClient.

import com.sun.net.httpserver.HttpExchange;
import com.sun.net.httpserver.HttpServer;
import java.io.IOException;
import java.io.InputStream;
import java.net.HttpURLConnection;
import java.net.InetSocketAddress;
import java.net.URI;
import java.net.URL;
import java.net.http.HttpClient;
import java.net.http.HttpRequest;
import java.net.http.HttpResponse;
import java.util.ArrayList;
import java.util.List;
import java.util.concurrent.Callable;
import java.util.concurrent.ExecutorService;
import java.util.concurrent.Executors;
import java.util.concurrent.Future;

public final class Service {
	private static final String BACKEND = System.getenv("BACKEND");
	private static final String NEXT = System.getenv("NEXT");
	private static final int POOL = Integer.parseInt(System.getenv().getOrDefault("POOL", "0"));
	private static final ExecutorService pool = POOL > 0 ? Executors.newFixedThreadPool(POOL) : null;
	private static final ExecutorService workers = Executors.newFixedThreadPool(64);
	private static final HttpClient client =
			HttpClient.newBuilder().version(HttpClient.Version.HTTP_1_1).build();

	private static void ask(String port, String path, String number, boolean keep) throws IOException {
		URL url = new URL("http://127.0.0.1:" + port + path);
		HttpURLConnection connection = (HttpURLConnection) url.openConnection();
		connection.setRequestProperty("X-Request-Id", number);
		if (!keep)
			connection.setRequestProperty("Connection", "close");
		try (InputStream body = connection.getInputStream()) {
			check(path, number, new String(body.readAllBytes()));
		}
	}

	private static void askByClient(String path, String number) throws Exception {
		URI uri = URI.create("http://127.0.0.1:" + BACKEND + path);
		HttpRequest request = HttpRequest.newBuilder(uri).header("X-Request-Id", number).build();
		check(path, number, client.send(request, HttpResponse.BodyHandlers.ofString()).body());
	}

	private static void check(String path, String number, String answer) throws IOException {
		if (!answer.equals(number))
			throw new IOException(path + " was answered by " + answer);
	}

	private static Callable<Void> call(String path, String number) {
		return () -> {
			ask(BACKEND, path, number, true);
			return null;
		};
	}

	private static void work(String shape, String number) throws Exception {
		String path = "/work/" + number + "/0";
		switch (shape) {
		case "one" -> ask(BACKEND, path, number, false);
		case "kept", "inner" -> ask(BACKEND, path, number, true);
		case "pooled" -> askByClient(path, number);
		case "sequence" -> {
			for (int n = 0; n < 3; n++)
				ask(BACKEND, "/work/" + number + "/" + n, number, true);
		}
		case "fan" -> {
			List<Callable<Void>> calls = new ArrayList<>();
			for (int n = 0; n < 3; n++)
				calls.add(call("/work/" + number + "/" + n, number));
			for (Future<Void> done : workers.invokeAll(calls))
				done.get();
		}
		case "sleep" -> {
			Thread.sleep(20);
			ask(BACKEND, path, number, true);
		}
		case "worker" -> workers.submit(call(path, number)).get();
		case "hops" -> ask(NEXT, "/inner/" + number, number, true);
		default -> { }
		}
	}

	private static void later(String number) {
		new Thread(() -> {
			try {
				Thread.sleep(10);
				ask(BACKEND, "/work/" + number + "/0", number, true);
			} catch (Exception error) {
				error.printStackTrace();
			}
		}).start();
	}

	private static void answer(HttpExchange exchange) throws IOException {
		String[] parts = exchange.getRequestURI().getPath().split("/");
		String shape = parts[1], number = parts[2];
		try {
			if (pool == null)
				work(shape, number);
			else
				pool.submit(() -> {
					work(shape, number);
					return null;
				}).get();
		} catch (Exception error) {
			error.printStackTrace();
			exchange.sendResponseHeaders(500, -1);
			exchange.close();
			return;
		}
		exchange.sendResponseHeaders(200, number.length());
		exchange.getResponseBody().write(number.getBytes());
		exchange.close();
		if (shape.equals("after"))
			later(number);
	}

	public static void main(String[] arguments) throws IOException {
		int port = Integer.parseInt(System.getenv("PORT"));
		HttpServer server = HttpServer.create(new InetSocketAddress("127.0.0.1", port), 512);
		server.setExecutor(Executors.newFixedThreadPool(64));
		server.createContext("/", Service::answer);
		server.start();
	}
}
