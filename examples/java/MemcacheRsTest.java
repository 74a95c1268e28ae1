import java.nio.charset.StandardCharsets;
import java.time.Duration;
import java.util.Arrays;
import java.util.Map;
import net.spy.memcached.MemcachedClient;

/** Tests of the wrapper, and of spymemcached with a server of the wrapper. */
public final class MemcacheRsTest {
    private static final Map<String, String> SMALL = Map.of("memory_limit", "8m", "threads", "1");

    interface Test {
        void run() throws Exception;
    }

    private static void check(boolean holds) {
        if (!holds) {
            throw new AssertionError();
        }
    }

    private static MemcacheRs.Failure failure(Runnable function) {
        try {
            function.run();
        } catch (MemcacheRs.Failure failure) {
            return failure;
        }
        throw new AssertionError("threw nothing");
    }

    private static byte[] bytes(String text) {
        return text.getBytes(StandardCharsets.UTF_8);
    }

    private static void aValueComesBackAsItWasStored() {
        try (MemcacheRs.Cache cache = new MemcacheRs.Cache(SMALL)) {
            for (byte[] value : new byte[][] {{}, bytes("Ada"), new byte[100_000]}) {
                cache.set("user", value, MemcacheRs.NEVER);
                check(Arrays.equals(cache.get("user").orElseThrow(), value));
            }
            check(cache.delete("user"));
            check(!cache.delete("user"));
            check(cache.get("user").isEmpty());
            cache.set("visits", bytes("41"), MemcacheRs.NEVER);
            check(cache.incr("visits", 1) == 42);
        }
    }

    private static void anItemExpiresWithTheClockOfTheCache() {
        try (MemcacheRs.Cache cache = new MemcacheRs.Cache(SMALL)) {
            cache.freezeClock();
            cache.set("session", bytes("Ada"), Duration.ofMinutes(1));
            cache.advance(Duration.ofSeconds(59));
            check(cache.get("session").isPresent());
            cache.advance(Duration.ofSeconds(1));
            check(cache.get("session").isEmpty());
        }
    }

    private static void errorsSayWhatIsWrong() {
        MemcacheRs.Cache cache = new MemcacheRs.Cache(SMALL);
        check(failure(() -> cache.get("k".repeat(251))).getMessage().contains("250 bytes"));
        check(failure(() -> cache.set("large", new byte[2 << 20], MemcacheRs.NEVER)).status == 20);
        check(failure(() -> new MemcacheRs.Cache(Map.of("threads", "none"))).getMessage().contains("threads"));
        cache.close();
        check(failure(() -> cache.get("key")).getMessage().contains("NULL"));
    }

    private static void aClientSeesTheClockOfTheServer() throws Exception {
        try (MemcacheRs.Server server = new MemcacheRs.Server(SMALL)) {
            MemcachedClient client = new MemcachedClient(server.address());
            server.cache().freezeClock();
            check(client.set("session", 1800, "Ada").get());
            check("Ada".equals(client.get("session")));
            server.cache().advance(Duration.ofMinutes(30));
            check(client.get("session") == null);
            client.shutdown();
        }
    }

    private static void aClientMeetsFaults() throws Exception {
        try (MemcacheRs.Server server = new MemcacheRs.Server(SMALL)) {
            MemcachedClient client = new MemcachedClient(server.address());
            server.cache().set("session", bytes("Ada"), MemcacheRs.NEVER);
            try (MemcacheRs.Injected miss = server.cache().inject(MemcacheRs.Fault.MISS, "get", null)) {
                check(client.get("session") == null);
            }
            check("Ada".equals(client.get("session")));
            client.shutdown();
        }
    }

    public static void main(String[] words) throws Exception {
        java.util.logging.LogManager.getLogManager().reset();
        System.setProperty("net.spy.log.LoggerImpl", "net.spy.memcached.compat.log.SunLogger");
        Test[] tests = {
            MemcacheRsTest::aValueComesBackAsItWasStored,
            MemcacheRsTest::anItemExpiresWithTheClockOfTheCache,
            MemcacheRsTest::errorsSayWhatIsWrong,
            MemcacheRsTest::aClientSeesTheClockOfTheServer,
            MemcacheRsTest::aClientMeetsFaults,
        };
        for (Test test : tests) {
            test.run();
        }
        System.out.println(tests.length + " passed, 0 failed");
    }
}
