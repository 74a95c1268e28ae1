import java.util.Optional;
import net.spy.memcached.MemcachedClient;

/** The sessions of users, each for half an hour. */
public final class Sessions {
    private static final int SECONDS = 1800;

    private final MemcachedClient cache;

    public Sessions(MemcachedClient cache) {
        this.cache = cache;
    }

    public void begin(String id, String user) throws Exception {
        if (!cache.set("session:" + id, SECONDS, user).get()) {
            throw new IllegalStateException("the session is not stored");
        }
    }

    /** Returns the user, or nothing if the session has ended. Throws if the cache fails. */
    public Optional<String> user(String id) {
        return Optional.ofNullable((String) cache.get("session:" + id));
    }
}
