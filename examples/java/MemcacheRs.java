import com.sun.jna.IntegerType;
import com.sun.jna.Library;
import com.sun.jna.Native;
import com.sun.jna.Pointer;
import com.sun.jna.Structure;
import com.sun.jna.Structure.FieldOrder;
import com.sun.jna.ptr.LongByReference;
import com.sun.jna.ptr.PointerByReference;
import java.net.InetSocketAddress;
import java.nio.charset.StandardCharsets;
import java.time.Duration;
import java.util.Arrays;
import java.util.Map;
import java.util.Optional;

/** memcached in the process: a cache, and servers for tests. Copy this file. It needs JNA. */
public final class MemcacheRs {
    /** Lets an item live until it is deleted, evicted or flushed. */
    public static final Duration NEVER = Duration.ZERO;

    /** Reports that a call failed. */
    public static final class Failure extends RuntimeException {
        private static final long serialVersionUID = 1;

        /** The status of the header. */
        public final int status;

        Failure(int status, String message) {
            super(message);
            this.status = status;
        }
    }

    /** What clients meet. */
    public enum Fault {
        DROP(2), ERROR(3), MISS(4);

        final int number;

        Fault(int number) {
            this.number = number;
        }
    }

    /** A cache. Any thread may use it until it is closed. */
    public static final class Cache implements AutoCloseable {
        private Pointer handle;

        /** Creates a cache that no server serves, with names and values of docs/settings.md. */
        public Cache(Map<String, String> settings) {
            Pointer config = config(settings);
            try {
                PointerByReference out = new PointerByReference();
                check(C.mcrs_cache_new(config, out));
                handle = out.getValue();
            } finally {
                C.mcrs_config_free(config);
            }
        }

        private Cache(Pointer handle) {
            this.handle = handle;
        }

        /** Frees the handle. Later calls throw a Failure. */
        @Override
        public void close() {
            C.mcrs_cache_free(handle);
            handle = null;
        }

        /** Returns the value of a key. */
        public Optional<byte[]> get(String key) {
            byte[] k = bytes(key);
            LongByReference length = new LongByReference();
            for (int size = 512; ; size = (int) length.getValue()) {
                byte[] buffer = new byte[size];
                int status = C.mcrs_cache_get(handle, k, new Size(k.length), buffer, new Size(size), length);
                if (status == NOT_FOUND) {
                    return Optional.empty();
                }
                if (status != BUFFER_TOO_SMALL) {
                    check(status);
                    return Optional.of(Arrays.copyOf(buffer, (int) length.getValue()));
                }
            }
        }

        /** Stores a value for a time, which is rounded up to seconds, or NEVER. */
        public void set(String key, byte[] value, Duration ttl) {
            byte[] k = bytes(key);
            int seconds = (int) Math.min(ttl.plusNanos(999_999_999).toSeconds(), 0xffff_ffffL);
            check(C.mcrs_cache_set(handle, k, new Size(k.length), value, new Size(value.length), seconds));
        }

        /** Deletes an item, and returns whether there was one. */
        public boolean delete(String key) {
            byte[] k = bytes(key);
            int status = C.mcrs_cache_delete(handle, k, new Size(k.length));
            if (status != NOT_FOUND) {
                check(status);
            }
            return status != NOT_FOUND;
        }

        /** Adds to a decimal number, and returns the sum, which has no sign. */
        public long incr(String key, long delta) {
            byte[] k = bytes(key);
            LongByReference sum = new LongByReference();
            check(C.mcrs_cache_incr(handle, k, new Size(k.length), delta, sum));
            return sum.getValue();
        }

        /** Stops the cache's clock. advance still moves it. */
        public void freezeClock() {
            check(C.mcrs_clock_freeze(handle));
        }

        /** Moves the cache's clock by whole seconds. */
        public void advance(Duration by) {
            check(C.mcrs_clock_advance(handle, by.toSeconds()));
        }

        /** Lets clients meet a fault on a command, as "get", until the result is closed. */
        public Injected inject(Fault kind, String command, String text) {
            FaultStruct fault = new FaultStruct();
            fault.kind = kind.number;
            fault.command = command;
            fault.text = text;
            LongByReference id = new LongByReference();
            check(C.mcrs_faults_add(handle, fault, id));
            return () -> check(C.mcrs_faults_remove(handle, id.getValue(), null));
        }
    }

    /** A fault, which close removes. */
    public interface Injected extends AutoCloseable {
        @Override
        void close();
    }

    /** A server with a cache of its own, at a free port of 127.0.0.1. */
    public static final class Server implements AutoCloseable {
        private Pointer handle;
        private final Cache cache;
        private final InetSocketAddress address;

        /** Starts a server, with names and values of docs/settings.md. */
        public Server(Map<String, String> settings) {
            Pointer config = config(settings);
            PointerByReference out = new PointerByReference();
            try {
                check(C.mcrs_config_listen_tcp(config, null, (short) 0, 0, 0));
                check(C.mcrs_server_start(config, out));
            } finally {
                C.mcrs_config_free(config);
            }
            handle = out.getValue();
            check(C.mcrs_server_cache(handle, out));
            cache = new Cache(out.getValue());
            AddressStruct at = new AddressStruct();
            check(C.mcrs_server_address(handle, new Size(0), at));
            address = new InetSocketAddress(at.host, Short.toUnsignedInt(at.port));
        }

        public Cache cache() {
            return cache;
        }

        public InetSocketAddress address() {
            return address;
        }

        /** Stops the server, and frees it and its cache. */
        @Override
        public void close() {
            cache.close();
            C.mcrs_server_free(handle);
            handle = null;
        }
    }

    private static final int OK = 0;
    private static final int NOT_FOUND = 1;
    private static final int BUFFER_TOO_SMALL = 5;

    private static void check(int status) {
        if (status != OK) {
            throw new Failure(status, C.mcrs_error_message());
        }
    }

    private static byte[] bytes(String key) {
        return key.getBytes(StandardCharsets.UTF_8);
    }

    private static Pointer config(Map<String, String> settings) {
        PointerByReference out = new PointerByReference();
        check(C.mcrs_config_new(out));
        try {
            settings.forEach((name, value) -> check(C.mcrs_config_set(out.getValue(), name, value)));
        } catch (Failure failure) {
            C.mcrs_config_free(out.getValue());
            throw failure;
        }
        return out.getValue();
    }

    /** size_t. */
    public static final class Size extends IntegerType {
        private static final long serialVersionUID = 1;

        public Size() {
            this(0);
        }

        public Size(long value) {
            super(Native.SIZE_T_SIZE, value, true);
        }
    }

    @FieldOrder({"kind", "delay_ms", "text", "command", "key", "key_len", "times", "probability", "after", "reserved"})
    public static final class FaultStruct extends Structure {
        public int kind;
        public int delay_ms;
        public String text;
        public String command;
        public Pointer key;
        public Size key_len = new Size();
        public long times;
        public double probability;
        public Size after = new Size();
        public long reserved;
    }

    @FieldOrder({"kind", "port", "host"})
    public static final class AddressStruct extends Structure {
        public int kind;
        public short port;
        public String host;
    }

    /** The functions of the header. A thread reads its own mcrs_error_message. */
    private interface Functions extends Library {
        String mcrs_error_message();

        int mcrs_config_new(PointerByReference config);

        int mcrs_config_set(Pointer config, String name, String value);

        int mcrs_config_listen_tcp(Pointer config, String host, short port, int protocol, int tls);

        void mcrs_config_free(Pointer config);

        int mcrs_cache_new(Pointer config, PointerByReference cache);

        void mcrs_cache_free(Pointer cache);

        int mcrs_cache_get(Pointer cache, byte[] key, Size keyLength, byte[] buffer, Size size, LongByReference length);

        int mcrs_cache_set(Pointer cache, byte[] key, Size keyLength, byte[] value, Size length, int ttl);

        int mcrs_cache_delete(Pointer cache, byte[] key, Size keyLength);

        int mcrs_cache_incr(Pointer cache, byte[] key, Size keyLength, long delta, LongByReference sum);

        int mcrs_clock_freeze(Pointer cache);

        int mcrs_clock_advance(Pointer cache, long seconds);

        int mcrs_faults_add(Pointer cache, FaultStruct fault, LongByReference id);

        int mcrs_faults_remove(Pointer cache, long id, LongByReference applied);

        int mcrs_server_start(Pointer config, PointerByReference server);

        int mcrs_server_cache(Pointer server, PointerByReference cache);

        int mcrs_server_address(Pointer server, Size index, AddressStruct address);

        void mcrs_server_free(Pointer server);
    }

    private static final Functions C = Native.load("libmemcache_rs.so.1", Functions.class,
            Map.of(Library.OPTION_STRING_ENCODING, "UTF-8"));

    private MemcacheRs() {
    }
}
