<?php
// memcached in the process: a cache, and servers for tests. Copy this file. It needs the extension
// FFI and libmemcache_rs.
declare(strict_types=1);

namespace MemcacheRs;

use FFI;
use FFI\CData;

const NEVER = 0;

/** Reports that a call failed. Its code is the status of the header. */
final class Error extends \RuntimeException
{
}

/** The functions of the library. PHP reads no preprocessor, so the declarations are copied. */
final class Library
{
    public const OK = 0;
    public const NOT_FOUND = 1;
    public const BUFFER_TOO_SMALL = 5;

    private const HEADER = <<<'C'
        typedef struct mcrs_cache mcrs_cache;
        typedef struct mcrs_config mcrs_config;
        typedef struct mcrs_server mcrs_server;
        typedef struct mcrs_address { uint32_t kind; uint16_t port; const char *host; } mcrs_address;
        typedef struct mcrs_fault {
            uint32_t kind; uint32_t delay_ms; const char *text; const char *command; const void *key; size_t key_len;
            uint64_t times; double probability; size_t after; uint64_t reserved[1];
        } mcrs_fault;
        const char *mcrs_error_message(void);
        int32_t mcrs_config_new(mcrs_config **config);
        int32_t mcrs_config_set(mcrs_config *config, const char *name, const char *value);
        int32_t mcrs_config_listen_tcp(mcrs_config *config, const char *host, uint16_t port, uint32_t protocol, uint32_t tls);
        void mcrs_config_free(mcrs_config *config);
        int32_t mcrs_cache_new(const mcrs_config *config, mcrs_cache **cache);
        void mcrs_cache_free(mcrs_cache *cache);
        int32_t mcrs_cache_get(const mcrs_cache *cache, const char *key, size_t key_len, void *buffer, size_t size, size_t *len);
        int32_t mcrs_cache_set(const mcrs_cache *cache, const char *key, size_t key_len, const char *value, size_t len, uint32_t ttl);
        int32_t mcrs_cache_delete(const mcrs_cache *cache, const char *key, size_t key_len);
        int32_t mcrs_cache_incr(const mcrs_cache *cache, const char *key, size_t key_len, uint64_t delta, uint64_t *value);
        int32_t mcrs_clock_freeze(const mcrs_cache *cache);
        int32_t mcrs_clock_advance(const mcrs_cache *cache, int64_t seconds);
        int32_t mcrs_faults_add(const mcrs_cache *cache, const mcrs_fault *fault, uint64_t *id);
        int32_t mcrs_faults_remove(const mcrs_cache *cache, uint64_t id, uint64_t *applied);
        int32_t mcrs_server_start(const mcrs_config *config, mcrs_server **server);
        int32_t mcrs_server_cache(const mcrs_server *server, mcrs_cache **cache);
        int32_t mcrs_server_address(const mcrs_server *server, size_t index, mcrs_address *address);
        void mcrs_server_free(mcrs_server *server);
        C;

    private static ?FFI $ffi = null;

    public static function ffi(): FFI
    {
        return self::$ffi ??= FFI::cdef(self::HEADER, 'libmemcache_rs.so.1');
    }

    /** Throws unless a call returned OK or a status that the caller expects. */
    public static function check(int $status, int ...$expected): int
    {
        if ($status !== self::OK && !in_array($status, $expected, true)) {
            throw new Error(self::ffi()->mcrs_error_message(), $status);
        }
        return $status;
    }

    /** Makes a variable of a C type, whose address functions take. */
    public static function variable(string $type): CData
    {
        return self::ffi()->new($type);
    }

    /**
     * Calls a function with settings, and frees them.
     *
     * @param array<string, string|int> $settings
     */
    public static function withConfig(array $settings, callable $use): CData
    {
        $config = self::variable('mcrs_config *');
        self::check(self::ffi()->mcrs_config_new(FFI::addr($config)));
        try {
            foreach ($settings as $name => $value) {
                self::check(self::ffi()->mcrs_config_set($config, $name, (string) $value));
            }
            return $use($config);
        } finally {
            self::ffi()->mcrs_config_free($config);
        }
    }
}

/** A cache. It is freed with the last reference to it, or by close(). */
final class Cache
{
    private const FAULTS = ['drop' => 2, 'error' => 3, 'miss' => 4];

    /** @internal use Cache::open(). */
    public function __construct(private ?CData $handle)
    {
    }

    /**
     * Creates a cache that no server serves.
     *
     * @param array<string, string|int> $settings names and values of docs/settings.md
     */
    public static function open(array $settings = []): self
    {
        return new self(Library::withConfig($settings, static function (CData $config): CData {
            $handle = Library::variable('mcrs_cache *');
            Library::check(Library::ffi()->mcrs_cache_new($config, FFI::addr($handle)));
            return $handle;
        }));
    }

    public function __destruct()
    {
        $this->close();
    }

    /** Frees the handle. Later calls throw an Error. */
    public function close(): void
    {
        Library::ffi()->mcrs_cache_free($this->handle);
        $this->handle = null;
    }

    /** Returns the value of a key, or null. */
    public function get(string $key): ?string
    {
        $length = Library::variable('size_t');
        for ($size = 512;; $size = $length->cdata) {
            $buffer = Library::variable("char[$size]");
            $status = Library::check(
                Library::ffi()->mcrs_cache_get($this->handle, $key, strlen($key), $buffer, $size, FFI::addr($length)),
                Library::NOT_FOUND,
                Library::BUFFER_TOO_SMALL,
            );
            if ($status !== Library::BUFFER_TOO_SMALL) {
                return $status === Library::OK ? FFI::string($buffer, $length->cdata) : null;
            }
        }
    }

    /** Stores a value for a number of seconds. */
    public function set(string $key, string $value, int $ttl = NEVER): void
    {
        Library::check(
            Library::ffi()->mcrs_cache_set($this->handle, $key, strlen($key), $value, strlen($value), $ttl),
        );
    }

    /** Deletes an item, and returns whether there was one. */
    public function delete(string $key): bool
    {
        $status = Library::ffi()->mcrs_cache_delete($this->handle, $key, strlen($key));
        return Library::check($status, Library::NOT_FOUND) === Library::OK;
    }

    /** Adds to a decimal number, and returns the sum. */
    public function incr(string $key, int $delta = 1): int
    {
        $sum = Library::variable('uint64_t');
        Library::check(Library::ffi()->mcrs_cache_incr($this->handle, $key, strlen($key), $delta, FFI::addr($sum)));
        return $sum->cdata;
    }

    /** Stops the cache's clock. advance() still moves it. */
    public function freezeClock(): void
    {
        Library::check(Library::ffi()->mcrs_clock_freeze($this->handle));
    }

    /** Moves the cache's clock by a number of seconds. */
    public function advance(int $seconds): void
    {
        Library::check(Library::ffi()->mcrs_clock_advance($this->handle, $seconds));
    }

    /** Lets clients meet a fault on a command, as "get", while a function runs. */
    public function fault(string $kind, string $command, callable $during, string $text = 'injected'): mixed
    {
        $fault = Library::variable('mcrs_fault');
        $fault->kind = self::FAULTS[$kind];
        // The arrays must live as long as the call.
        $texts = [];
        foreach (['command' => $command, 'text' => $text] as $field => $given) {
            $texts[$field] = Library::variable('char[' . strlen($given) + 1 . ']');
            FFI::memcpy($texts[$field], $given, strlen($given));
            $fault->$field = Library::ffi()->cast('char *', FFI::addr($texts[$field]));
        }
        $id = Library::variable('uint64_t');
        Library::check(Library::ffi()->mcrs_faults_add($this->handle, FFI::addr($fault), FFI::addr($id)));
        try {
            return $during();
        } finally {
            Library::check(Library::ffi()->mcrs_faults_remove($this->handle, $id->cdata, null));
        }
    }
}

/** A server with a cache of its own, at a free port of 127.0.0.1. */
final class Server
{
    public readonly Cache $cache;
    public readonly string $host;
    public readonly int $port;
    private ?CData $handle;

    /** @param array<string, string|int> $settings names and values of docs/settings.md */
    public function __construct(array $settings = [])
    {
        $ffi = Library::ffi();
        $this->handle = Library::withConfig($settings, static function (CData $config) use ($ffi): CData {
            $handle = Library::variable('mcrs_server *');
            Library::check($ffi->mcrs_config_listen_tcp($config, null, 0, 0, 0));
            Library::check($ffi->mcrs_server_start($config, FFI::addr($handle)));
            return $handle;
        });
        $cache = Library::variable('mcrs_cache *');
        Library::check($ffi->mcrs_server_cache($this->handle, FFI::addr($cache)));
        $this->cache = new Cache($cache);
        $address = Library::variable('mcrs_address');
        Library::check($ffi->mcrs_server_address($this->handle, 0, FFI::addr($address)));
        $this->host = is_string($address->host) ? $address->host : FFI::string($address->host);
        $this->port = $address->port;
    }

    public function __destruct()
    {
        $this->close();
    }

    /** Stops the server, and frees it. */
    public function close(): void
    {
        Library::ffi()->mcrs_server_free($this->handle ?? null);
        $this->handle = null;
    }
}
