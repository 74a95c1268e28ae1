import java.net.InetSocketAddress;
import java.net.URI;
import java.net.http.HttpClient;
import java.net.http.HttpRequest;
import java.net.http.HttpResponse;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.List;
import java.util.Optional;
import java.util.regex.Matcher;
import java.util.regex.Pattern;

/** A memcached for tests. Its clock and its faults are in the test's hands. */
public final class Daemon implements AutoCloseable {
    private final HttpClient http = HttpClient.newHttpClient();
    private final Process process;
    private final InetSocketAddress address;
    private final String control;

    public Daemon() throws Exception {
        Path place = Files.createTempDirectory("daemon");
        Path ports = place.resolve("ports");
        String program = Optional.ofNullable(System.getenv("MEMCACHED_RS")).orElse("memcached-rs");
        ProcessBuilder builder =
                new ProcessBuilder(List.of(program, "-l", "127.0.0.1", "-p", "-1", "--control", "0"));
        builder.environment().put("MEMCACHED_PORT_FILENAME", ports.toString());
        process = builder.inheritIO().start();
        // The daemon renames the file into its place, so it is complete.
        while (!Files.exists(ports)) {
            if (!process.isAlive()) {
                throw new IllegalStateException("the daemon did not start");
            }
            Thread.sleep(5);
        }
        Matcher found = Pattern.compile("TCP INET: (\\d+)\nCONTROL INET: (\\d+)").matcher(Files.readString(ports));
        found.find();
        address = new InetSocketAddress("127.0.0.1", Integer.parseInt(found.group(1)));
        control = "http://127.0.0.1:" + found.group(2) + "/v1/";
        Files.delete(ports);
        Files.delete(place);
    }

    public InetSocketAddress address() {
        return address;
    }

    /** Sends a request to the control service, and returns the JSON of its answer. */
    public String post(String path, String json) throws Exception {
        HttpRequest request = HttpRequest.newBuilder(URI.create(control + path))
                .header("Content-Type", "application/json")
                .POST(HttpRequest.BodyPublishers.ofString(json))
                .build();
        HttpResponse<String> answer = http.send(request, HttpResponse.BodyHandlers.ofString());
        if (answer.statusCode() >= 300) {
            throw new IllegalStateException(path + ": " + answer.body());
        }
        return answer.body();
    }

    @Override
    public void close() throws Exception {
        process.destroy();
        process.waitFor();
    }
}
