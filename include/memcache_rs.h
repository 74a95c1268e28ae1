/*
 * memcache_rs.h: memcached as a library, in C.
 *
 * Made from the crate memcache-capi of memcache-rs; do not edit. MIT OR Apache-2.0.
 *
 * CONTRACT
 *
 * It holds for every function; what is special to one stands there.
 *
 * Status      Functions return an mcrs_status: MCRS_OK, or why not. Numbers never change their meaning and are
 *             never used again; later versions may return others. mcrs_error_message() has the text of this
 *             thread's last call that did not return MCRS_OK. The functions of versions and texts cannot fail.
 *
 * Outputs     Outputs are written on MCRS_OK only: on any other status they are as they were. The exceptions
 *             are the length or count that says how much room is needed (MCRS_BUFFER_TOO_SMALL), the room of
 *             mcrs_cache_get_many_into(), and what mcrs_cache_set_many() tells of each key.
 *
 * Ownership   What a function gives by a pointer to a handle (mcrs_cache **) belongs to the caller, who frees it
 *             once with the _free function of its kind, when no other call uses it; NULL is allowed there and
 *             does nothing. Everything else that is given belongs to the handle it came from, or is static, as
 *             is said there. What is passed stays the caller's: the library keeps no pointer to it beyond the
 *             call, but userdata. Handles do not keep each other waiting: they may be freed in any order.
 *
 * NULL        A handle, a place for an output or a callback must not be NULL unless it says so:
 *             MCRS_NULL_ARGUMENT. Bytes may be NULL if their length is 0. Texts end in a NUL and are UTF-8, but
 *             for paths, which are any bytes.
 *
 * Keys        1 to 250 bytes of any value: MCRS_BAD_KEY. Who shares a cache with clients of the text protocols
 *             avoids blanks and control characters, which these cannot send. Values are any bytes; the most that
 *             an item may have is a setting (mcrs_config_set_item_size_max).
 *
 * Time        A TTL is seconds from now, of the cache's clock, which counts whole seconds; 0 is MCRS_NEVER. There
 *             is no rule of 30 days: that belongs to the wire. To expire an item at once, delete it.
 *
 * Threads     Any thread may use any handle at any time, also the same one, but for mcrs_config, which one thread
 *             at a time may use, and but for freeing. Nothing blocks for long, except mcrs_server_start(),
 *             mcrs_server_stop(), mcrs_server_wait() and freeing a server or the last handle of a cache, which
 *             wait for threads of the library.
 *
 * Callbacks   They return as functions do: no longjmp, no C++ exception. What one may call is said at its type;
 *             what it may not call returns MCRS_IN_CALLBACK, and does not hang. Userdata is handed back as it
 *             was given and must live as long as the call, or as the server that has the callback.
 *
 * fork        In a child of fork(), handles from before the fork return MCRS_FORKED, and freeing them does
 *             nothing, not even give memory back; only mcrs_config stays good. What the child makes itself works,
 *             if no other thread was inside the library at the moment of the fork. The parent notices nothing.
 *
 * Process     The library sets no signal handler and blocks all signals in its own threads, changes no locale, no
 *             limit and no directory, registers nothing with atexit(), and writes to no stream, but for a
 *             server's log, which goes to standard error unless mcrs_config_set_log() says otherwise, and the
 *             report of a mistake of the library itself. The end of the process does not wait for servers.
 *             Sending to a closed connection raises no SIGPIPE.
 *
 * dlopen      It may be loaded by dlopen(). dlclose() is allowed at any time, and leaves the library in memory
 *             (it is linked with -z nodelete): a thread of it may still run.
 *
 * Panics      A mistake of the library does not unwind into C: the call returns MCRS_PANIC.
 *
 * Versions    Structures that are passed in are all zero by default: write `mcrs_store_options options = {0};`.
 *             Their reserved fields must be 0. Later versions may add functions, status numbers, bits and use
 *             reserved fields; what takes something away changes MCRS_ABI_VERSION and the SONAME.
 */


#ifndef MEMCACHE_RS_H
#define MEMCACHE_RS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/**
 * The version of this header. mcrs_version() and its kin tell that of the library.
 */
#define MCRS_VERSION_MAJOR 0
#define MCRS_VERSION_MINOR 1
#define MCRS_VERSION_PATCH 0
#define MCRS_VERSION "0.1.0"
#define MCRS_VERSION_NUMBER (MCRS_VERSION_MAJOR * 1000000 + MCRS_VERSION_MINOR * 1000 + MCRS_VERSION_PATCH)

/**
 * The version of the ABI, which the SONAME ends in.
 */
#define MCRS_ABI_VERSION 1


/**
 * A TTL that does not end.
 */
#define MCRS_NEVER 0

/**
 * In mcrs_info.bits: the item was read before.
 */
#define MCRS_INFO_FETCHED 1

/**
 * In mcrs_info.bits: the item was invalidated, and nobody has stored a
 * new one.
 */
#define MCRS_INFO_STALE 2

/**
 * In mcrs_info.bits, of mcrs_cache_meta_get(): this caller, and nobody else, is
 * to store a new value.
 */
#define MCRS_INFO_WON 4

/**
 * In mcrs_info.bits, of mcrs_cache_meta_get(): another caller was told to store a
 * new value and has not done so yet.
 */
#define MCRS_INFO_SENT 8

/**
 * In mcrs_info.bits, of mcrs_cache_meta_get(): there was no item; this call made
 * an empty one.
 */
#define MCRS_INFO_CREATED 16

/**
 * In mcrs_meta_get_options.bits: give the item the TTL `ttl`.
 */
#define MCRS_META_TTL 1

/**
 * In mcrs_meta_get_options.bits: if there is no item, make an empty one with the
 * TTL `create_ttl`; the caller wins.
 */
#define MCRS_META_CREATE 2

/**
 * In mcrs_meta_get_options.bits: this is no use of the item; it does not keep it
 * from being evicted.
 */
#define MCRS_META_PEEK 4

/**
 * In mcrs_delete_options.bits: keep the item, but mark it stale. The next
 * caller of mcrs_cache_meta_get() wins; until that one has stored a new value, others
 * may use the old.
 */
#define MCRS_DELETE_STALE 1

/**
 * In mcrs_delete_options.bits: keep an item without a value, with the client
 * flags `flags`.
 */
#define MCRS_DELETE_VALUE 2

/**
 * In mcrs_delete_options.bits: give what is kept the TTL `ttl`.
 */
#define MCRS_DELETE_TTL 4

/**
 * For mcrs_server_wait(): without end.
 */
#define MCRS_FOREVER UINT32_MAX

/**
 * In mcrs_store_options.bits, with MCRS_MODE_SET and `compare_cas`: store too if
 * the item was changed since, but mark the new one stale. For who won a
 * recache (mcrs_cache_meta_get()) of an item that was then invalidated again.
 */
#define MCRS_STORE_ALLOW_STALE 1

/**
 * In mcrs_store_options.bits, with MCRS_MODE_APPEND and MCRS_MODE_PREPEND: if
 * there is no item, make one.
 */
#define MCRS_STORE_CREATE 2

/**
 * In mcrs_delta_options.bits: if there is no item, make one with the value
 * `initial` and the TTL `create_ttl`.
 */
#define MCRS_DELTA_CREATE 1

/**
 * In mcrs_delta_options.bits: give the item the TTL `ttl`, as long as the number
 * gets no longer (as memcached does it).
 */
#define MCRS_DELTA_TTL 2

/**
 * What became of a call. A number never changes its meaning and is never used
 * again; later versions may add others.
 */
enum mcrs_status
#if defined(__cplusplus) || __STDC_VERSION__ >= 202311L
  : int32_t
#endif // defined(__cplusplus) || __STDC_VERSION__ >= 202311L
 {
    /**
     * It is done; outputs are written.
     */
    MCRS_OK = 0,
    /**
     * There is no such item, rule or address.
     */
    MCRS_NOT_FOUND = 1,
    /**
     * There is an item, or there is none, as this kind of store does not want.
     */
    MCRS_NOT_STORED = 2,
    /**
     * The item's CAS is another: somebody has changed it.
     */
    MCRS_EXISTS = 3,
    /**
     * The value is not a decimal number of 64 bits.
     */
    MCRS_NOT_A_NUMBER = 4,
    /**
     * The room given is too small; the length output says what is needed.
     */
    MCRS_BUFFER_TOO_SMALL = 5,
    /**
     * It has not happened in the time given.
     */
    MCRS_TIMED_OUT = 6,
    /**
     * The item is larger than items may be.
     */
    MCRS_TOO_LARGE = 20,
    /**
     * There is no memory, and nothing may be evicted for it.
     */
    MCRS_NO_MEMORY = 21,
    /**
     * A pointer is NULL that must not be.
     */
    MCRS_NULL_ARGUMENT = 40,
    /**
     * A key has 1 to 250 bytes.
     */
    MCRS_BAD_KEY = 41,
    /**
     * An argument or a setting cannot be so.
     */
    MCRS_INVALID_ARGUMENT = 42,
    /**
     * A callback may not do this.
     */
    MCRS_IN_CALLBACK = 43,
    /**
     * The handle was made before `fork`, in a parent of this process.
     */
    MCRS_FORKED = 44,
    /**
     * An address cannot be listened at.
     */
    MCRS_LISTEN_FAILED = 60,
    /**
     * The system refused memory, a thread or a descriptor.
     */
    MCRS_SYSTEM_ERROR = 61,
    /**
     * A file of passwords or certificates cannot be used.
     */
    MCRS_BAD_FILE = 62,
    /**
     * A mistake of this library: please report it.
     */
    MCRS_PANIC = 99,
};
#ifndef __cplusplus
#if __STDC_VERSION__ >= 202311L
typedef enum mcrs_status mcrs_status;
#else
typedef int32_t mcrs_status;
#endif // __STDC_VERSION__ >= 202311L
#endif // __cplusplus

/**
 * A cache. Several handles may be of the same one, which lives until the last
 * of them is freed and no server serves it. Any thread may use a handle at any
 * time.
 */
typedef struct mcrs_cache mcrs_cache;

/**
 * Settings. They are copied when something is started with them, so they can be
 * changed or freed at any time after. One thread at a time may use such a
 * handle; a child of fork() may go on using it.
 */
typedef struct mcrs_config mcrs_config;

/**
 * A value that stays readable and unchanged until it is freed, whatever
 * becomes of its key, of the cache's handle and of a server. It holds on to a
 * part of the cache's memory, so keep it no longer than it is needed. Any
 * thread may use it at any time.
 */
typedef struct mcrs_item mcrs_item;

/**
 * A server with its threads. Any thread may use a handle at any time.
 */
typedef struct mcrs_server mcrs_server;

/**
 * Bytes of C: a key, a value, a place in a buffer. The same as `struct iovec`.
 */
typedef struct mcrs_slice {
    /**
     * The bytes; may be NULL if there are none.
     */
    const void *data;
    /**
     * How many.
     */
    size_t len;
} mcrs_slice;

/**
 * What there is to know of an item beside its value.
 */
typedef struct mcrs_info {
    /**
     * Bytes of the value.
     */
    size_t value_len;
    /**
     * Changes with every store; 0 if the cache keeps none.
     */
    uint64_t cas;
    /**
     * The caller's own number, as it was stored.
     */
    uint32_t flags;
    /**
     * Seconds until the item expires, or MCRS_NEVER.
     */
    uint32_t ttl;
    /**
     * Seconds since the item was last used.
     */
    uint32_t idle;
    /**
     * MCRS_INFO_ bits; others may come.
     */
    uint32_t bits;
    /**
     * 0; for later versions.
     */
    uint64_t reserved[4];
} mcrs_info;

/**
 * Shows a caller an item. `index` is the position of its key in the call's
 * list, 0 if there is one key. `value` and `info` are good until the function
 * returns.
 *
 * It runs while a part of the cache is locked, so it should be short, and it
 * must not call this library, but for mcrs_error_message(), mcrs_status_text()
 * and the mcrs_item_ functions that are not mcrs_item_free(): others return
 * MCRS_IN_CALLBACK.
 */
typedef void (*mcrs_found_fn)(void *userdata,
                              size_t index,
                              const struct mcrs_slice *value,
                              const struct mcrs_info *info);

/**
 * Takes a line of a server's log, without a line end. `level` is 0 for what is
 * always logged, else the verbosity that it takes. `line` is good until the
 * function returns.
 *
 * It runs on any thread of the server, on several at once, and on the thread
 * that starts the server. It may call this library, but for
 * mcrs_server_start(), mcrs_server_stop(), mcrs_server_wait() and
 * mcrs_server_free(): these return MCRS_IN_CALLBACK (the last one does nothing).
 * To stop the server, use mcrs_server_request_stop().
 */
typedef void (*mcrs_log_fn)(void *userdata, int level, const char *line);

/**
 * Learns that a server has stopped: called once, on the server's last thread,
 * when it holds no connection and no listener any more, before
 * mcrs_server_wait() and mcrs_server_stop() return. Not called for a server that
 * did not start. What it may call is what mcrs_log_fn may.
 */
typedef void (*mcrs_stopped_fn)(void *userdata);

/**
 * How clients prove who they are: one of the MCRS_AUTH_ numbers.
 */
typedef uint32_t mcrs_auth;

/**
 * How the cache decides which items stay: one of the MCRS_LRU_ numbers.
 */
typedef uint32_t mcrs_lru_mode;

/**
 * What a listener speaks: one of the MCRS_PROTOCOL_ numbers.
 */
typedef uint32_t mcrs_protocol;

/**
 * Whether a listener speaks TLS, and what it wants of clients: one of the
 * MCRS_TLS_ numbers.
 */
typedef uint32_t mcrs_tls_mode;

/**
 * What is wanted of a client's certificate: one of the MCRS_VERIFY_ numbers.
 */
typedef uint32_t mcrs_verify;

/**
 * What goes wrong: one of the MCRS_FAULT_ numbers.
 */
typedef uint32_t mcrs_fault_kind;

/**
 * A fault and when it happens: all conditions that are given must hold. All
 * zero but `kind`: always.
 */
typedef struct mcrs_fault {
    /**
     * What goes wrong.
     */
    mcrs_fault_kind kind;
    /**
     * Of MCRS_FAULT_DELAY.
     */
    uint32_t delay_ms;
    /**
     * Of MCRS_FAULT_ERROR; NULL is "injected".
     */
    const char *text;
    /**
     * Only this command, by its name in the text protocols ("get", "mg"); NULL:
     * all.
     */
    const char *command;
    /**
     * Only keys that match, in which `*` stands for any bytes; NULL: all.
     */
    const void *key;
    /**
     * Bytes of `key`.
     */
    size_t key_len;
    /**
     * At most this many times; 0: without end.
     */
    uint64_t times;
    /**
     * With this probability, above 0 and up to 1; 0 is taken for 1.
     */
    double probability;
    /**
     * Of MCRS_FAULT_TRUNCATE.
     */
    size_t after;
    /**
     * 0; for later versions.
     */
    uint64_t reserved[1];
} mcrs_fault;

/**
 * Shows a caller a key; `key` and `info` are good until it returns. It returns
 * whether it wants more. Nothing is locked while it runs: it may call this
 * library.
 */
typedef bool (*mcrs_key_fn)(void *userdata, const struct mcrs_slice *key, const struct mcrs_info *info);

/**
 * What mcrs_cache_meta_get() does beside reading. All zero: it only reads.
 */
typedef struct mcrs_meta_get_options {
    /**
     * MCRS_META_ bits.
     */
    uint32_t bits;
    /**
     * Seconds to live, or MCRS_NEVER.
     */
    uint32_t ttl;
    /**
     * Not 0: if the item has fewer seconds left, one caller wins.
     */
    uint32_t recache;
    /**
     * Seconds to live of an item that is made, or MCRS_NEVER.
     */
    uint32_t create_ttl;
    /**
     * CAS of an item that is made; 0: the next one.
     */
    uint64_t new_cas;
    /**
     * 0; for later versions.
     */
    uint64_t reserved[4];
} mcrs_meta_get_options;

/**
 * How mcrs_cache_delete_with() deletes. All zero is a plain delete.
 */
typedef struct mcrs_delete_options {
    /**
     * MCRS_DELETE_ bits.
     */
    uint32_t bits;
    /**
     * Seconds to live, or MCRS_NEVER.
     */
    uint32_t ttl;
    /**
     * Flags of what is kept without a value.
     */
    uint32_t flags;
    /**
     * 0; for later versions.
     */
    uint32_t reserved_bits;
    /**
     * Not 0: only an item with this CAS.
     */
    uint64_t compare_cas;
    /**
     * CAS of what is kept; 0: the next one.
     */
    uint64_t new_cas;
    /**
     * 0; for later versions.
     */
    uint64_t reserved[4];
} mcrs_delete_options;

/**
 * What kind of address it is: one of the MCRS_ADDRESS_ numbers.
 */
typedef uint32_t mcrs_address_kind;

/**
 * Where a server can be reached.
 */
typedef struct mcrs_address {
    /**
     * What kind it is.
     */
    mcrs_address_kind kind;
    /**
     * The port that was really taken; 0 for a Unix socket.
     */
    uint16_t port;
    /**
     * Address without port, or the path; good until the server is freed.
     */
    const char *host;
} mcrs_address;

/**
 * One node of a cluster's list.
 */
typedef struct mcrs_node {
    /**
     * Its name.
     */
    const char *host;
    /**
     * Its address; NULL: unknown.
     */
    const char *ip;
    /**
     * Its port.
     */
    uint16_t port;
} mcrs_node;

/**
 * Shows a caller a statistic, both texts as memcached writes them; they are good
 * until it returns. It returns whether it wants more. It may call this library.
 */
typedef bool (*mcrs_stat_fn)(void *userdata, const char *name, const char *value);

/**
 * What a store does about an item that is there: one of the MCRS_MODE_ numbers.
 */
typedef uint32_t mcrs_mode;

/**
 * How mcrs_cache_store() stores. All zero is a plain set: write
 * `mcrs_store_options options = {0};` and set what is wanted.
 */
typedef struct mcrs_store_options {
    /**
     * What to do about an item that is there.
     */
    mcrs_mode mode;
    /**
     * MCRS_STORE_ bits.
     */
    uint32_t bits;
    /**
     * A number of the caller's own, kept with the value.
     */
    uint32_t flags;
    /**
     * Seconds to live, or MCRS_NEVER.
     */
    uint32_t ttl;
    /**
     * Not 0: store only over an item with this CAS. Not with MCRS_MODE_ADD and
     * MCRS_MODE_REPLACE.
     */
    uint64_t compare_cas;
    /**
     * CAS of the new item; 0: the next one.
     */
    uint64_t new_cas;
    /**
     * 0; for later versions.
     */
    uint64_t reserved[4];
} mcrs_store_options;

/**
 * How mcrs_cache_incr_with() counts. All zero adds 0 to an item that is there.
 */
typedef struct mcrs_delta_options {
    /**
     * How much to add or subtract.
     */
    uint64_t delta;
    /**
     * The value of an item that is made.
     */
    uint64_t initial;
    /**
     * Not 0: only an item with this CAS.
     */
    uint64_t compare_cas;
    /**
     * CAS of the new value; 0: the next one.
     */
    uint64_t new_cas;
    /**
     * MCRS_COUNT_ bits.
     */
    uint32_t bits;
    /**
     * Seconds to live, or MCRS_NEVER.
     */
    uint32_t ttl;
    /**
     * The same for an item that is made.
     */
    uint32_t create_ttl;
    /**
     * 0; for later versions.
     */
    uint32_t reserved_bits;
    /**
     * 0; for later versions.
     */
    uint64_t reserved[4];
} mcrs_delta_options;

/**
 * SASL PLAIN, in the binary protocol; the text protocols are refused.
 */
#define MCRS_AUTH_SASL 1

/**
 * A set whose value is name and password, in the text protocols; the binary
 * protocol is refused.
 */
#define MCRS_AUTH_TEXT 2

/**
 * One log in order of use.
 */
#define MCRS_LRU_FLAT 0

/**
 * New and used items apart, judged by use and size. The default.
 */
#define MCRS_LRU_SEGMENTED 1

/**
 * Decided by the first byte of each connection.
 */
#define MCRS_PROTOCOL_AUTO 0

/**
 * Classic and meta text.
 */
#define MCRS_PROTOCOL_TEXT 1

/**
 * The binary protocol.
 */
#define MCRS_PROTOCOL_BINARY 2

/**
 * No TLS.
 */
#define MCRS_TLS_OFF 0

/**
 * TLS, clients as mcrs_config_set_tls_verify() says.
 */
#define MCRS_TLS_ON 1

/**
 * TLS, clients need no certificate.
 */
#define MCRS_TLS_NO_PEER 2

/**
 * TLS, clients need a certificate.
 */
#define MCRS_TLS_PEER 3

/**
 * None is asked for. The default.
 */
#define MCRS_VERIFY_NONE 0

/**
 * One is asked for; if the client has one, it must be good.
 */
#define MCRS_VERIFY_REQUEST 1

/**
 * A good one is needed.
 */
#define MCRS_VERIFY_REQUIRE 2

/**
 * The command waits `delay_ms` milliseconds first.
 */
#define MCRS_FAULT_DELAY 1

/**
 * The connection is closed instead.
 */
#define MCRS_FAULT_DROP 2

/**
 * The command answers SERVER_ERROR with `text` and does nothing.
 */
#define MCRS_FAULT_ERROR 3

/**
 * A read finds nothing.
 */
#define MCRS_FAULT_MISS 4

/**
 * The command is carried out, and of its reply `after` bytes are sent, of a
 * multiget counted from where the reply to the key begins; then the connection
 * is closed.
 */
#define MCRS_FAULT_TRUNCATE 5

/**
 * A TCP address.
 */
#define MCRS_ADDRESS_TCP 1

/**
 * The path of a Unix socket.
 */
#define MCRS_ADDRESS_UNIX 2

/**
 * A UDP address.
 */
#define MCRS_ADDRESS_UDP 3

/**
 * Store in any case.
 */
#define MCRS_MODE_SET 0

/**
 * Store if there is no item.
 */
#define MCRS_MODE_ADD 1

/**
 * Store if there is an item.
 */
#define MCRS_MODE_REPLACE 2

/**
 * Put the value behind the one that is there, which keeps its flags and TTL.
 */
#define MCRS_MODE_APPEND 3

/**
 * Put the value before the one that is there, which keeps its flags and TTL.
 */
#define MCRS_MODE_PREPEND 4

#ifdef __cplusplus
extern "C" {
#endif // __cplusplus

/**
 * A cache that no server serves, with those settings of `config` that concern
 * caches; `config` may be NULL for defaults. Free it with mcrs_cache_free(). It
 * has one thread, which keeps its clock and frees what has expired.
 */
mcrs_status mcrs_cache_new(const struct mcrs_config *config, struct mcrs_cache **cache);

/**
 * Another handle of the same cache, to be freed by itself.
 */
mcrs_status mcrs_cache_share(const struct mcrs_cache *cache, struct mcrs_cache **other);

/**
 * Frees a handle, and the cache with the last one; NULL does nothing. In a
 * child of fork() the memory stays, as it does in a callback that may not call
 * the library.
 */
void mcrs_cache_free(struct mcrs_cache *cache);

/**
 * Changes the memory limit, in bytes. Memory is given back soon after, in the
 * background. MCRS_INVALID_ARGUMENT: 0, or more than was reserved at start.
 */
mcrs_status mcrs_cache_set_memory_limit(const struct mcrs_cache *cache, size_t bytes);

/**
 * Copies the value of a key to `buffer`; `*value_len` is its length.
 *
 * MCRS_NOT_FOUND: there is no such item. MCRS_BUFFER_TOO_SMALL: the value is
 * longer than `buffer_size`, and `*value_len` says how long; `buffer` may be
 * NULL if `buffer_size` is 0. What the call returns whatever, `buffer` may have
 * been written to, up to its size. By the time of another call the
 * value may have changed: ask in a loop.
 */
mcrs_status mcrs_cache_get(const struct mcrs_cache *cache,
                           const void *key,
                           size_t key_len,
                           void *buffer,
                           size_t buffer_size,
                           size_t *value_len);

/**
 * As mcrs_cache_get(), and gives the item a new TTL in seconds, or MCRS_NEVER: also
 * if the buffer is too small.
 */
mcrs_status mcrs_cache_get_and_touch(const struct mcrs_cache *cache,
                                     const void *key,
                                     size_t key_len,
                                     uint32_t ttl,
                                     void *buffer,
                                     size_t buffer_size,
                                     size_t *value_len);

/**
 * Keeps the value of a key readable. One of more than 4 KiB is not copied (but if
 * very many values are kept, of a small cache a handful); a smaller one mostly
 * is, which takes less time than to keep it. Free the item with
 * mcrs_item_free(). MCRS_NOT_FOUND: there is none.
 */
mcrs_status mcrs_cache_get_item(const struct mcrs_cache *cache,
                                const void *key,
                                size_t key_len,
                                struct mcrs_item **item);

/**
 * Shows the value of a key to `found`, once and in one piece: where it lies, or a
 * copy for the time of the call. MCRS_NOT_FOUND: there is none, and `found` is
 * not called.
 */
mcrs_status mcrs_cache_get_with(const struct mcrs_cache *cache,
                                const void *key,
                                size_t key_len,
                                mcrs_found_fn found,
                                void *userdata);

/**
 * What there is to know of an item beside its value: its remaining TTL, flags,
 * CAS. This is no use of the item. MCRS_NOT_FOUND: there is none.
 */
mcrs_status mcrs_cache_info(const struct mcrs_cache *cache,
                            const void *key,
                            size_t key_len,
                            struct mcrs_info *info);

/**
 * Gives an item a new TTL in seconds, or MCRS_NEVER. MCRS_NOT_FOUND: there is
 * none.
 */
mcrs_status mcrs_cache_touch(const struct mcrs_cache *cache, const void *key, size_t key_len, uint32_t ttl);

/**
 * Removes an item. MCRS_NOT_FOUND: there is none.
 */
mcrs_status mcrs_cache_delete(const struct mcrs_cache *cache, const void *key, size_t key_len);

/**
 * Removes all items: at once if `delay` is 0, else in so many seconds of the
 * cache's clock those that are older by then. A later call replaces the plan.
 */
mcrs_status mcrs_cache_flush(const struct mcrs_cache *cache, uint32_t delay);

/**
 * The Unix time that the cache goes by, in whole seconds.
 */
mcrs_status mcrs_clock_now(const struct mcrs_cache *cache, int64_t *seconds);

/**
 * Stops the clock; mcrs_clock_advance() still moves it.
 */
mcrs_status mcrs_clock_freeze(const struct mcrs_cache *cache);

/**
 * Lets the clock run again from where it stands.
 */
mcrs_status mcrs_clock_resume(const struct mcrs_cache *cache);

/**
 * Sets the clock to what the time is for the system, and lets it run.
 */
mcrs_status mcrs_clock_reset(const struct mcrs_cache *cache);

/**
 * Moves the clock by `seconds`, backwards if negative.
 *
 * MCRS_INVALID_ARGUMENT: it reaches from 34 years before the cache was made to
 * 102 years after; then it is not moved.
 */
mcrs_status mcrs_clock_advance(const struct mcrs_cache *cache, int64_t seconds);

/**
 * New settings, all at their defaults: those of memcached, but that nothing is
 * listened at. Free them with mcrs_config_free().
 */
mcrs_status mcrs_config_new(struct mcrs_config **config);

/**
 * A copy of settings, to be freed by itself.
 */
mcrs_status mcrs_config_copy(const struct mcrs_config *config, struct mcrs_config **copy);

/**
 * Frees settings; NULL does nothing.
 */
void mcrs_config_free(struct mcrs_config *config);

/**
 * Checks all settings, also against each other, as starting does. What is wrong
 * says mcrs_error_message(). Files are not read.
 */
mcrs_status mcrs_config_check(const struct mcrs_config *config);

/**
 * Takes the log in place of standard error; NULL: standard error again.
 */
mcrs_status mcrs_config_set_log(struct mcrs_config *config, mcrs_log_fn log, void *userdata);

/**
 * Learns that the server has stopped; NULL: not wanted.
 */
mcrs_status mcrs_config_set_stopped(struct mcrs_config *config, mcrs_stopped_fn stopped, void *userdata);

/**
 * Clients have to prove who they are, by a file of lines `user:password`, which
 * is read at start and by mcrs_server_reload(). It takes the place of users that
 * were given before.
 */
mcrs_status mcrs_config_set_auth_file(struct mcrs_config *config, mcrs_auth auth, const char *path);

/**
 * Clients have to prove who they are: one more user, of the same kind of
 * authentication as those before. The first takes the place of a file.
 */
mcrs_status mcrs_config_add_user(struct mcrs_config *config,
                                 mcrs_auth auth,
                                 const char *user,
                                 const char *password);

/**
 * Policy of eviction; default: MCRS_LRU_SEGMENTED.
 */
mcrs_status mcrs_config_set_lru_mode(struct mcrs_config *config, mcrs_lru_mode mode);

/**
 * Sizes of the slab classes that statistics name, one by one: ascending, from
 * 40 bytes on. `count` 0: growth factor and chunk size say them, the default.
 */
mcrs_status mcrs_config_set_slab_sizes(struct mcrs_config *config, const size_t *sizes, size_t count);

/**
 * Memory for items and for finding them, in bytes; default 64 MiB. 0: no limit but
 * the addresses that are reserved, about 32 GiB.
 */
mcrs_status mcrs_config_set_memory_limit(struct mcrs_config *config, size_t bytes);

/**
 * Whether items are evicted to make room (the default), or stores refused when
 * memory is full.
 */
mcrs_status mcrs_config_set_evictions(struct mcrs_config *config, bool on);

/**
 * Largest item in bytes, as memcached counts them: 1024 to 1 GiB, and at most half
 * of the memory; default 1 MiB. A multiple of the largest chunk.
 */
mcrs_status mcrs_config_set_item_size_max(struct mcrs_config *config, size_t bytes);

/**
 * Growth factor between slab classes, which only name sizes in statistics: above
 * 1; default 1.25.
 */
mcrs_status mcrs_config_set_growth_factor(struct mcrs_config *config, double factor);

/**
 * Smallest space for key, value and flags in bytes, for slab classes; default 48.
 */
mcrs_status mcrs_config_set_chunk_size(struct mcrs_config *config, size_t bytes);

/**
 * Size of the largest slab class, and of the largest item that counts, in bytes:
 * it divides 1 MiB and the largest item; default 512 KiB.
 */
mcrs_status mcrs_config_set_slab_chunk_max(struct mcrs_config *config, size_t bytes);

/**
 * Whether CAS values are kept (the default); else all read as 0.
 */
mcrs_status mcrs_config_set_cas(struct mcrs_config *config, bool on);

/**
 * Whether the background thread frees what has expired by itself; default: yes.
 */
mcrs_status mcrs_config_set_lru_maintainer(struct mcrs_config *config, bool on);

/**
 * Whether the crawler, which frees expired items that nobody asks for, is on;
 * default: yes.
 */
mcrs_status mcrs_config_set_lru_crawler(struct mcrs_config *config, bool on);

/**
 * Microseconds that the crawler sleeps between steps, up to 1000000; default 100.
 */
mcrs_status mcrs_config_set_lru_crawler_sleep(struct mcrs_config *config, uint32_t microseconds);

/**
 * Most items that the crawler looks at in a run; 0, the default: all.
 */
mcrs_status mcrs_config_set_lru_crawler_tocrawl(struct mcrs_config *config, uint32_t items);

/**
 * Reported by statistics only, 1 to 79; default 20.
 */
mcrs_status mcrs_config_set_hot_lru_pct(struct mcrs_config *config, uint32_t percent);

/**
 * Reported by statistics only, 1 to 79; default 40.
 */
mcrs_status mcrs_config_set_warm_lru_pct(struct mcrs_config *config, uint32_t percent);

/**
 * Reported by statistics only, above 0; default 0.2.
 */
mcrs_status mcrs_config_set_hot_max_factor(struct mcrs_config *config, double factor);

/**
 * Reported by statistics only, above 0; default 2.
 */
mcrs_status mcrs_config_set_warm_max_factor(struct mcrs_config *config, double factor);

/**
 * Items with at most this TTL live in a log of their own and are never evicted.
 * Default: there is no such log.
 */
mcrs_status mcrs_config_set_temporary_ttl(struct mcrs_config *config, uint32_t seconds);

/**
 * Whether the command `slabs reassign` answers; there is nothing to move.
 * Default: yes.
 */
mcrs_status mcrs_config_set_slab_reassign(struct mcrs_config *config, bool on);

/**
 * Reported by statistics only, 0 to 2; default 1.
 */
mcrs_status mcrs_config_set_slab_automove(struct mcrs_config *config, uint32_t mode);

/**
 * Reported by statistics only, above 0 and up to 1; default 0.8.
 */
mcrs_status mcrs_config_set_slab_automove_ratio(struct mcrs_config *config, double ratio);

/**
 * Reported by statistics only, 3 to 1800; default 10.
 */
mcrs_status mcrs_config_set_slab_automove_window(struct mcrs_config *config, uint32_t seconds);

/**
 * Reported by statistics only: 0, the default, or at least 10.
 */
mcrs_status mcrs_config_set_tail_repair_time(struct mcrs_config *config, uint32_t seconds);

/**
 * Whether the histogram of item sizes is kept (group "sizes" of the statistics);
 * default: no.
 */
mcrs_status mcrs_config_set_track_sizes(struct mcrs_config *config, bool on);

/**
 * Slots of the index at start, as a power of 2, up to 32; 0, the default: the
 * cache decides. It grows.
 */
mcrs_status mcrs_config_set_hashpower(struct mcrs_config *config, uint32_t power);

/**
 * Parts of the cache that are locked one by one: a power of 2 up to 1024, fewer if
 * there is little memory; 0, the default: the cache decides.
 */
mcrs_status mcrs_config_set_shards(struct mcrs_config *config, size_t count);

/**
 * How many threads are expected to use the cache at once, a hint for the number of
 * shards; default 4.
 */
mcrs_status mcrs_config_set_concurrency(struct mcrs_config *config, size_t threads);

/**
 * Byte that ends the prefix of a key, by which `stats detail` counts; default ':'.
 */
mcrs_status mcrs_config_set_prefix_delimiter(struct mcrs_config *config, uint8_t delimiter);

/**
 * Whether `stats detail` counts from the start; default: no.
 */
mcrs_status mcrs_config_set_detail(struct mcrs_config *config, bool on);

/**
 * Whether large pages are asked for, which is done anyway from 64 MiB on;
 * default: no.
 */
mcrs_status mcrs_config_set_large_pages(struct mcrs_config *config, bool on);

/**
 * Whether the clock stands still from the start, until mcrs_clock_resume();
 * default: no.
 */
mcrs_status mcrs_config_set_clock_frozen(struct mcrs_config *config, bool on);

/**
 * Listens at a TCP address too. `host` is an IPv4 or IPv6 address, not a name;
 * NULL is 127.0.0.1. Port 0 takes a free port, which mcrs_server_address() tells.
 */
mcrs_status mcrs_config_listen_tcp(struct mcrs_config *config,
                                   const char *host,
                                   uint16_t port,
                                   mcrs_protocol protocol,
                                   mcrs_tls_mode tls);

/**
 * Listens at a Unix socket too. A stale socket file at `path` is replaced; the
 * server removes its own when it stops. `mask` is the permission bits of the
 * file, 0700 in memcached.
 */
mcrs_status mcrs_config_listen_unix(struct mcrs_config *config,
                                    const char *path,
                                    uint32_t mask,
                                    mcrs_protocol protocol);

/**
 * Listens at a UDP address too; `host` and `port` as with TCP. The first byte of
 * a datagram decides its protocol.
 */
mcrs_status mcrs_config_listen_udp(struct mcrs_config *config, const char *host, uint16_t port);

/**
 * One more node of the list that clients with auto discovery are told, as a node
 * of a hosted cluster does. `ip` NULL: unknown, clients take the name.
 */
mcrs_status mcrs_config_add_cluster_node(struct mcrs_config *config,
                                         const char *host,
                                         const char *ip,
                                         uint16_t port);

/**
 * Worker threads of the server, 1 to 1024; default 4.
 */
mcrs_status mcrs_config_set_threads(struct mcrs_config *config, size_t count);

/**
 * Most connections at once, listeners and UDP sockets included, at least 1;
 * default 1024.
 */
mcrs_status mcrs_config_set_max_connections(struct mcrs_config *config, size_t count);

/**
 * Whether a connection above the limit is refused with a text (the default) or
 * left waiting.
 */
mcrs_status mcrs_config_set_maxconns_fast(struct mcrs_config *config, bool on);

/**
 * Length of the queue of connections that are not accepted yet; default 1024.
 */
mcrs_status mcrs_config_set_backlog(struct mcrs_config *config, int length);

/**
 * Requests of a connection before others get their turn, at least 1; default 256.
 */
mcrs_status mcrs_config_set_requests_per_event(struct mcrs_config *config, size_t count);

/**
 * Seconds after which an idle TCP connection is closed; 0, the default: never.
 */
mcrs_status mcrs_config_set_idle_timeout(struct mcrs_config *config, uint32_t seconds);

/**
 * Bytes of replies that a client has not read above which its requests wait;
 * default 1 MiB.
 */
mcrs_status mcrs_config_set_output_limit(struct mcrs_config *config, size_t bytes);

/**
 * Whether clients may flush_all; default: yes.
 */
mcrs_status mcrs_config_set_flush(struct mcrs_config *config, bool on);

/**
 * Whether clients may list keys; default: yes.
 */
mcrs_status mcrs_config_set_dump(struct mcrs_config *config, bool on);

/**
 * Whether clients may watch; default: yes.
 */
mcrs_status mcrs_config_set_watch(struct mcrs_config *config, bool on);

/**
 * Whether clients may shut the server down; default: no.
 */
mcrs_status mcrs_config_set_shutdown(struct mcrs_config *config, bool on);

/**
 * Whether handles of the server's own cache first wait until what clients have sent
 * is carried out, as mcrs_server_settle() does; default: yes. Tests want that. It
 * costs each call some microseconds.
 */
mcrs_status mcrs_config_set_settles(struct mcrs_config *config, bool on);

/**
 * What is logged, 0 to 3; default 0.
 */
mcrs_status mcrs_config_set_verbosity(struct mcrs_config *config, uint32_t level);

/**
 * Bytes buffered for each watcher; default 256 KiB.
 */
mcrs_status mcrs_config_set_watcher_buffer(struct mcrs_config *config, size_t bytes);

/**
 * Reported by statistics only; default 64 KiB.
 */
mcrs_status mcrs_config_set_worker_buffer(struct mcrs_config *config, size_t bytes);

/**
 * Whether the commands of memcached's debug build answer; default: no.
 */
mcrs_status mcrs_config_set_debug_commands(struct mcrs_config *config, bool on);

/**
 * Mark of the packets of internet sockets, for filters, on Linux; 0, the default:
 * none.
 */
mcrs_status mcrs_config_set_socket_mark(struct mcrs_config *config, uint32_t mark);

/**
 * The server's certificate and those above it, and its private key, both PEM;
 * `key` NULL: it is in `chain`. Listeners with TLS need this. The files are read
 * at start and by mcrs_server_reload().
 */
mcrs_status mcrs_config_set_tls_certificate(struct mcrs_config *config, const char *chain, const char *key);

/**
 * Whether the private key is ASN.1 (DER) and not PEM, the default.
 */
mcrs_status mcrs_config_set_tls_key_der(struct mcrs_config *config, bool der);

/**
 * Who signs certificates of clients: a file, PEM; NULL: no certificate of a
 * client is good.
 */
mcrs_status mcrs_config_set_tls_ca(struct mcrs_config *config, const char *path);

/**
 * What clients have to show at listeners of MCRS_TLS_ON.
 */
mcrs_status mcrs_config_set_tls_verify(struct mcrs_config *config, mcrs_verify verify);

/**
 * Cipher suites, as OpenSSL writes a list of them; NULL: the default. What is in
 * it is looked at when a server starts.
 */
mcrs_status mcrs_config_set_tls_ciphers(struct mcrs_config *config, const char *list);

/**
 * Bytes that are encrypted before they are sent; less than 64 KiB is taken for
 * 64 KiB, more than 1 MiB for 1 MiB.
 */
mcrs_status mcrs_config_set_tls_write_buffer(struct mcrs_config *config, size_t bytes);

/**
 * Whether TLS sessions can be resumed; default: no.
 */
mcrs_status mcrs_config_set_tls_session_cache(struct mcrs_config *config, bool on);

/**
 * The oldest version of TLS that is spoken: 12 (the default) or 13.
 */
mcrs_status mcrs_config_set_tls_min_version(struct mcrs_config *config, uint32_t version);

/**
 * Adds a fault to those of a cache; the first that holds happens. `id`, if not
 * NULL, gets its number. Nothing of `fault` is used after the call.
 */
mcrs_status mcrs_faults_add(const struct mcrs_cache *cache, const struct mcrs_fault *fault, uint64_t *id);

/**
 * Takes a fault away. `applied`, if not NULL, gets how often it has happened.
 * MCRS_NOT_FOUND: there is none with this number.
 */
mcrs_status mcrs_faults_remove(const struct mcrs_cache *cache, uint64_t id, uint64_t *applied);

/**
 * Takes all faults away.
 */
mcrs_status mcrs_faults_clear(const struct mcrs_cache *cache);

/**
 * Where the value of an item lies: `*value` points to it and is good until the
 * item is freed. Its `data` is not NULL for an empty value.
 *
 * This copies nothing, but for large values, from about 4 KiB in a cache of
 * 64 MiB, which the cache keeps in pieces: the first call of this function
 * joins them in memory of the handle. mcrs_item_pieces() never copies.
 */
mcrs_status mcrs_item_value(const struct mcrs_item *item, struct mcrs_slice *value);

/**
 * Where all pieces of the value lie, in order: `pieces` gets `*count` of them,
 * good until the item is freed. They can be passed to writev(): mcrs_slice is
 * laid out as struct iovec.
 *
 * MCRS_BUFFER_TOO_SMALL: there are more than `capacity`, and `*count` says how
 * many; `pieces` is left alone, and may be NULL if `capacity` is 0.
 */
mcrs_status mcrs_item_pieces(const struct mcrs_item *item,
                             struct mcrs_slice *pieces,
                             size_t capacity,
                             size_t *count);

/**
 * Copies the value to `buffer`; `*value_len` is its length.
 *
 * MCRS_BUFFER_TOO_SMALL: it is longer than `buffer_size`, and `*value_len` says
 * how long; `buffer` is left alone, and may be NULL if `buffer_size` is 0.
 */
mcrs_status mcrs_item_copy(const struct mcrs_item *item, void *buffer, size_t buffer_size, size_t *value_len);

/**
 * What there was to know of the item when the handle was made.
 */
mcrs_status mcrs_item_info(const struct mcrs_item *item, struct mcrs_info *info);

/**
 * Frees a handle; NULL does nothing. In a child of fork() the memory stays, as
 * it does in a callback that may not call the library.
 */
void mcrs_item_free(struct mcrs_item *item);

/**
 * Shows the keys of all items to `each`, in no order, until it returns false.
 *
 * Items that stay meanwhile are shown at least once; those that come or go
 * meanwhile may be shown or not. The cache is locked in part and for a few
 * items at a time only.
 */
mcrs_status mcrs_cache_each_key(const struct mcrs_cache *cache, mcrs_key_fn each, void *userdata);

/**
 * Shows the values of `count` keys to `found`, in the order of the keys; keys
 * that are not there are left out. `hits`, if not NULL, gets how many are. Where
 * most items are not in the processor's caches this is several times as fast as
 * so many calls of mcrs_cache_get(). All keys must stay as they are until this returns.
 *
 * MCRS_BAD_KEY, MCRS_NULL_ARGUMENT: one of the keys; nothing was shown.
 */
mcrs_status mcrs_cache_get_many(const struct mcrs_cache *cache,
                                const struct mcrs_slice *keys,
                                size_t count,
                                mcrs_found_fn found,
                                void *userdata,
                                size_t *hits);

/**
 * Copies the values of `count` keys to `buffer`, one behind the other.
 * `values[i]` says where that of `keys[i]` lies; its `data` is NULL if there is
 * none, and not NULL if it is empty. `*used` is the number of bytes used.
 *
 * MCRS_BUFFER_TOO_SMALL: `*used` says how many bytes were needed; `buffer` and
 * `values` may have been written to.
 */
mcrs_status mcrs_cache_get_many_into(const struct mcrs_cache *cache,
                                     const struct mcrs_slice *keys,
                                     size_t count,
                                     void *buffer,
                                     size_t buffer_size,
                                     struct mcrs_slice *values,
                                     size_t *used);

/**
 * Stores `count` values under as many keys, for `ttl` seconds or MCRS_NEVER. It
 * does not stop at one that cannot be stored: `statuses`, if not NULL, gets what
 * became of each, and `stored`, if not NULL, how many were stored, also when the
 * call does not return MCRS_OK.
 *
 * Returns the first status that is not MCRS_OK. MCRS_NULL_ARGUMENT for the lists
 * themselves and for the cache: nothing was stored, nothing written.
 */
mcrs_status mcrs_cache_set_many(const struct mcrs_cache *cache,
                                const struct mcrs_slice *keys,
                                const struct mcrs_slice *values,
                                size_t count,
                                uint32_t ttl,
                                mcrs_status *statuses,
                                size_t *stored);

/**
 * Reads an item and learns whether to store a new value for it. `options` may
 * be NULL.
 *
 * `item`, if not NULL, gets a handle of the value, to be freed with
 * mcrs_item_free(). `info`, if not NULL, describes the item as it was before
 * this call, but for its TTL, which is the new one, and says in `bits`:
 * MCRS_INFO_WON, this caller is to store a new value (mcrs_cache_store() with
 * `compare_cas`); MCRS_INFO_STALE, the value is out of date; MCRS_INFO_SENT,
 * somebody else is at it; MCRS_INFO_CREATED, there was none.
 *
 * MCRS_NOT_FOUND: there is no item, and none was made.
 */
mcrs_status mcrs_cache_meta_get(const struct mcrs_cache *cache,
                                const void *key,
                                size_t key_len,
                                const struct mcrs_meta_get_options *options,
                                struct mcrs_item **item,
                                struct mcrs_info *info);

/**
 * Deletes an item, or part of it, as `options` say; NULL is a plain delete.
 * MCRS_NOT_FOUND: there is none. MCRS_EXISTS: `compare_cas` is not the item's.
 */
mcrs_status mcrs_cache_delete_with(const struct mcrs_cache *cache,
                                   const void *key,
                                   size_t key_len,
                                   const struct mcrs_delete_options *options);

/**
 * Marks an item stale and gives it `ttl` seconds more, or MCRS_NEVER: the next
 * caller of mcrs_cache_meta_get() wins, and others may use the old value until then.
 * MCRS_NOT_FOUND: there is none.
 */
mcrs_status mcrs_cache_invalidate(const struct mcrs_cache *cache,
                                  const void *key,
                                  size_t key_len,
                                  uint32_t ttl);

/**
 * Makes a cache and serves it. Returns when connections are accepted; `config`
 * is copied. Free the server with mcrs_server_free().
 *
 * MCRS_INVALID_ARGUMENT: a setting; MCRS_LISTEN_FAILED: an address;
 * MCRS_BAD_FILE: passwords, a certificate, a key; MCRS_SYSTEM_ERROR: memory,
 * threads. Nothing is left of the attempt.
 */
mcrs_status mcrs_server_start(const struct mcrs_config *config, struct mcrs_server **server);

/**
 * As mcrs_server_start(), but serves a cache that exists; settings of caches are
 * only reported. The server keeps the cache alive by itself.
 */
mcrs_status mcrs_server_start_with_cache(const struct mcrs_config *config,
                                         const struct mcrs_cache *cache,
                                         struct mcrs_server **server);

/**
 * Frees a server and closes everything of it first, as mcrs_server_stop() with
 * 0; NULL does nothing. Its cache lives on if there are handles of it. In a child
 * of fork(), and in a callback that may not do this, it does nothing.
 */
void mcrs_server_free(struct mcrs_server *server);

/**
 * A handle of the server's cache, to be freed by itself; it is good after the
 * server is gone.
 */
mcrs_status mcrs_server_cache(const struct mcrs_server *server, struct mcrs_cache **cache);

/**
 * How many addresses the server listens at.
 */
mcrs_status mcrs_server_address_count(const struct mcrs_server *server, size_t *count);

/**
 * One of them, in the order in which they were configured, with the port that was
 * really taken. MCRS_NOT_FOUND: there are not so many.
 */
mcrs_status mcrs_server_address(const struct mcrs_server *server, size_t index, struct mcrs_address *address);

/**
 * Whether some thread of the server still runs.
 */
mcrs_status mcrs_server_is_running(const struct mcrs_server *server, bool *running);

/**
 * Stops the server and returns when it has stopped: no thread runs, no
 * connection and no listener is left. Connections may finish what they have
 * begun for `deadline_ms` milliseconds; with 0 they are closed at once. Stopping
 * twice does no harm.
 *
 * MCRS_TIMED_OUT: a thread has not ended within five seconds after that, as one that
 * is in a callback which does not return. It is left behind: `userdata` of callbacks
 * must live on.
 */
mcrs_status mcrs_server_stop(const struct mcrs_server *server, uint32_t deadline_ms);

/**
 * Asks the server to stop and returns at once. `graceful`: connections may
 * finish what they have begun, for as long as that takes.
 */
mcrs_status mcrs_server_request_stop(const struct mcrs_server *server, bool graceful);

/**
 * Waits until the server has stopped, by a call or by a client's `shutdown`, but
 * for at most `timeout_ms` milliseconds, or MCRS_FOREVER. MCRS_TIMED_OUT: it
 * still runs, or a thread is left behind (see mcrs_server_stop()).
 */
mcrs_status mcrs_server_wait(const struct mcrs_server *server, uint32_t timeout_ms);

/**
 * Waits, for at most `timeout_ms` milliseconds, until what clients of this machine
 * have sent before this call is carried out: commands in pipelines and without
 * replies, datagrams, and connections that are not accepted yet.
 *
 * Handles of the server's cache do this by themselves, for at most a second, unless
 * mcrs_config_set_settles() says otherwise or the cache was there before the server.
 * A client that does not read its replies, or that meets an injected delay, is not
 * waited for. MCRS_TIMED_OUT: it takes longer.
 */
mcrs_status mcrs_server_settle(const struct mcrs_server *server, uint32_t timeout_ms);

/**
 * Changes what is logged, 0 to 3.
 */
mcrs_status mcrs_server_set_verbosity(const struct mcrs_server *server, uint32_t level);

/**
 * Reads files of passwords and certificates again. MCRS_BAD_FILE: what was there
 * before stays.
 */
mcrs_status mcrs_server_reload(const struct mcrs_server *server);

/**
 * Replaces the nodes that clients with auto discovery are told; none: the
 * command is off.
 */
mcrs_status mcrs_server_set_cluster_nodes(const struct mcrs_server *server,
                                          const struct mcrs_node *nodes,
                                          size_t count);

/**
 * Shows the statistics of a cache to `each`, until it returns false. `group` is
 * that of the command `stats`: NULL or "" (general), "items", "slabs", "sizes",
 * "settings". What is about connections reads as of a server without any.
 */
mcrs_status mcrs_cache_stats(const struct mcrs_cache *cache,
                             const char *group,
                             mcrs_stat_fn each,
                             void *userdata);

/**
 * The same of a server and its cache; "conns" is a group as well.
 */
mcrs_status mcrs_server_stats(const struct mcrs_server *server,
                              const char *group,
                              mcrs_stat_fn each,
                              void *userdata);

/**
 * Sets the counters of a cache to 0.
 */
mcrs_status mcrs_cache_reset_stats(const struct mcrs_cache *cache);

/**
 * Sets the counters of a server and its cache to 0.
 */
mcrs_status mcrs_server_reset_stats(const struct mcrs_server *server);

/**
 * What `status` means, in English. Never NULL, also for numbers that are no
 * status. The text is static.
 */
const char *mcrs_status_text(int32_t status);

/**
 * What went wrong in the last call of this thread that did not return
 * MCRS_OK, in English: more than mcrs_status_text() where there is more to
 * say. Never NULL; empty before the first such call. The text stays as it is
 * until this thread's next call that does not return MCRS_OK, or its end.
 */
const char *mcrs_error_message(void);

/**
 * Stores a value under a key, for `ttl` seconds or MCRS_NEVER, whatever is
 * there.
 *
 * MCRS_TOO_LARGE, MCRS_NO_MEMORY: it is not stored, and what was there is gone,
 * for it is out of date.
 */
mcrs_status mcrs_cache_set(const struct mcrs_cache *cache,
                           const void *key,
                           size_t key_len,
                           const void *value,
                           size_t value_len,
                           uint32_t ttl);

/**
 * Stores a value if there is no item. MCRS_NOT_STORED: there is one.
 */
mcrs_status mcrs_cache_add(const struct mcrs_cache *cache,
                           const void *key,
                           size_t key_len,
                           const void *value,
                           size_t value_len,
                           uint32_t ttl);

/**
 * Stores a value if there is an item. MCRS_NOT_STORED: there is none.
 */
mcrs_status mcrs_cache_replace(const struct mcrs_cache *cache,
                               const void *key,
                               size_t key_len,
                               const void *value,
                               size_t value_len,
                               uint32_t ttl);

/**
 * Puts a value behind the one that is there, which keeps its TTL.
 * MCRS_NOT_STORED: there is none, or no room for both.
 */
mcrs_status mcrs_cache_append(const struct mcrs_cache *cache,
                              const void *key,
                              size_t key_len,
                              const void *value,
                              size_t value_len);

/**
 * Puts a value before the one that is there, which keeps its TTL.
 * MCRS_NOT_STORED: there is none, or no room for both.
 */
mcrs_status mcrs_cache_prepend(const struct mcrs_cache *cache,
                               const void *key,
                               size_t key_len,
                               const void *value,
                               size_t value_len);

/**
 * Stores a value if the item has the CAS `cas`, which mcrs_cache_info() and others
 * tell. MCRS_EXISTS: it has another, as somebody has changed it; also if `cas`
 * is 0. MCRS_NOT_FOUND: there is no item.
 */
mcrs_status mcrs_cache_cas(const struct mcrs_cache *cache,
                           const void *key,
                           size_t key_len,
                           const void *value,
                           size_t value_len,
                           uint32_t ttl,
                           uint64_t cas);

/**
 * Stores a value as `options` say; NULL is a plain set for ever. `cas`, if not
 * NULL, gets the CAS of the new item, 0 if the cache keeps none.
 *
 * MCRS_NOT_STORED: what `mode` wants does not hold, or there is no room for both
 * parts. MCRS_EXISTS, MCRS_NOT_FOUND: `compare_cas` is not the item's, or there
 * is no item. MCRS_TOO_LARGE, MCRS_NO_MEMORY: as with mcrs_cache_set().
 */
mcrs_status mcrs_cache_store(const struct mcrs_cache *cache,
                             const void *key,
                             size_t key_len,
                             const void *value,
                             size_t value_len,
                             const struct mcrs_store_options *options,
                             uint64_t *cas);

/**
 * Adds `delta` to the decimal number under a key, modulo 2^64. `value`, if not
 * NULL, gets the sum. MCRS_NOT_FOUND: there is no item. MCRS_NOT_A_NUMBER: it is
 * none.
 */
mcrs_status mcrs_cache_incr(const struct mcrs_cache *cache,
                            const void *key,
                            size_t key_len,
                            uint64_t delta,
                            uint64_t *value);

/**
 * Subtracts `delta` from the decimal number under a key, down to 0. Else as
 * mcrs_cache_incr(). A number that gets shorter keeps its length, with blanks
 * behind it, as memcached does it.
 */
mcrs_status mcrs_cache_decr(const struct mcrs_cache *cache,
                            const void *key,
                            size_t key_len,
                            uint64_t delta,
                            uint64_t *value);

/**
 * Adds to a decimal number as `options` say, which must not be NULL. `value` and
 * `cas`, if not NULL, get the new value and its CAS. MCRS_EXISTS: `compare_cas` is
 * not the item's. Else as mcrs_cache_incr().
 */
mcrs_status mcrs_cache_incr_with(const struct mcrs_cache *cache,
                                 const void *key,
                                 size_t key_len,
                                 const struct mcrs_delta_options *options,
                                 uint64_t *value,
                                 uint64_t *cas);

/**
 * Subtracts from a decimal number as `options` say. Else as mcrs_cache_incr_with().
 */
mcrs_status mcrs_cache_decr_with(const struct mcrs_cache *cache,
                                 const void *key,
                                 size_t key_len,
                                 const struct mcrs_delta_options *options,
                                 uint64_t *value,
                                 uint64_t *cas);

/**
 * The version of this library as text, MCRS_VERSION of its header. Static.
 */
const char *mcrs_version(void);

/**
 * The version of this library as a number, MCRS_VERSION_NUMBER of its header.
 */
uint32_t mcrs_version_number(void);

/**
 * The version of the ABI of this library, MCRS_ABI_VERSION of its header: a
 * program works with a library of the same number, or a newer one of it.
 */
uint32_t mcrs_abi_version(void);

/**
 * The memcached whose behaviour this is, as VERSION answers it. Static.
 */
const char *mcrs_memcached_version(void);

#ifdef __cplusplus
}  // extern "C"
#endif  // __cplusplus

#endif  /* MEMCACHE_RS_H */
