import java.util.Optional;
import net.spy.memcached.MemcachedClient;

/** Tests of the application, against a daemon whose clock and faults the test controls. */
public final class SessionsTest {
    private static void same(Object expected, Object found) {
        if (!expected.equals(found)) {
            throw new AssertionError("expected " + expected + ", got " + found);
        }
    }

    private static void aSessionEndsAfterHalfAnHour(Daemon daemon, Sessions sessions) throws Exception {
        daemon.post("clock/freeze", "{}");
        sessions.begin("1", "Ada");
        daemon.post("clock/advance", "{\"seconds\": 1799}");
        same(Optional.of("Ada"), sessions.user("1"));
        daemon.post("clock/advance", "{\"seconds\": 1}");
        same(Optional.empty(), sessions.user("1"));
    }

    private static void aCacheThatFailsLogsNoUserOut(Daemon daemon, Sessions sessions) throws Exception {
        sessions.begin("1", "Ada");
        daemon.post("faults", "{\"kind\": \"error\", \"key\": \"session:*\", \"times\": 1}");
        boolean failed = false;
        try {
            sessions.user("1");
        } catch (RuntimeException error) {
            failed = true;
        }
        same(true, failed);
        same(Optional.of("Ada"), sessions.user("1"));
    }

    public static void main(String[] arguments) throws Exception {
        System.setProperty("net.spy.log.LoggerImpl", "net.spy.memcached.compat.log.SunLogger");
        java.util.logging.Logger.getLogger("net.spy").setLevel(java.util.logging.Level.OFF);
        try (Daemon daemon = new Daemon()) {
            MemcachedClient client = new MemcachedClient(daemon.address());
            Sessions sessions = new Sessions(client);
            aSessionEndsAfterHalfAnHour(daemon, sessions);
            daemon.post("reset", "{}");
            aCacheThatFailsLogsNoUserOut(daemon, sessions);
            client.shutdown();
        }
        System.out.println("ok");
    }
}
