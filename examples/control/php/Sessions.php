<?php
declare(strict_types=1);

/** The sessions of users, each for half an hour. */
final class Sessions
{
    private const SECONDS = 1800;

    public function __construct(private Memcached $cache)
    {
    }

    public function begin(string $id, string $user): void
    {
        if (!$this->cache->set("session:$id", $user, self::SECONDS)) {
            throw new RuntimeException('the session is not stored: ' . $this->cache->getResultMessage());
        }
    }

    /** Returns the user, or null if the session has ended. */
    public function user(string $id): ?string
    {
        $user = $this->cache->get("session:$id");
        if ($user !== false) {
            return $user;
        }
        // The result of an error of the server is RES_NOTFOUND, too. Only the last error tells it
        // from a miss, and a user must not be logged out because the cache has failed.
        if (!in_array($this->cache->getLastErrorCode(), [Memcached::RES_SUCCESS, Memcached::RES_NOTFOUND], true)) {
            throw new RuntimeException('the sessions are out of reach: ' . $this->cache->getLastErrorMessage());
        }
        return null;
    }
}
