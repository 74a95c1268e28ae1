/*
 * memcache_rs.h: memcached as a library, in C.
 *
 * Generated from the crate memcache-rs-capi of memcache-rs; do not edit. MIT OR Apache-2.0.
 *
 * CONVENTIONS
 *
 * They hold for every function. The comment of a function adds what is special to it.
 *
 * Names       A function is named after the handle it works on: mcrs_cache_get() works on an
 *             mcrs_cache. mcrs_clock_ and mcrs_faults_ functions work on the clock and the
 *             faults of a cache.
 *
 * Status      Most functions return an mcrs_status: MCRS_OK, or why the call failed. A program
 *             must take a status that it does not know for a failure. mcrs_error_message() has
 *             the text of the thread's last failure. Functions that return a text or a version
 *             cannot fail.
 *
 *             "A common status" in the comments below is one of these:
 *             MCRS_NULL_ARGUMENT     a pointer is NULL that must not be;
 *             MCRS_INVALID_ARGUMENT  a length exceeds PTRDIFF_MAX, or a text is not UTF-8;
 *             MCRS_IN_CALLBACK       the callback may not call this function;
 *             MCRS_FORKED            the handle was made before fork();
 *             MCRS_PANIC             internal error of the library.
 *
 * Outputs     A function writes its outputs only if it returns MCRS_OK. Comments name the
 *             exceptions: buffers, and the length that MCRS_BUFFER_TOO_SMALL reports.
 *
 * Ownership   A function that takes a pointer to a handle (mcrs_cache **) gives the caller a new
 *             handle. The caller frees it once, with the _free function of its type, when no
 *             other call uses it. Handles may be freed in any order. Other results belong to the
 *             handle they come from, or are static, as their comments say. Arguments stay the
 *             caller's: after the call the library keeps no pointer to them, except userdata.
 *
 * NULL        Pointers must not be NULL, except where a comment allows it. Bytes and lists may
 *             be NULL if their length is 0. The _free functions allow NULL.
 *
 * Texts       A text (const char *) is UTF-8 and ends in a NUL. A path may have any bytes.
 *
 * Keys        A key has 1 to 250 bytes of any value, else the call returns MCRS_BAD_KEY. Clients
 *             of the text protocols cannot send keys with spaces or control characters. Values
 *             have any bytes.
 *
 * Time        A TTL is seconds from now, on the cache's clock, which counts whole seconds. A TTL
 *             of 0 is MCRS_NEVER, so zeroed options do not expire an item. A TTL that a program
 *             computes can reach 0: delete the item then. TTLs of more than 30 days are not
 *             Unix times; that rule belongs to memcached's protocols. TTLs of more than
 *             3155760000 seconds (100 years) return MCRS_INVALID_ARGUMENT.
 *
 * Threads     Any thread may use any handle at any time, with two exceptions: only one thread at
 *             a time may use an mcrs_config, and no call may use a handle that is being freed.
 *             Only these calls wait for other threads: mcrs_server_start(),
 *             mcrs_server_start_with_cache(), mcrs_server_stop(), mcrs_server_wait() and
 *             mcrs_server_settle(). Freeing a server or the last handle of a cache waits as well.
 *             Calls on a server's own cache wait for clients, see mcrs_config_set_settles().
 *
 * Callbacks   A callback must return: it must not call longjmp() or throw a C++ exception. The
 *             comment of its type says what it may call. Other functions return
 *             MCRS_IN_CALLBACK; they do not hang. Userdata is passed on as it is. It must stay
 *             valid as long as the call, or as the server that has the callback.
 *
 * fork        In a child of fork(), calls with handles from before the fork return MCRS_FORKED.
 *             Freeing them does nothing there, and their memory stays allocated. An mcrs_config
 *             stays usable. Handles that the child makes work, if no other thread was inside
 *             the library during the fork. The fork does not affect the parent.
 *
 * Process     The library sets no signal handler, and its threads block all signals. It does not
 *             change the locale, limits or the directory, and does not call atexit(). It writes
 *             to no stream, except a server's log, see mcrs_config_set_log(), and reports of
 *             internal errors, which go to standard error. The end of the process does not wait
 *             for servers. Sending to a closed connection raises no SIGPIPE.
 *
 * dlopen      dlopen() may load the library. dlclose() is allowed at any time and leaves the
 *             library in memory (it is linked with -z nodelete), because its threads may run.
 *
 * Panics      An internal error does not unwind into C: the call returns MCRS_PANIC.
 *
 * Versions    Options are zero by default: write `mcrs_store_options options = {0};`. Reserved
 *             fields must be 0. Later versions may add functions, statuses and bits, and may use
 *             reserved fields. Removing or changing something changes MCRS_ABI_VERSION and the
 *             SONAME. Numbers of statuses, modes and bits are never reused within an ABI.
 *
 * Examples    Examples work on `cache`, `config` and `server`, which the program has made. They
 *             state with assert() what holds. Each is compiled and run by the project's tests.
 */


#ifndef MEMCACHE_RS_H
#define MEMCACHE_RS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/**
 * Version of this header. mcrs_version() returns that of the library.
 */
#define MCRS_VERSION_MAJOR 0
#define MCRS_VERSION_MINOR 1
#define MCRS_VERSION_PATCH 0
#define MCRS_VERSION "0.1.0"
#define MCRS_VERSION_NUMBER (MCRS_VERSION_MAJOR * 1000000 + MCRS_VERSION_MINOR * 1000 + MCRS_VERSION_PATCH)

/**
 * Version of the ABI, in which the SONAME ends.
 */
#define MCRS_ABI_VERSION 1


/**
 * Lets an item live until it is deleted, evicted or flushed.
 *
 * It is 0, so zeroed options and a TTL of 0 mean it, as memcached's exptime 0 does.
 */
#define MCRS_NEVER 0

/**
 * In mcrs_info.bits: the item was read before.
 */
#define MCRS_INFO_FETCHED 1

/**
 * In mcrs_info.bits: the item was invalidated and not stored since.
 */
#define MCRS_INFO_STALE 2

/**
 * In mcrs_info.bits, by mcrs_cache_meta_get(): this caller should store a new value.
 */
#define MCRS_INFO_WON 4

/**
 * In mcrs_info.bits, by mcrs_cache_meta_get(): another caller won and has not stored yet.
 */
#define MCRS_INFO_SENT 8

/**
 * In mcrs_info.bits, by mcrs_cache_meta_get(): the call created an item without a value.
 */
#define MCRS_INFO_CREATED 16

/**
 * In mcrs_meta_get_options.bits: sets the TTL of the item to `ttl`.
 */
#define MCRS_META_TTL 1

/**
 * In mcrs_meta_get_options.bits: creates a missing item without a value.
 *
 * The item gets the TTL `create_ttl`, and the caller wins.
 */
#define MCRS_META_CREATE 2

/**
 * In mcrs_meta_get_options.bits: does not count as an access.
 *
 * The call then does not keep the item from being evicted.
 */
#define MCRS_META_PEEK 4

/**
 * In mcrs_delete_options.bits: keeps the item, but marks it stale.
 *
 * The next caller of mcrs_cache_meta_get() wins. Until it has stored a new value, other callers
 * may use the old one.
 */
#define MCRS_DELETE_STALE 1

/**
 * In mcrs_delete_options.bits: deletes only the value, and sets the client flags to `flags`.
 */
#define MCRS_DELETE_VALUE 2

/**
 * In mcrs_delete_options.bits: sets the TTL of a kept item to `ttl`.
 */
#define MCRS_DELETE_TTL 4

/**
 * Waits without a timeout, as the `timeout_ms` of mcrs_server_wait().
 */
#define MCRS_FOREVER UINT32_MAX

/**
 * In mcrs_save_options.bits: does not compress the snapshot.
 */
#define MCRS_SAVE_UNCOMPRESSED 1

/**
 * In mcrs_load_options.bits: replaces items that are in the cache.
 *
 * Without it they stay, because they are newer.
 */
#define MCRS_LOAD_REPLACE 1

/**
 * In mcrs_load_options.bits: the time between the save and the load does not count.
 *
 * An item that had a minute left when it was saved has a minute left. Without it, items expire at
 * the time at which they were to expire.
 */
#define MCRS_LOAD_PAUSED 2

/**
 * In mcrs_load_options.bits: fails at the first damage of the file.
 *
 * Without it, damaged parts are left out and counted.
 */
#define MCRS_LOAD_STRICT 4

/**
 * In mcrs_store_options.bits: stores over a changed item, and marks the new one stale.
 *
 * For MCRS_MODE_SET with `compare_cas`. It is for the winner of a recache whose item was
 * invalidated again, see mcrs_cache_meta_get().
 */
#define MCRS_STORE_ALLOW_STALE 1

/**
 * In mcrs_store_options.bits: creates a missing item.
 *
 * For MCRS_MODE_APPEND and MCRS_MODE_PREPEND.
 */
#define MCRS_STORE_CREATE 2

/**
 * In mcrs_delta_options.bits: creates a missing item with `initial` and `create_ttl`.
 */
#define MCRS_DELTA_CREATE 1

/**
 * In mcrs_delta_options.bits: sets the TTL of the item to `ttl`.
 *
 * As in memcached, the TTL stays as it is if the number needs more digits than before.
 */
#define MCRS_DELTA_TTL 2

/**
 * Reports the result of a call.
 *
 * A number never changes its meaning and is never reused. Later versions may add others.
 */
enum mcrs_status
#if defined(__cplusplus) || __STDC_VERSION__ >= 202311L
  : int32_t
#endif // defined(__cplusplus) || __STDC_VERSION__ >= 202311L
 {
    /**
     * The call succeeded, and outputs are written.
     */
    MCRS_OK = 0,
    /**
     * There is no such item, fault or address.
     */
    MCRS_NOT_FOUND = 1,
    /**
     * The store's condition was not met (`add` found an item, or `replace` found none).
     */
    MCRS_NOT_STORED = 2,
    /**
     * The item has another CAS, because it has changed.
     */
    MCRS_EXISTS = 3,
    /**
     * The value is not a 64-bit decimal number.
     */
    MCRS_NOT_A_NUMBER = 4,
    /**
     * The buffer is too small; the length output says what is needed.
     */
    MCRS_BUFFER_TOO_SMALL = 5,
    /**
     * The timeout expired.
     */
    MCRS_TIMED_OUT = 6,
    /**
     * The operation cannot run now; it may be tried again.
     */
    MCRS_BUSY = 7,
    /**
     * The progress callback ended the operation.
     */
    MCRS_CANCELLED = 8,
    /**
     * The item is larger than the item_size_max setting allows.
     */
    MCRS_TOO_LARGE = 20,
    /**
     * There is no memory, and nothing may be evicted.
     */
    MCRS_NO_MEMORY = 21,
    /**
     * A pointer is NULL that must not be.
     */
    MCRS_NULL_ARGUMENT = 40,
    /**
     * The key is empty or longer than 250 bytes.
     */
    MCRS_BAD_KEY = 41,
    /**
     * Invalid argument or setting.
     */
    MCRS_INVALID_ARGUMENT = 42,
    /**
     * The callback may not call this function.
     */
    MCRS_IN_CALLBACK = 43,
    /**
     * The handle was made before fork(), in a parent of this process.
     */
    MCRS_FORKED = 44,
    /**
     * The server cannot listen at an address.
     */
    MCRS_LISTEN_FAILED = 60,
    /**
     * The system refused memory, a thread or a descriptor.
     */
    MCRS_SYSTEM_ERROR = 61,
    /**
     * A file of users, certificates or keys cannot be used.
     */
    MCRS_BAD_FILE = 62,
    /**
     * The system refused an operation on a file.
     */
    MCRS_IO_ERROR = 63,
    /**
     * The file is not a snapshot of this version, or it is damaged.
     */
    MCRS_BAD_SNAPSHOT = 64,
    /**
     * Internal error of the library: please report it.
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
 * Refers to a cache.
 *
 * Several handles may refer to one cache. It lives until its last handle is freed and no server
 * serves it. Any thread may use a handle at any time.
 */
typedef struct mcrs_cache mcrs_cache;

/**
 * Holds the settings of caches and servers.
 *
 * A start copies the settings, so the program may change or free them afterwards. Only one thread
 * at a time may use a handle. A child of fork() may go on using it.
 */
typedef struct mcrs_config mcrs_config;

/**
 * Keeps a value readable and unchanged until it is freed.
 *
 * The value stays readable after its key, its cache's handle and its server are gone. An item
 * holds a part of the cache's memory, so free it soon. Any thread may use a handle at any time.
 */
typedef struct mcrs_item mcrs_item;

/**
 * Runs listeners and worker threads that serve a cache.
 *
 * Any thread may use a handle at any time.
 */
typedef struct mcrs_server mcrs_server;

/**
 * Points to bytes: a key, a value or a part of a buffer.
 *
 * It has the layout of `struct iovec`.
 */
typedef struct mcrs_slice {
    /**
     * Points to the bytes; may be NULL if `len` is 0.
     */
    const void *data;
    /**
     * Number of bytes.
     */
    size_t len;
} mcrs_slice;

/**
 * Holds the requests for a key.
 *
 * The numbers are estimates from samples of the last 2 to 4 seconds.
 */
typedef struct mcrs_hot_key {
    /**
     * Key. Valid until the callback returns.
     */
    struct mcrs_slice key;
    /**
     * Gets, including those that missed.
     */
    uint64_t reads;
    /**
     * Other requests: stores, deletes, touches, increments.
     */
    uint64_t writes;
    /**
     * Requests that may be missing in both numbers, at most. The error of sampling is not in this
     * number.
     */
    uint64_t error;
    /**
     * Part of all requests that are for this key, from 0 to 1.
     */
    double share;
    /**
     * Set to 0 by this version.
     */
    uint64_t reserved[2];
} mcrs_hot_key;

/**
 * Takes a hot key, and returns whether more should follow.
 *
 * `key` is valid until the callback returns. No lock is held then, so it may call the library.
 *
 * ```c
 * static bool print_hot_key(void *userdata, const mcrs_hot_key *hot) {
 *     (void)userdata;
 *     printf("%.*s: %.1f%%\n", (int)hot->key.len, (const char *)hot->key.data, hot->share * 100);
 *     return true;
 * }
 * ```
 */
typedef bool (*mcrs_hot_key_fn)(void *userdata, const struct mcrs_hot_key *key);

/**
 * Holds the metadata of an item.
 */
typedef struct mcrs_info {
    /**
     * Length of the value in bytes.
     */
    size_t value_len;
    /**
     * Number that changes with every store; 0 if the cache keeps none.
     */
    uint64_t cas;
    /**
     * Number of the caller's own, as it was stored.
     */
    uint32_t flags;
    /**
     * Seconds until the item expires, at least 1; MCRS_NEVER if it does not.
     */
    uint32_t ttl;
    /**
     * Seconds since the last access.
     */
    uint32_t idle;
    /**
     * MCRS_INFO_ bits; later versions may set others.
     */
    uint32_t bits;
    /**
     * Set to 0 by this version.
     */
    uint64_t reserved[4];
} mcrs_info;

/**
 * Takes an item that was found.
 *
 * `index` is the position of its key in the call's list, or 0 for a call with one key. `value` and
 * `info` are valid until the callback returns.
 *
 * A part of the cache is locked then, so the callback should be short. It may call only
 * mcrs_error_message(), mcrs_status_text() and the mcrs_item_ functions except mcrs_item_free().
 * Other functions return MCRS_IN_CALLBACK.
 *
 * ```c
 * static void print_value(void *userdata, size_t index, const mcrs_slice *value,
 *                         const mcrs_info *info) {
 *     (void)userdata;
 *     printf("%zu: %.*s", index, (int)value->len, (const char *)value->data);
 *     printf(", which has %u seconds left\n", info->ttl);
 * }
 * ```
 */
typedef void (*mcrs_found_fn)(void *userdata,
                              size_t index,
                              const struct mcrs_slice *value,
                              const struct mcrs_info *info);

/**
 * Takes a line of a server's log, without its line end.
 *
 * `level` is 0 for lines that are always logged, else the verbosity from which they are. `line` is
 * valid until the callback returns.
 *
 * Any thread of the server may call it, several at once, and so does the thread that starts the
 * server. It may call the library, except mcrs_server_start(), mcrs_server_start_with_cache(),
 * mcrs_server_stop(), mcrs_server_wait() and mcrs_server_settle(). They return MCRS_IN_CALLBACK,
 * and mcrs_server_free() does nothing. To stop the server, call mcrs_server_request_stop().
 *
 * ```c
 * static void log_line(void *userdata, int level, const char *line) {
 *     FILE *to = userdata;
 *     fprintf(to, "[%d] %s\n", level, line);
 * }
 * ```
 */
typedef void (*mcrs_log_fn)(void *userdata, int level, const char *line);

/**
 * Takes the news that a server has stopped.
 *
 * The server's last thread calls it once, when no connection and no listener is left, before
 * mcrs_server_wait() and mcrs_server_stop() return. It is not called for a server that did not
 * start. It may call the functions that an mcrs_log_fn may call.
 *
 * ```c
 * static void note_stop(void *userdata) {
 *     *(bool *)userdata = true;
 * }
 * ```
 */
typedef void (*mcrs_stopped_fn)(void *userdata);

/**
 * Names how clients authenticate: one of the MCRS_AUTH_ numbers.
 */
typedef uint32_t mcrs_auth;

/**
 * Names an eviction policy: one of the MCRS_LRU_ numbers.
 */
typedef uint32_t mcrs_lru_mode;

/**
 * Names a goal of the default eviction policy: one of the MCRS_GOAL_ numbers.
 */
typedef uint32_t mcrs_eviction_goal;

/**
 * Names the protocol of a listener: one of the MCRS_PROTOCOL_ numbers.
 */
typedef uint32_t mcrs_protocol;

/**
 * Names the TLS mode of a listener: one of the MCRS_TLS_ numbers.
 */
typedef uint32_t mcrs_tls_mode;

/**
 * Names how client certificates are verified: one of the MCRS_VERIFY_ numbers.
 */
typedef uint32_t mcrs_verify;

/**
 * Names a kind of fault: one of the MCRS_FAULT_ numbers.
 */
typedef uint32_t mcrs_fault_kind;

/**
 * Describes a fault and when it happens.
 *
 * All conditions that are set must hold. All zero except `kind` always happens.
 */
typedef struct mcrs_fault {
    /**
     * Kind of the fault: one of the MCRS_FAULT_ numbers.
     */
    mcrs_fault_kind kind;
    /**
     * Delay in milliseconds, for MCRS_FAULT_DELAY and MCRS_FAULT_DELAY_REPLY.
     */
    uint32_t delay_ms;
    /**
     * Text of the error, for MCRS_FAULT_ERROR; NULL is "injected".
     */
    const char *text;
    /**
     * Command in the text protocols, as "get" or "mg"; NULL for all.
     */
    const char *command;
    /**
     * Pattern of keys, in which `*` stands for any bytes; NULL for all keys.
     */
    const void *key;
    /**
     * Length of `key` in bytes.
     */
    size_t key_len;
    /**
     * Number of times it happens at most; 0 for no limit.
     */
    uint64_t times;
    /**
     * Probability, at most 1; 0 means 1.
     */
    double probability;
    /**
     * Bytes of the reply to send, for MCRS_FAULT_TRUNCATE.
     */
    size_t after;
    /**
     * Must be 0.
     */
    uint64_t reserved[1];
} mcrs_fault;

/**
 * Takes a key, and returns whether the scan should go on.
 *
 * `key` and `info` are valid until the callback returns. No lock is held then, so it may call the
 * library.
 *
 * ```c
 * static bool count_key(void *userdata, const mcrs_slice *key, const mcrs_info *info) {
 *     (void)key, (void)info;
 *     ++*(size_t *)userdata;
 *     return true;
 * }
 * ```
 */
typedef bool (*mcrs_key_fn)(void *userdata, const struct mcrs_slice *key, const struct mcrs_info *info);

/**
 * Holds the options of mcrs_cache_meta_get().
 *
 * All zero only reads: write `mcrs_meta_get_options options = {0};`.
 */
typedef struct mcrs_meta_get_options {
    /**
     * MCRS_META_ bits.
     */
    uint32_t bits;
    /**
     * Seconds to live from now, or MCRS_NEVER; used with MCRS_META_TTL.
     */
    uint32_t ttl;
    /**
     * One caller wins if the item has fewer seconds left; 0 for never.
     */
    uint32_t recache;
    /**
     * Seconds to live of an item that is created, or MCRS_NEVER.
     */
    uint32_t create_ttl;
    /**
     * CAS of an item that is created; 0 for the next one.
     */
    uint64_t new_cas;
    /**
     * Must be 0.
     */
    uint64_t reserved[4];
} mcrs_meta_get_options;

/**
 * Holds the options of mcrs_cache_delete_with().
 *
 * All zero is a plain delete: write `mcrs_delete_options options = {0};`.
 */
typedef struct mcrs_delete_options {
    /**
     * MCRS_DELETE_ bits.
     */
    uint32_t bits;
    /**
     * Seconds to live from now, or MCRS_NEVER; used with MCRS_DELETE_TTL.
     */
    uint32_t ttl;
    /**
     * Flags of an item that is kept without its value.
     */
    uint32_t flags;
    /**
     * Must be 0.
     */
    uint32_t reserved_bits;
    /**
     * CAS that the item must have; 0 for any.
     */
    uint64_t compare_cas;
    /**
     * CAS of a kept item; 0 for the next one.
     */
    uint64_t new_cas;
    /**
     * Must be 0.
     */
    uint64_t reserved[4];
} mcrs_delete_options;

/**
 * Takes the text of all metrics.
 *
 * `text` has `len` bytes of UTF-8 and ends in a NUL after them. It is valid until the callback
 * returns. No lock is held then, so it may call the library.
 *
 * ```c
 * static void print_metrics(void *userdata, const char *text, size_t len) {
 *     (void)userdata;
 *     fwrite(text, 1, len, stdout);
 * }
 * ```
 */
typedef void (*mcrs_metrics_fn)(void *userdata, const char *text, size_t len);

/**
 * Names a kind of address: one of the MCRS_ADDRESS_ numbers.
 */
typedef uint32_t mcrs_address_kind;

/**
 * Holds an address at which a server listens.
 */
typedef struct mcrs_address {
    /**
     * Kind of the address: one of the MCRS_ADDRESS_ numbers.
     */
    mcrs_address_kind kind;
    /**
     * Port that the server took; 0 for a Unix socket.
     */
    uint16_t port;
    /**
     * IP address without port, or the path; valid until the server is freed.
     */
    const char *host;
} mcrs_address;

/**
 * Describes a node of a cluster.
 */
typedef struct mcrs_node {
    /**
     * Name of the node: a text without blanks and control characters.
     */
    const char *host;
    /**
     * IPv4 or IPv6 address; NULL if unknown.
     */
    const char *ip;
    /**
     * Port of the node.
     */
    uint16_t port;
} mcrs_node;

/**
 * Tells how far a save or a load is.
 */
typedef struct mcrs_progress {
    /**
     * Items so far.
     */
    uint64_t items;
    /**
     * Bytes of keys and values so far.
     */
    uint64_t bytes;
    /**
     * About how many items there are in all; 0 if that is not known.
     */
    uint64_t all_items;
} mcrs_progress;

/**
 * Receives the progress of a save or a load, about once a MiB.
 *
 * It runs on the thread that called the function, and holds no lock of the cache. It must not free
 * the cache.
 *
 * ```c
 * static bool print_progress(void *userdata, const mcrs_progress *progress) {
 *     (void)userdata;
 *     printf("%llu items\n", (unsigned long long)progress->items);
 *     return true;
 * }
 * ```
 *
 * @param userdata  Pointer that was passed with the function.
 * @param progress  Progress, valid during the call.
 * @return true to go on; false to end with MCRS_CANCELLED.
 */
typedef bool (*mcrs_progress_fn)(void *userdata, const struct mcrs_progress *progress);

/**
 * Holds the options of mcrs_cache_save().
 *
 * All zero compresses, with half of the processor's cores: write
 * `mcrs_save_options options = {0};`.
 */
typedef struct mcrs_save_options {
    /**
     * MCRS_SAVE_ bits.
     */
    uint32_t bits;
    /**
     * Number of threads, at most 256; 0 for half of the processor's cores.
     */
    uint32_t threads;
    /**
     * Most bytes to write in a second; 0 for no limit.
     */
    uint64_t rate;
    /**
     * Text that is kept in the file; may be NULL.
     */
    const char *note;
    /**
     * Receives the progress; may be NULL.
     */
    mcrs_progress_fn progress;
    /**
     * Pointer passed to `progress`; may be NULL.
     */
    void *userdata;
    /**
     * Must be 0.
     */
    uint64_t reserved[4];
} mcrs_save_options;

/**
 * Describes what mcrs_cache_save() has saved.
 */
typedef struct mcrs_saved {
    /**
     * Items.
     */
    uint64_t items;
    /**
     * Bytes of keys and values.
     */
    uint64_t bytes;
    /**
     * Bytes of the file.
     */
    uint64_t file_bytes;
    /**
     * Items that were left out because there was no memory to copy them.
     */
    uint64_t skipped;
    /**
     * Seconds that it took.
     */
    double seconds;
} mcrs_saved;

/**
 * Holds the options of mcrs_cache_load().
 *
 * All zero keeps newer items and uses all cores: write `mcrs_load_options options = {0};`.
 */
typedef struct mcrs_load_options {
    /**
     * MCRS_LOAD_ bits.
     */
    uint32_t bits;
    /**
     * Number of threads, at most 256; 0 for one a core.
     */
    uint32_t threads;
    /**
     * Receives the progress; may be NULL.
     */
    mcrs_progress_fn progress;
    /**
     * Pointer passed to `progress`; may be NULL.
     */
    void *userdata;
    /**
     * Must be 0.
     */
    uint64_t reserved[4];
} mcrs_load_options;

/**
 * Describes what mcrs_cache_load() has loaded.
 */
typedef struct mcrs_loaded {
    /**
     * Items that were stored. Some may have been evicted again, if memory is full.
     */
    uint64_t items;
    /**
     * Bytes of the keys and values of those items.
     */
    uint64_t bytes;
    /**
     * Items that were left out because they have expired.
     */
    uint64_t expired;
    /**
     * Items that were left out because the cache had their keys.
     */
    uint64_t existing;
    /**
     * Items that were left out because they are larger than item_size_max.
     */
    uint64_t too_large;
    /**
     * Items that were left out because memory is full. They were not used, or nothing may be
     * evicted.
     */
    uint64_t no_memory;
    /**
     * Items that are known to be lost by damage of the file.
     */
    uint64_t damaged;
    /**
     * Whether the file was cut off.
     */
    bool truncated;
    /**
     * Seconds that it took.
     */
    double seconds;
} mcrs_loaded;

/**
 * Takes a statistic, and returns whether more should follow.
 *
 * `name` and `value` are the texts that memcached writes. They are valid until the callback
 * returns. No lock is held then, so it may call the library.
 *
 * ```c
 * static bool print_stat(void *userdata, const char *name, const char *value) {
 *     (void)userdata;
 *     printf("%s = %s\n", name, value);
 *     return true;
 * }
 * ```
 */
typedef bool (*mcrs_stat_fn)(void *userdata, const char *name, const char *value);

/**
 * Names the condition of a store: one of the MCRS_MODE_ numbers.
 */
typedef uint32_t mcrs_mode;

/**
 * Holds the options of mcrs_cache_store().
 *
 * All zero is a plain set without expiry: write `mcrs_store_options options = {0};`.
 */
typedef struct mcrs_store_options {
    /**
     * Condition of the store: one of the MCRS_MODE_ numbers.
     */
    mcrs_mode mode;
    /**
     * MCRS_STORE_ bits.
     */
    uint32_t bits;
    /**
     * Number of the caller's own, kept with the value.
     */
    uint32_t flags;
    /**
     * Seconds to live from now, or MCRS_NEVER.
     */
    uint32_t ttl;
    /**
     * CAS that the item must have; 0 for any. Must be 0 for MCRS_MODE_ADD and MCRS_MODE_REPLACE.
     */
    uint64_t compare_cas;
    /**
     * CAS of the new item; 0 for the next one.
     */
    uint64_t new_cas;
    /**
     * Must be 0.
     */
    uint64_t reserved[4];
} mcrs_store_options;

/**
 * Holds the options of mcrs_cache_incr_with() and mcrs_cache_decr_with().
 *
 * All zero adds 0 to an item that exists: write `mcrs_delta_options options = {0};`.
 */
typedef struct mcrs_delta_options {
    /**
     * Number to add or to subtract.
     */
    uint64_t delta;
    /**
     * Value of an item that is created.
     */
    uint64_t initial;
    /**
     * CAS that the item must have; 0 for any.
     */
    uint64_t compare_cas;
    /**
     * CAS of the new value; 0 for the next one.
     */
    uint64_t new_cas;
    /**
     * MCRS_DELTA_ bits.
     */
    uint32_t bits;
    /**
     * Seconds to live from now, or MCRS_NEVER; used with MCRS_DELTA_TTL.
     */
    uint32_t ttl;
    /**
     * Seconds to live of an item that is created, or MCRS_NEVER.
     */
    uint32_t create_ttl;
    /**
     * Must be 0.
     */
    uint32_t reserved_bits;
    /**
     * Must be 0.
     */
    uint64_t reserved[4];
} mcrs_delta_options;

/**
 * Requires SASL PLAIN in the binary protocol, and refuses the text protocols.
 */
#define MCRS_AUTH_SASL 1

/**
 * Requires a first `set` whose value is name and password.
 *
 * The binary protocol is refused.
 */
#define MCRS_AUTH_TEXT 2

/**
 * Evicts in the order of last use, from one log. A use within a minute of the last one does not
 * count. memcached calls it flat.
 */
#define MCRS_LRU_FLAT 0

/**
 * Evicts by use and size, with new and used items apart. The default.
 */
#define MCRS_LRU_SEGMENTED 1

/**
 * Evicts in the order of last use, in each shard. Every use counts.
 */
#define MCRS_LRU_PLAIN 2

/**
 * The fewest misses. Among items of equal use, large ones go first. The default.
 */
#define MCRS_GOAL_MISSES 0

/**
 * The fewest bytes of missed items. The size of an item does not count.
 */
#define MCRS_GOAL_BYTES 1

/**
 * Decides by the first byte of each connection.
 */
#define MCRS_PROTOCOL_AUTO 0

/**
 * Speaks the classic and the meta text protocol.
 */
#define MCRS_PROTOCOL_TEXT 1

/**
 * Speaks the binary protocol.
 */
#define MCRS_PROTOCOL_BINARY 2

/**
 * Speaks no TLS.
 */
#define MCRS_TLS_OFF 0

/**
 * Speaks TLS, with client certificates as mcrs_config_set_tls_verify() says.
 */
#define MCRS_TLS_ON 1

/**
 * Speaks TLS, and asks for no client certificate.
 */
#define MCRS_TLS_NO_PEER 2

/**
 * Speaks TLS, and requires a client certificate.
 */
#define MCRS_TLS_PEER 3

/**
 * Asks for no certificate. The default.
 */
#define MCRS_VERIFY_NONE 0

/**
 * Asks for a certificate, and verifies it if the client sends one.
 */
#define MCRS_VERIFY_REQUEST 1

/**
 * Requires a valid certificate.
 */
#define MCRS_VERIFY_REQUIRE 2

/**
 * Delays the command by `delay_ms` milliseconds.
 */
#define MCRS_FAULT_DELAY 1

/**
 * Closes the connection instead of running the command.
 */
#define MCRS_FAULT_DROP 2

/**
 * Answers SERVER_ERROR with `text` instead of running the command.
 */
#define MCRS_FAULT_ERROR 3

/**
 * Lets a read find no item.
 */
#define MCRS_FAULT_MISS 4

/**
 * Runs the command, sends `after` bytes of its reply, and closes the connection.
 *
 * In a multiget, the bytes count from the start of the reply to the key.
 */
#define MCRS_FAULT_TRUNCATE 5

/**
 * Runs the command and sends its reply `delay_ms` milliseconds later.
 *
 * Later commands of the connection run in between, and their replies wait behind this one.
 */
#define MCRS_FAULT_DELAY_REPLY 6

/**
 * Is a TCP address.
 */
#define MCRS_ADDRESS_TCP 1

/**
 * Is the path of a Unix socket.
 */
#define MCRS_ADDRESS_UNIX 2

/**
 * Is a UDP address.
 */
#define MCRS_ADDRESS_UDP 3

/**
 * Stores in any case.
 */
#define MCRS_MODE_SET 0

/**
 * Stores only if there is no item.
 */
#define MCRS_MODE_ADD 1

/**
 * Stores only if there is an item.
 */
#define MCRS_MODE_REPLACE 2

/**
 * Appends to the value of an item, which keeps its flags and TTL.
 */
#define MCRS_MODE_APPEND 3

/**
 * Prepends to the value of an item, which keeps its flags and TTL.
 */
#define MCRS_MODE_PREPEND 4

#ifdef __cplusplus
extern "C" {
#endif // __cplusplus

/**
 * Returns the text of this thread's last failed call, in English.
 *
 * It says more than mcrs_status_text() where there is more to say. A call fails if it does not
 * return MCRS_OK.
 *
 * ```c
 * assert(mcrs_config_set_threads(config, 0) == MCRS_INVALID_ARGUMENT);
 * fprintf(stderr, "%s\n", mcrs_error_message());
 * ```
 *
 * @return Text, never NULL; empty before the first failure. It is valid until this thread's next
 *     call that fails, or the thread's end.
 */
const char *mcrs_error_message(void);

/**
 * Calls a callback with the keys that had the most requests.
 *
 * They are those of the last 2 to 4 seconds, the one with the most requests first.
 *
 * One of `sample_rate` requests is counted. Requests of this program count, and those of clients
 * of a server of this cache.
 *
 * ```c
 * // print_hot_key: see mcrs_hot_key_fn
 * assert(mcrs_cache_hot_keys(cache, 10, print_hot_key, NULL) == MCRS_OK);
 * ```
 *
 * @param cache  Cache to work on.
 * @param most  Number of keys, up to 512.
 * @param each  Callback; it returns false to end the list.
 * @param userdata  Pointer passed to the callback; may be NULL.
 * @return MCRS_OK, or a common status.
 */
mcrs_status mcrs_cache_hot_keys(const struct mcrs_cache *cache,
                                size_t most,
                                mcrs_hot_key_fn each,
                                void *userdata);

/**
 * Calls a callback with the keys that had the most requests.
 *
 * They are those of the last 2 to 4 seconds, the one with the most requests first.
 *
 * See mcrs_cache_hot_keys(). The durations of requests are the group "latency" of
 * mcrs_server_stats().
 *
 * @param server  Server to work on.
 * @param most  Number of keys, up to 512.
 * @param each  Callback; it returns false to end the list.
 * @param userdata  Pointer passed to the callback; may be NULL.
 * @return MCRS_OK, or a common status.
 */
mcrs_status mcrs_server_hot_keys(const struct mcrs_server *server,
                                 size_t most,
                                 mcrs_hot_key_fn each,
                                 void *userdata);

/**
 * Creates a cache that no server serves yet.
 *
 * The cache has one thread, which keeps its clock and frees expired items.
 *
 * ```c
 * mcrs_cache *own = NULL;
 * if (mcrs_cache_new(NULL, &own) != MCRS_OK) {
 *     fprintf(stderr, "%s\n", mcrs_error_message());
 *     exit(1);
 * }
 * mcrs_cache_free(own);
 * ```
 *
 * @param config  Settings, of which those of caches are used; NULL for defaults.
 * @param cache  Receives the handle. Free it with mcrs_cache_free().
 * @return MCRS_OK; MCRS_INVALID_ARGUMENT if settings contradict each other; MCRS_SYSTEM_ERROR if
 *     the system refuses the memory or a thread; or a common status.
 */
mcrs_status mcrs_cache_new(const struct mcrs_config *config, struct mcrs_cache **cache);

/**
 * Creates another handle of the same cache.
 *
 * @param cache  Cache to work on.
 * @param other  Receives the handle. Free it with mcrs_cache_free().
 * @return MCRS_OK, or a common status.
 */
mcrs_status mcrs_cache_share(const struct mcrs_cache *cache, struct mcrs_cache **other);

/**
 * Frees a handle, and the cache with its last handle.
 *
 * In a child of fork(), and in a callback that may not call it, it does nothing.
 *
 * @param cache  Handle to free, which no other call uses; NULL does nothing.
 */
void mcrs_cache_free(struct mcrs_cache *cache);

/**
 * Changes the memory limit of a cache.
 *
 * The background thread gives memory back soon afterwards.
 *
 * @param cache  Cache to work on.
 * @param bytes  Limit in bytes, from 1 to the size reserved when the cache was made.
 * @return MCRS_OK; MCRS_INVALID_ARGUMENT if `bytes` is out of range; or a common status.
 */
mcrs_status mcrs_cache_set_memory_limit(const struct mcrs_cache *cache, size_t bytes);

/**
 * Copies the value of a key into a buffer.
 *
 * `buffer` may be modified even if the call fails. The value may change between two calls, so
 * repeat a call that returned MCRS_BUFFER_TOO_SMALL in a loop.
 *
 * ```c
 * char buffer[100];
 * size_t length = 0;
 * assert(mcrs_cache_set(cache, "greeting", 8, "hello", 5, 60) == MCRS_OK);
 * assert(mcrs_cache_get(cache, "greeting", 8, buffer, sizeof buffer, &length) == MCRS_OK);
 * assert(length == 5 && memcmp(buffer, "hello", 5) == 0);
 * assert(mcrs_cache_get(cache, "missing", 7, buffer, sizeof buffer, &length) == MCRS_NOT_FOUND);
 * length = 0;
 * assert(mcrs_cache_get(cache, "greeting", 8, NULL, 0, &length) == MCRS_BUFFER_TOO_SMALL);
 * assert(length == 5);
 * ```
 *
 * @param cache  Cache to work on.
 * @param key  Bytes of the key; any byte values.
 * @param key_len  Length of `key` in bytes, 1 to 250.
 * @param buffer  Receives the value; may be NULL if `buffer_size` is 0.
 * @param buffer_size  Size of `buffer` in bytes.
 * @param value_len  Receives the length of the value in bytes.
 * @return MCRS_OK; MCRS_NOT_FOUND if there is no item; MCRS_BUFFER_TOO_SMALL if the value is
 *     longer than `buffer_size`, then `*value_len` is its length; MCRS_BAD_KEY; or a common
 *     status.
 */
mcrs_status mcrs_cache_get(const struct mcrs_cache *cache,
                           const void *key,
                           size_t key_len,
                           void *buffer,
                           size_t buffer_size,
                           size_t *value_len);

/**
 * Copies the value of a key into a buffer and sets its TTL.
 *
 * It sets the TTL even if the buffer is too small. `buffer` may be modified even if the call
 * fails.
 *
 * ```c
 * char user[100];
 * size_t length = 0;
 * assert(mcrs_cache_set(cache, "cart", 4, "ann", 3, 60) == MCRS_OK);
 * assert(mcrs_cache_get_and_touch(cache, "cart", 4, 3600, user, sizeof user, &length) == MCRS_OK);
 * ```
 *
 * @param cache  Cache to work on.
 * @param key  Bytes of the key; any byte values.
 * @param key_len  Length of `key` in bytes, 1 to 250.
 * @param ttl  Seconds to live from now, or MCRS_NEVER.
 * @param buffer  Receives the value; may be NULL if `buffer_size` is 0.
 * @param buffer_size  Size of `buffer` in bytes.
 * @param value_len  Receives the length of the value in bytes.
 * @return MCRS_OK; MCRS_NOT_FOUND if there is no item; MCRS_BUFFER_TOO_SMALL if the value is
 *     longer than `buffer_size`, then `*value_len` is its length; MCRS_BAD_KEY; or a common
 *     status.
 */
mcrs_status mcrs_cache_get_and_touch(const struct mcrs_cache *cache,
                                     const void *key,
                                     size_t key_len,
                                     uint32_t ttl,
                                     void *buffer,
                                     size_t buffer_size,
                                     size_t *value_len);

/**
 * Returns a handle that keeps the value of a key readable.
 *
 * Values over 4 KiB are pinned, not copied, unless too much of the cache is already pinned.
 * Smaller values are usually copied, because that is faster.
 *
 * ```c
 * mcrs_item *item = NULL;
 * mcrs_slice value;
 * assert(mcrs_cache_set(cache, "page", 4, "<h1>hi</h1>", 11, 60) == MCRS_OK);
 * assert(mcrs_cache_get_item(cache, "page", 4, &item) == MCRS_OK);
 * assert(mcrs_cache_delete(cache, "page", 4) == MCRS_OK);    // the item stays readable
 * assert(mcrs_item_value(item, &value) == MCRS_OK && value.len == 11);
 * mcrs_item_free(item);
 * ```
 *
 * @param cache  Cache to work on.
 * @param key  Bytes of the key; any byte values.
 * @param key_len  Length of `key` in bytes, 1 to 250.
 * @param item  Receives the handle. Free it with mcrs_item_free().
 * @return MCRS_OK; MCRS_NOT_FOUND if there is no item; MCRS_BAD_KEY; or a common status.
 */
mcrs_status mcrs_cache_get_item(const struct mcrs_cache *cache,
                                const void *key,
                                size_t key_len,
                                struct mcrs_item **item);

/**
 * Calls a callback with the value of a key, in one piece.
 *
 * The value lies in the cache, or in a copy that lives as long as the callback runs.
 *
 * ```c
 * assert(mcrs_cache_set(cache, "greeting", 8, "hello", 5, 60) == MCRS_OK);
 * // print_value: see mcrs_found_fn
 * assert(mcrs_cache_get_with(cache, "greeting", 8, print_value, NULL) == MCRS_OK);
 * ```
 *
 * @param cache  Cache to work on.
 * @param key  Bytes of the key; any byte values.
 * @param key_len  Length of `key` in bytes, 1 to 250.
 * @param found  Callback, which is called once if there is an item.
 * @param userdata  Pointer passed to the callback; may be NULL.
 * @return MCRS_OK; MCRS_NOT_FOUND if there is no item; MCRS_BAD_KEY; or a common status.
 */
mcrs_status mcrs_cache_get_with(const struct mcrs_cache *cache,
                                const void *key,
                                size_t key_len,
                                mcrs_found_fn found,
                                void *userdata);

/**
 * Returns the metadata of an item, such as its TTL and its CAS.
 *
 * It does not count as an access.
 *
 * ```c
 * mcrs_info info;
 * assert(mcrs_cache_set(cache, "greeting", 8, "hello", 5, 60) == MCRS_OK);
 * assert(mcrs_cache_info(cache, "greeting", 8, &info) == MCRS_OK);
 * assert(info.value_len == 5 && info.ttl == 60 && info.cas != 0);
 * ```
 *
 * @param cache  Cache to work on.
 * @param key  Bytes of the key; any byte values.
 * @param key_len  Length of `key` in bytes, 1 to 250.
 * @param info  Receives the metadata.
 * @return MCRS_OK; MCRS_NOT_FOUND if there is no item; MCRS_BAD_KEY; or a common status.
 */
mcrs_status mcrs_cache_info(const struct mcrs_cache *cache,
                            const void *key,
                            size_t key_len,
                            struct mcrs_info *info);

/**
 * Sets the TTL of an item.
 *
 * @param cache  Cache to work on.
 * @param key  Bytes of the key; any byte values.
 * @param key_len  Length of `key` in bytes, 1 to 250.
 * @param ttl  Seconds to live from now, or MCRS_NEVER.
 * @return MCRS_OK; MCRS_NOT_FOUND if there is no item; MCRS_BAD_KEY; or a common status.
 */
mcrs_status mcrs_cache_touch(const struct mcrs_cache *cache, const void *key, size_t key_len, uint32_t ttl);

/**
 * Deletes an item.
 *
 * @param cache  Cache to work on.
 * @param key  Bytes of the key; any byte values.
 * @param key_len  Length of `key` in bytes, 1 to 250.
 * @return MCRS_OK; MCRS_NOT_FOUND if there is no item; MCRS_BAD_KEY; or a common status.
 */
mcrs_status mcrs_cache_delete(const struct mcrs_cache *cache, const void *key, size_t key_len);

/**
 * Deletes all items, at once or later.
 *
 * A later flush deletes the items that are stored before that second. The next call replaces it.
 *
 * ```c
 * assert(mcrs_cache_set(cache, "greeting", 8, "hello", 5, MCRS_NEVER) == MCRS_OK);
 * assert(mcrs_cache_flush(cache, 0) == MCRS_OK);
 * assert(mcrs_cache_delete(cache, "greeting", 8) == MCRS_NOT_FOUND);
 * ```
 *
 * @param cache  Cache to work on.
 * @param delay  Seconds of the cache's clock from now; 0 deletes at once.
 * @return MCRS_OK, or a common status.
 */
mcrs_status mcrs_cache_flush(const struct mcrs_cache *cache, uint32_t delay);

/**
 * Limits the bytes of all items whose keys begin with a prefix.
 *
 * A store that exceeds the limit evicts other items of the prefix, old ones first, and none of
 * others. Group "quotas" of mcrs_cache_stats() reports limits, bytes and evictions. A new limit
 * examines all items of the cache, so set limits before items are stored.
 *
 * ```c
 * char page[1000] = "hello";
 * assert(mcrs_cache_set_quota(cache, "site1:", 6, 1500) == MCRS_OK);
 * assert(mcrs_cache_set(cache, "site1:a", 7, page, sizeof page, MCRS_NEVER) == MCRS_OK);
 * assert(mcrs_cache_set(cache, "site1:b", 7, page, sizeof page, MCRS_NEVER) == MCRS_OK);
 * assert(mcrs_cache_delete(cache, "site1:a", 7) == MCRS_NOT_FOUND);
 * ```
 *
 * @param cache       Cache to work on.
 * @param prefix      Prefix. It must not overlap with that of another limit.
 * @param prefix_len  Length of the prefix in bytes, 1 to 250.
 * @param limit       Most bytes, as `stats` counts them; 0 removes the limit.
 * @return MCRS_OK, MCRS_INVALID_ARGUMENT, or a common status.
 */
mcrs_status mcrs_cache_set_quota(const struct mcrs_cache *cache,
                                 const void *prefix,
                                 size_t prefix_len,
                                 uint64_t limit);

/**
 * Deletes all items whose keys begin with a prefix, in constant time.
 *
 * The memory of the items is freed in the background. An empty prefix is that of all items.
 *
 * ```c
 * assert(mcrs_cache_set(cache, "site1:page", 10, "hello", 5, MCRS_NEVER) == MCRS_OK);
 * assert(mcrs_cache_flush_prefix(cache, "site1:", 6) == MCRS_OK);
 * assert(mcrs_cache_delete(cache, "site1:page", 10) == MCRS_NOT_FOUND);
 * ```
 *
 * @param cache       Cache to work on.
 * @param prefix      Prefix. NULL is an empty one.
 * @param prefix_len  Length of the prefix in bytes. No key begins with more than 250.
 * @return MCRS_OK, or a common status.
 */
mcrs_status mcrs_cache_flush_prefix(const struct mcrs_cache *cache, const void *prefix, size_t prefix_len);

/**
 * Returns the time of a cache's clock.
 *
 * @param cache  Cache to work on.
 * @param seconds  Receives the Unix time in whole seconds.
 * @return MCRS_OK, or a common status.
 */
mcrs_status mcrs_clock_now(const struct mcrs_cache *cache, int64_t *seconds);

/**
 * Stops the clock of a cache.
 *
 * mcrs_clock_advance() still moves it.
 *
 * @param cache  Cache to work on.
 * @return MCRS_OK, or a common status.
 */
mcrs_status mcrs_clock_freeze(const struct mcrs_cache *cache);

/**
 * Starts the clock of a cache from where it stands.
 *
 * @param cache  Cache to work on.
 * @return MCRS_OK, or a common status.
 */
mcrs_status mcrs_clock_resume(const struct mcrs_cache *cache);

/**
 * Sets the clock of a cache to the system's time, and starts it.
 *
 * @param cache  Cache to work on.
 * @return MCRS_OK, or a common status.
 */
mcrs_status mcrs_clock_reset(const struct mcrs_cache *cache);

/**
 * Moves the clock of a cache.
 *
 * ```c
 * assert(mcrs_clock_freeze(cache) == MCRS_OK);
 * assert(mcrs_cache_set(cache, "greeting", 8, "hello", 5, 60) == MCRS_OK);
 * assert(mcrs_clock_advance(cache, 60) == MCRS_OK);
 * assert(mcrs_cache_delete(cache, "greeting", 8) == MCRS_NOT_FOUND);    // it has expired
 * ```
 *
 * @param cache  Cache to work on.
 * @param seconds  Seconds to move it by, backwards if negative. The clock reaches from 34 years
 *     before the cache was made to 102 years after.
 * @return MCRS_OK; MCRS_INVALID_ARGUMENT if the clock does not reach that time, then it is not
 *     moved; or a common status.
 */
mcrs_status mcrs_clock_advance(const struct mcrs_cache *cache, int64_t seconds);

/**
 * Creates settings with memcached's defaults, except that there is no listener.
 *
 * ```c
 * mcrs_config *small = NULL;
 * mcrs_cache *made = NULL;
 * assert(mcrs_config_new(&small) == MCRS_OK);
 * assert(mcrs_config_set_memory_limit(small, 8u << 20) == MCRS_OK);
 * assert(mcrs_cache_new(small, &made) == MCRS_OK);
 * mcrs_config_free(small);    // the cache has a copy
 * mcrs_cache_free(made);
 * ```
 *
 * @param config  Receives the handle. Free it with mcrs_config_free().
 * @return MCRS_OK, or a common status.
 */
mcrs_status mcrs_config_new(struct mcrs_config **config);

/**
 * Copies settings into a handle of their own.
 *
 * @param config  Settings to copy.
 * @param copy  Receives the handle. Free it with mcrs_config_free().
 * @return MCRS_OK, or a common status.
 */
mcrs_status mcrs_config_copy(const struct mcrs_config *config, struct mcrs_config **copy);

/**
 * Frees settings.
 *
 * @param config  Settings to free; NULL does nothing.
 */
void mcrs_config_free(struct mcrs_config *config);

/**
 * Sets a setting by its name.
 *
 * docs/settings.md lists the names. mcrs_config_check() checks the rules between settings.
 * mcrs_error_message() says which values the setting takes.
 *
 * ```c
 * assert(mcrs_config_set(config, "memory_limit", "64m") == MCRS_OK);
 * assert(mcrs_config_set(config, "evictions", "off") == MCRS_OK);
 * assert(mcrs_config_set(config, "threads", "none") == MCRS_INVALID_ARGUMENT);
 * ```
 *
 * @param config  Settings to change.
 * @param name  Name of the setting.
 * @param value  Value as a text: a number, "on" or "off", or a word. A number of bytes may end in
 *     k, m or g. "none" takes the value away from a setting that needs none.
 * @return MCRS_OK; MCRS_INVALID_ARGUMENT if there is no such setting, or if it does not take that
 *     value; or a common status.
 */
mcrs_status mcrs_config_set(struct mcrs_config *config, const char *name, const char *value);

/**
 * Checks all settings, also against each other, as a start does.
 *
 * It reads no files. mcrs_error_message() says which rule is broken.
 *
 * @param config  Settings to check.
 * @return MCRS_OK; MCRS_INVALID_ARGUMENT if a rule is broken; or a common status.
 */
mcrs_status mcrs_config_check(const struct mcrs_config *config);

/**
 * Sets the callback that takes a server's log.
 *
 * ```c
 * assert(mcrs_config_set_log(config, log_line, stderr) == MCRS_OK);    // see mcrs_log_fn
 * assert(mcrs_config_set_verbosity(config, 1) == MCRS_OK);
 * ```
 *
 * @param config  Settings to change.
 * @param log  Callback; NULL logs to standard error, the default.
 * @param userdata  Pointer passed to `log`; may be NULL. It must stay valid as long as the server.
 * @return MCRS_OK, or a common status.
 */
mcrs_status mcrs_config_set_log(struct mcrs_config *config, mcrs_log_fn log, void *userdata);

/**
 * Sets the callback that runs when a server has stopped.
 *
 * ```c
 * bool stopped = false;
 * mcrs_server *noted = NULL;
 * // note_stop: see mcrs_stopped_fn
 * assert(mcrs_config_set_stopped(config, note_stop, &stopped) == MCRS_OK);
 * assert(mcrs_server_start(config, &noted) == MCRS_OK);
 * assert(mcrs_server_stop(noted, 0) == MCRS_OK);
 * assert(stopped);
 * mcrs_server_free(noted);
 * ```
 *
 * @param config  Settings to change.
 * @param stopped  Callback; NULL, the default, calls none.
 * @param userdata  Pointer passed to `stopped`; may be NULL. It must stay valid as long as the
 *     server.
 * @return MCRS_OK, or a common status.
 */
mcrs_status mcrs_config_set_stopped(struct mcrs_config *config, mcrs_stopped_fn stopped, void *userdata);

/**
 * Requires clients to authenticate against a file of users.
 *
 * The file has lines `user:password`. mcrs_server_start() and mcrs_server_reload() read it. It
 * replaces users that were added before.
 *
 * @param config  Settings to change.
 * @param auth  MCRS_AUTH_SASL or MCRS_AUTH_TEXT.
 * @param path  Path of the file, not empty.
 * @return MCRS_OK; MCRS_INVALID_ARGUMENT if `auth` or `path` is not allowed; or a common status.
 */
mcrs_status mcrs_config_set_auth_file(struct mcrs_config *config, mcrs_auth auth, const char *path);

/**
 * Requires clients to authenticate, and adds a user.
 *
 * The first user replaces a file that was set before. The setting `rights` limits what users may
 * do, by mcrs_config_set().
 *
 * ```c
 * assert(mcrs_config_add_user(config, MCRS_AUTH_TEXT, "ann", "secret") == MCRS_OK);
 * assert(mcrs_config_add_user(config, MCRS_AUTH_TEXT, "bob", "hidden") == MCRS_OK);
 * assert(mcrs_config_set(config, "rights", "ann all; bob ro,prefix=b/") == MCRS_OK);
 * ```
 *
 * @param config  Settings to change.
 * @param auth  MCRS_AUTH_SASL or MCRS_AUTH_TEXT, the same for all users.
 * @param user  Name: a text that is not empty and has no colon.
 * @param password  Password: any text.
 * @return MCRS_OK; MCRS_INVALID_ARGUMENT if `auth` or `user` is not allowed; or a common status.
 */
mcrs_status mcrs_config_add_user(struct mcrs_config *config,
                                 mcrs_auth auth,
                                 const char *user,
                                 const char *password);

/**
 * Sets the eviction policy.
 *
 * @param config  Settings to change.
 * @param mode  One of the MCRS_LRU_ numbers. The default is MCRS_LRU_SEGMENTED.
 * @return MCRS_OK; MCRS_INVALID_ARGUMENT for another mode; or a common status.
 */
mcrs_status mcrs_config_set_lru_mode(struct mcrs_config *config, mcrs_lru_mode mode);

/**
 * Sets the goal of the eviction policy MCRS_LRU_SEGMENTED. Other policies do not weigh items.
 *
 * @param config  Settings to change.
 * @param goal  MCRS_GOAL_MISSES, the default, or MCRS_GOAL_BYTES.
 * @return MCRS_OK; MCRS_INVALID_ARGUMENT for another goal; or a common status.
 */
mcrs_status mcrs_config_set_eviction_goal(struct mcrs_config *config, mcrs_eviction_goal goal);

/**
 * Sets the sizes of the slab classes that statistics name.
 *
 * Sizes must ascend, from at least 40 to at most the slab_chunk_max setting. mcrs_config_check()
 * compares them with that setting.
 *
 * @param config  Settings to change.
 * @param sizes  Sizes in bytes; may be NULL if `count` is 0.
 * @param count  Number of sizes, at most 62. 0, the default, derives the sizes from growth factor
 *     and chunk size.
 * @return MCRS_OK; MCRS_INVALID_ARGUMENT if sizes do not ascend or are too many; or a common
 *     status.
 */
mcrs_status mcrs_config_set_slab_sizes(struct mcrs_config *config, const size_t *sizes, size_t count);

/**
 * Sets the memory limit for items and their index.
 *
 * The memory is reserved when a cache is made. A limit that the system cannot reserve makes
 * mcrs_cache_new() and mcrs_server_start() return MCRS_SYSTEM_ERROR.
 *
 * ```c
 * assert(mcrs_config_set_memory_limit(config, 256u << 20) == MCRS_OK);    // 256 MiB
 * assert(mcrs_config_set_item_size_max(config, 4u << 20) == MCRS_OK);
 * assert(mcrs_config_set_evictions(config, false) == MCRS_OK);    // refuse, do not evict
 * assert(mcrs_config_check(config) == MCRS_OK);
 * ```
 *
 * @param config  Settings to change.
 * @param bytes  Limit in bytes; default 64 MiB. 0 sets no limit but the reserved address space,
 *     about 32 GiB.
 * @return MCRS_OK, or a common status.
 */
mcrs_status mcrs_config_set_memory_limit(struct mcrs_config *config, size_t bytes);

/**
 * Sets whether a full cache evicts items to make room.
 *
 * @param config  Settings to change.
 * @param on  true, the default, evicts items. false refuses the store with MCRS_NO_MEMORY.
 * @return MCRS_OK, or a common status.
 */
mcrs_status mcrs_config_set_evictions(struct mcrs_config *config, bool on);

/**
 * Sets the size of the largest item, as memcached counts it.
 *
 * @param config  Settings to change.
 * @param bytes  Size in bytes, 1024 to 1 GiB; default 1 MiB. mcrs_config_check() checks that it is
 *     at most half of the memory limit, and a multiple of slab_chunk_max if that is set.
 * @return MCRS_OK; MCRS_INVALID_ARGUMENT if `bytes` is out of range; or a common status.
 */
mcrs_status mcrs_config_set_item_size_max(struct mcrs_config *config, size_t bytes);

/**
 * Sets the growth factor between slab classes.
 *
 * Slab classes only name sizes in statistics. They do not affect where items are stored.
 *
 * @param config  Settings to change.
 * @param factor  Finite and above 1; default 1.25.
 * @return MCRS_OK; MCRS_INVALID_ARGUMENT if `factor` is out of range; or a common status.
 */
mcrs_status mcrs_config_set_growth_factor(struct mcrs_config *config, double factor);

/**
 * Sets the smallest space for key, value and flags in slab classes.
 *
 * @param config  Settings to change.
 * @param bytes  Size in bytes, above 0; default 48.
 * @return MCRS_OK; MCRS_INVALID_ARGUMENT if `bytes` is 0; or a common status.
 */
mcrs_status mcrs_config_set_chunk_size(struct mcrs_config *config, size_t bytes);

/**
 * Sets the size of the largest slab class.
 *
 * It also bounds the items that mcrs_cache_incr() takes.
 *
 * @param config  Settings to change.
 * @param bytes  Size in bytes, 512 to 1 MiB. It must divide 1 MiB and the item_size_max setting;
 *     mcrs_config_check() checks the latter. 0, the default, takes 512 KiB, or the largest power
 *     of two that fits in a smaller item_size_max.
 * @return MCRS_OK; MCRS_INVALID_ARGUMENT if `bytes` is out of range or does not divide 1 MiB; or a
 *     common status.
 */
mcrs_status mcrs_config_set_slab_chunk_max(struct mcrs_config *config, size_t bytes);

/**
 * Sets whether the cache keeps CAS values.
 *
 * @param config  Settings to change.
 * @param on  true, the default, keeps them. false makes every CAS read as 0.
 * @return MCRS_OK, or a common status.
 */
mcrs_status mcrs_config_set_cas(struct mcrs_config *config, bool on);

/**
 * Sets whether the background thread frees expired items by itself.
 *
 * @param config  Settings to change.
 * @param on  Default true.
 * @return MCRS_OK, or a common status.
 */
mcrs_status mcrs_config_set_lru_maintainer(struct mcrs_config *config, bool on);

/**
 * Sets whether the crawler frees expired items that clients do not request.
 *
 * @param config  Settings to change.
 * @param on  Default true.
 * @return MCRS_OK, or a common status.
 */
mcrs_status mcrs_config_set_lru_crawler(struct mcrs_config *config, bool on);

/**
 * Sets how long the crawler sleeps between steps.
 *
 * @param config  Settings to change.
 * @param microseconds  0 to 1000000; default 100.
 * @return MCRS_OK; MCRS_INVALID_ARGUMENT if `microseconds` is out of range; or a common status.
 */
mcrs_status mcrs_config_set_lru_crawler_sleep(struct mcrs_config *config, uint32_t microseconds);

/**
 * Sets how many items the crawler visits in a run.
 *
 * @param config  Settings to change.
 * @param items  Most items of a run. 0, the default, visits all.
 * @return MCRS_OK, or a common status.
 */
mcrs_status mcrs_config_set_lru_crawler_tocrawl(struct mcrs_config *config, uint32_t items);

/**
 * Sets the share of the HOT queue, which only statistics report.
 *
 * @param config  Settings to change.
 * @param percent  1 to 79; default 20. Together with warm_lru_pct at most 80, which
 *     mcrs_config_check() checks.
 * @return MCRS_OK; MCRS_INVALID_ARGUMENT if `percent` is out of range; or a common status.
 */
mcrs_status mcrs_config_set_hot_lru_pct(struct mcrs_config *config, uint32_t percent);

/**
 * Sets the share of the WARM queue, which only statistics report.
 *
 * @param config  Settings to change.
 * @param percent  1 to 79; default 40. Together with hot_lru_pct at most 80, which
 *     mcrs_config_check() checks.
 * @return MCRS_OK; MCRS_INVALID_ARGUMENT if `percent` is out of range; or a common status.
 */
mcrs_status mcrs_config_set_warm_lru_pct(struct mcrs_config *config, uint32_t percent);

/**
 * Sets the age factor of the HOT queue, which only statistics report.
 *
 * @param config  Settings to change.
 * @param factor  Above 0; default 0.2.
 * @return MCRS_OK; MCRS_INVALID_ARGUMENT if `factor` is out of range; or a common status.
 */
mcrs_status mcrs_config_set_hot_max_factor(struct mcrs_config *config, double factor);

/**
 * Sets the age factor of the WARM queue, which only statistics report.
 *
 * @param config  Settings to change.
 * @param factor  Above 0; default 2.
 * @return MCRS_OK; MCRS_INVALID_ARGUMENT if `factor` is out of range; or a common status.
 */
mcrs_status mcrs_config_set_warm_max_factor(struct mcrs_config *config, double factor);

/**
 * Sets the longest TTL of items that are never evicted.
 *
 * Items with at most this TTL live in a log of their own. By default there is no such log. It
 * needs the background thread, see mcrs_config_set_lru_maintainer(), which mcrs_config_check()
 * checks.
 *
 * @param config  Settings to change.
 * @param seconds  TTL in seconds.
 * @return MCRS_OK, or a common status.
 */
mcrs_status mcrs_config_set_temporary_ttl(struct mcrs_config *config, uint32_t seconds);

/**
 * Sets whether the command `slabs reassign` answers.
 *
 * The command has no effect, because items belong to no slab class.
 *
 * @param config  Settings to change.
 * @param on  Default true.
 * @return MCRS_OK, or a common status.
 */
mcrs_status mcrs_config_set_slab_reassign(struct mcrs_config *config, bool on);

/**
 * Sets the automove mode, which only statistics report.
 *
 * @param config  Settings to change.
 * @param mode  0 to 2; default 1.
 * @return MCRS_OK; MCRS_INVALID_ARGUMENT if `mode` is out of range; or a common status.
 */
mcrs_status mcrs_config_set_slab_automove(struct mcrs_config *config, uint32_t mode);

/**
 * Sets the automove ratio, which only statistics report.
 *
 * @param config  Settings to change.
 * @param ratio  Above 0 and at most 1; default 0.8.
 * @return MCRS_OK; MCRS_INVALID_ARGUMENT if `ratio` is out of range; or a common status.
 */
mcrs_status mcrs_config_set_slab_automove_ratio(struct mcrs_config *config, double ratio);

/**
 * Sets the automove window, which only statistics report.
 *
 * @param config  Settings to change.
 * @param seconds  3 to 1800; default 10.
 * @return MCRS_OK; MCRS_INVALID_ARGUMENT if `seconds` is out of range; or a common status.
 */
mcrs_status mcrs_config_set_slab_automove_window(struct mcrs_config *config, uint32_t seconds);

/**
 * Sets the tail repair time, which only statistics report.
 *
 * @param config  Settings to change.
 * @param seconds  0, the default, or at least 10.
 * @return MCRS_OK; MCRS_INVALID_ARGUMENT for 1 to 9; or a common status.
 */
mcrs_status mcrs_config_set_tail_repair_time(struct mcrs_config *config, uint32_t seconds);

/**
 * Sets whether the cache keeps a histogram of item sizes.
 *
 * Group "sizes" of mcrs_cache_stats() reports the histogram.
 *
 * @param config  Settings to change.
 * @param on  Default false.
 * @return MCRS_OK, or a common status.
 */
mcrs_status mcrs_config_set_track_sizes(struct mcrs_config *config, bool on);

/**
 * Sets the initial size of the index, which grows later.
 *
 * @param config  Settings to change.
 * @param power  Logarithm to base 2 of the number of slots, at most 32. 0, the default, lets the
 *     cache decide.
 * @return MCRS_OK; MCRS_INVALID_ARGUMENT if `power` is above 32; or a common status.
 */
mcrs_status mcrs_config_set_hashpower(struct mcrs_config *config, uint32_t power);

/**
 * Sets the number of shards, which are locked separately.
 *
 * @param config  Settings to change.
 * @param count  Power of two, at most 1024; a cache with little memory has fewer. 0, the default,
 *     lets the cache decide.
 * @return MCRS_OK; MCRS_INVALID_ARGUMENT if `count` is not allowed; or a common status.
 */
mcrs_status mcrs_config_set_shards(struct mcrs_config *config, size_t count);

/**
 * Sets how many threads are expected to use the cache at once.
 *
 * It is a hint for the number of shards.
 *
 * @param config  Settings to change.
 * @param threads  At least 1; default 4.
 * @return MCRS_OK; MCRS_INVALID_ARGUMENT if `threads` is 0; or a common status.
 */
mcrs_status mcrs_config_set_concurrency(struct mcrs_config *config, size_t threads);

/**
 * Sets the byte that ends the prefix of a key in `stats detail`.
 *
 * @param config  Settings to change.
 * @param delimiter  Any byte; default ':'.
 * @return MCRS_OK, or a common status.
 */
mcrs_status mcrs_config_set_prefix_delimiter(struct mcrs_config *config, uint8_t delimiter);

/**
 * Sets whether `stats detail` counts from the start.
 *
 * @param config  Settings to change.
 * @param on  Default false.
 * @return MCRS_OK, or a common status.
 */
mcrs_status mcrs_config_set_detail(struct mcrs_config *config, bool on);

/**
 * Sets whether the cache asks the system for large pages.
 *
 * A cache of at least 64 MiB asks for them anyway.
 *
 * @param config  Settings to change.
 * @param on  Default false.
 * @return MCRS_OK, or a common status.
 */
mcrs_status mcrs_config_set_large_pages(struct mcrs_config *config, bool on);

/**
 * Sets whether the cache's clock starts stopped.
 *
 * mcrs_clock_resume() starts it.
 *
 * @param config  Settings to change.
 * @param on  Default false.
 * @return MCRS_OK, or a common status.
 */
mcrs_status mcrs_config_set_clock_frozen(struct mcrs_config *config, bool on);

/**
 * Adds a TCP listener.
 *
 * ```c
 * mcrs_server *one = NULL;
 * mcrs_address address;
 * assert(mcrs_config_listen_tcp(config, NULL, 0, MCRS_PROTOCOL_AUTO, MCRS_TLS_OFF) == MCRS_OK);
 * assert(mcrs_server_start(config, &one) == MCRS_OK);
 * assert(mcrs_server_address(one, 0, &address) == MCRS_OK);
 * assert(strcmp(address.host, "127.0.0.1") == 0 && address.port != 0);
 * mcrs_server_free(one);
 * ```
 *
 * @param config  Settings to change.
 * @param host  IPv4 or IPv6 address; names are not looked up. NULL is 127.0.0.1.
 * @param port  Port; 0 takes a free one, which mcrs_server_address() returns.
 * @param protocol  One of the MCRS_PROTOCOL_ numbers.
 * @param tls  One of the MCRS_TLS_ numbers. TLS needs mcrs_config_set_tls_certificate().
 * @return MCRS_OK; MCRS_INVALID_ARGUMENT if `host`, `protocol` or `tls` is not allowed; or a
 *     common status.
 */
mcrs_status mcrs_config_listen_tcp(struct mcrs_config *config,
                                   const char *host,
                                   uint16_t port,
                                   mcrs_protocol protocol,
                                   mcrs_tls_mode tls);

/**
 * Adds a listener on a Unix socket.
 *
 * A stale socket file at `path` is replaced. The server removes its file when it stops.
 *
 * @param config  Settings to change.
 * @param path  Path of the socket file, not empty.
 * @param mask  Permission bits of the file, 0 to 0777; memcached's default is 0700.
 * @param protocol  One of the MCRS_PROTOCOL_ numbers.
 * @return MCRS_OK; MCRS_INVALID_ARGUMENT if `path`, `mask` or `protocol` is not allowed; or a
 *     common status.
 */
mcrs_status mcrs_config_listen_unix(struct mcrs_config *config,
                                    const char *path,
                                    uint32_t mask,
                                    mcrs_protocol protocol);

/**
 * Adds a UDP socket.
 *
 * The first byte of a datagram decides its protocol.
 *
 * @param config  Settings to change.
 * @param host  IPv4 or IPv6 address; names are not looked up. NULL is 127.0.0.1.
 * @param port  Port; 0 takes a free one, which mcrs_server_address() returns.
 * @return MCRS_OK; MCRS_INVALID_ARGUMENT if `host` is not an address; or a common status.
 */
mcrs_status mcrs_config_listen_udp(struct mcrs_config *config, const char *host, uint16_t port);

/**
 * Adds a node to the list that `config get cluster` reports.
 *
 * Clients with auto discovery read this list, as they do from a hosted cluster.
 *
 * ```c
 * assert(mcrs_config_add_cluster_node(config, "cache-1.example", "10.0.0.1", 11211) == MCRS_OK);
 * assert(mcrs_config_add_cluster_node(config, "cache-2.example", NULL, 11211) == MCRS_OK);
 * ```
 *
 * @param config  Settings to change.
 * @param host  Name of the node: a text without blanks and control characters.
 * @param ip  IPv4 or IPv6 address; NULL if unknown, then clients use the name.
 * @param port  Port of the node.
 * @return MCRS_OK; MCRS_INVALID_ARGUMENT if `host` or `ip` is not allowed; or a common status.
 */
mcrs_status mcrs_config_add_cluster_node(struct mcrs_config *config,
                                         const char *host,
                                         const char *ip,
                                         uint16_t port);

/**
 * Sets the number of worker threads of a server.
 *
 * ```c
 * assert(mcrs_config_set_threads(config, 2) == MCRS_OK);
 * assert(mcrs_config_set_max_connections(config, 100) == MCRS_OK);
 * assert(mcrs_config_set_idle_timeout(config, 300) == MCRS_OK);    // seconds
 * assert(mcrs_config_set_threads(config, 0) == MCRS_INVALID_ARGUMENT);
 * ```
 *
 * @param config  Settings to change.
 * @param count  1 to 1024; default 4.
 * @return MCRS_OK; MCRS_INVALID_ARGUMENT if `count` is out of range; or a common status.
 */
mcrs_status mcrs_config_set_threads(struct mcrs_config *config, size_t count);

/**
 * Sets how many connections a server has at once.
 *
 * Listeners and UDP sockets count as well. mcrs_server_start() returns MCRS_SYSTEM_ERROR if the
 * system allows the process fewer open files.
 *
 * @param config  Settings to change.
 * @param count  At least 1; default 1024.
 * @return MCRS_OK; MCRS_INVALID_ARGUMENT if `count` is 0; or a common status.
 */
mcrs_status mcrs_config_set_max_connections(struct mcrs_config *config, size_t count);

/**
 * Sets whether a server refuses connections above the limit at once.
 *
 * @param config  Settings to change.
 * @param on  true, the default, refuses them with a text. false leaves them waiting.
 * @return MCRS_OK, or a common status.
 */
mcrs_status mcrs_config_set_maxconns_fast(struct mcrs_config *config, bool on);

/**
 * Sets the length of the queue of connections to accept.
 *
 * @param config  Settings to change.
 * @param length  Default 1024. A negative length asks the system for the longest queue.
 * @return MCRS_OK, or a common status.
 */
mcrs_status mcrs_config_set_backlog(struct mcrs_config *config, int length);

/**
 * Sets how many requests of a connection a worker handles at a turn.
 *
 * @param config  Settings to change.
 * @param count  At least 1; default 256.
 * @return MCRS_OK; MCRS_INVALID_ARGUMENT if `count` is 0; or a common status.
 */
mcrs_status mcrs_config_set_requests_per_event(struct mcrs_config *config, size_t count);

/**
 * Sets when a server closes idle TCP connections.
 *
 * @param config  Settings to change.
 * @param seconds  Idle time in seconds. 0, the default, never closes them.
 * @return MCRS_OK, or a common status.
 */
mcrs_status mcrs_config_set_idle_timeout(struct mcrs_config *config, uint32_t seconds);

/**
 * Sets how many unread bytes of replies a connection may hold.
 *
 * Above the limit its further requests wait.
 *
 * @param config  Settings to change.
 * @param bytes  Limit in bytes; default 1 MiB.
 * @return MCRS_OK, or a common status.
 */
mcrs_status mcrs_config_set_output_limit(struct mcrs_config *config, size_t bytes);

/**
 * Sets the configuration that makes a server a proxy.
 *
 * mcrs_server_start() reads it. Commands with keys then go to the backends of the configuration,
 * which docs/proxy.md describes. mcrs_error_message() names the line of a mistake.
 *
 * ```c
 * const char *route = "route = 'main'\npools.main.backends = ['127.0.0.1:11211']\n";
 * mcrs_config *routed = NULL;
 * assert(mcrs_config_new(&routed) == MCRS_OK);
 * assert(mcrs_config_set_proxy(routed, route) == MCRS_OK);
 * mcrs_config_free(routed);
 * ```
 *
 * @param config  Settings to change.
 * @param toml  Name of a file, which ends in `.toml`, or else a text in TOML; NULL, the default,
 *     for a server that is not a proxy.
 * @return MCRS_OK; MCRS_INVALID_ARGUMENT if `toml` is empty; or a common status.
 */
mcrs_status mcrs_config_set_proxy(struct mcrs_config *config, const char *toml);

/**
 * Sets whether clients may use `flush_all`.
 *
 * @param config  Settings to change.
 * @param on  Default true.
 * @return MCRS_OK, or a common status.
 */
mcrs_status mcrs_config_set_flush(struct mcrs_config *config, bool on);

/**
 * Sets whether clients may list keys.
 *
 * @param config  Settings to change.
 * @param on  Default true.
 * @return MCRS_OK, or a common status.
 */
mcrs_status mcrs_config_set_dump(struct mcrs_config *config, bool on);

/**
 * Sets whether clients may use `watch`.
 *
 * @param config  Settings to change.
 * @param on  Default true.
 * @return MCRS_OK, or a common status.
 */
mcrs_status mcrs_config_set_watch(struct mcrs_config *config, bool on);

/**
 * Sets whether clients may shut the server down.
 *
 * @param config  Settings to change.
 * @param on  Default false.
 * @return MCRS_OK, or a common status.
 */
mcrs_status mcrs_config_set_shutdown(struct mcrs_config *config, bool on);

/**
 * Sets whether calls on the server's cache wait for clients first.
 *
 * A call then waits, for at most a second, until requests that clients have sent are carried out,
 * as mcrs_server_settle() does. This makes tests deterministic and costs each call some
 * microseconds.
 *
 * @param config  Settings to change.
 * @param on  Default true.
 * @return MCRS_OK, or a common status.
 */
mcrs_status mcrs_config_set_settles(struct mcrs_config *config, bool on);

/**
 * Sets how much a server logs.
 *
 * @param config  Settings to change.
 * @param level  0 to 3; default 0.
 * @return MCRS_OK; MCRS_INVALID_ARGUMENT if `level` is above 3; or a common status.
 */
mcrs_status mcrs_config_set_verbosity(struct mcrs_config *config, uint32_t level);

/**
 * Sets the size of the buffer of each watcher.
 *
 * @param config  Settings to change.
 * @param bytes  Size in bytes; default 256 KiB.
 * @return MCRS_OK, or a common status.
 */
mcrs_status mcrs_config_set_watcher_buffer(struct mcrs_config *config, size_t bytes);

/**
 * Sets the size of the workers' log buffers, which only statistics report.
 *
 * @param config  Settings to change.
 * @param bytes  Size in bytes; default 64 KiB.
 * @return MCRS_OK, or a common status.
 */
mcrs_status mcrs_config_set_worker_buffer(struct mcrs_config *config, size_t bytes);

/**
 * Sets whether the commands of memcached's debug build answer.
 *
 * @param config  Settings to change.
 * @param on  Default false.
 * @return MCRS_OK, or a common status.
 */
mcrs_status mcrs_config_set_debug_commands(struct mcrs_config *config, bool on);

/**
 * Sets the mark of packets of internet sockets, for packet filters.
 *
 * @param config  Settings to change.
 * @param mark  Mark as in SO_MARK, Linux only. 0, the default, sets none.
 * @return MCRS_OK, or a common status.
 */
mcrs_status mcrs_config_set_socket_mark(struct mcrs_config *config, uint32_t mark);

/**
 * Sets the files of the server's certificate chain and private key.
 *
 * Listeners with TLS need them. mcrs_server_start() and mcrs_server_reload() read the files.
 *
 * ```c
 * assert(mcrs_config_set_tls_certificate(config, "server.pem", "server.key") == MCRS_OK);
 * assert(mcrs_config_set_tls_ca(config, "clients.pem") == MCRS_OK);
 * assert(mcrs_config_set_tls_verify(config, MCRS_VERIFY_REQUIRE) == MCRS_OK);
 * assert(mcrs_config_listen_tcp(config, NULL, 0, MCRS_PROTOCOL_AUTO, MCRS_TLS_ON) == MCRS_OK);
 * ```
 *
 * @param config  Settings to change.
 * @param chain  Path of a PEM file: the certificate first, then those above it.
 * @param key  Path of the private key; NULL if it is in `chain`.
 * @return MCRS_OK; MCRS_INVALID_ARGUMENT if a path is empty; or a common status.
 */
mcrs_status mcrs_config_set_tls_certificate(struct mcrs_config *config, const char *chain, const char *key);

/**
 * Sets the format of the private key.
 *
 * @param config  Settings to change.
 * @param der  true for ASN.1 (DER); false, the default, for PEM.
 * @return MCRS_OK, or a common status.
 */
mcrs_status mcrs_config_set_tls_key_der(struct mcrs_config *config, bool der);

/**
 * Sets the file of authorities that sign client certificates.
 *
 * @param config  Settings to change.
 * @param path  Path of a PEM file; NULL, the default, accepts no client certificate.
 * @return MCRS_OK; MCRS_INVALID_ARGUMENT if `path` is empty; or a common status.
 */
mcrs_status mcrs_config_set_tls_ca(struct mcrs_config *config, const char *path);

/**
 * Sets how listeners with MCRS_TLS_ON verify client certificates.
 *
 * @param config  Settings to change.
 * @param verify  One of the MCRS_VERIFY_ numbers; default MCRS_VERIFY_NONE.
 * @return MCRS_OK; MCRS_INVALID_ARGUMENT for another number; or a common status.
 */
mcrs_status mcrs_config_set_tls_verify(struct mcrs_config *config, mcrs_verify verify);

/**
 * Sets the cipher suites.
 *
 * mcrs_server_start() reads the list.
 *
 * @param config  Settings to change.
 * @param list  Names as in OpenSSL, with colons between them; NULL, the default, takes all that
 *     are supported.
 * @return MCRS_OK; MCRS_INVALID_ARGUMENT if `list` has a line break; or a common status.
 */
mcrs_status mcrs_config_set_tls_ciphers(struct mcrs_config *config, const char *list);

/**
 * Sets how many bytes are encrypted before they are sent.
 *
 * @param config  Settings to change.
 * @param bytes  64 KiB to 1 MiB. Smaller numbers, as the default 16 KiB, and larger ones are taken
 *     for these limits.
 * @return MCRS_OK, or a common status.
 */
mcrs_status mcrs_config_set_tls_write_buffer(struct mcrs_config *config, size_t bytes);

/**
 * Sets whether clients can resume TLS sessions.
 *
 * @param config  Settings to change.
 * @param on  Default false.
 * @return MCRS_OK, or a common status.
 */
mcrs_status mcrs_config_set_tls_session_cache(struct mcrs_config *config, bool on);

/**
 * Sets the oldest version of TLS that is accepted.
 *
 * @param config  Settings to change.
 * @param version  12 for TLS 1.2, the default, or 13 for TLS 1.3.
 * @return MCRS_OK; MCRS_INVALID_ARGUMENT for another number; or a common status.
 */
mcrs_status mcrs_config_set_tls_min_version(struct mcrs_config *config, uint32_t version);

/**
 * Adds a fault that clients of a cache's servers meet.
 *
 * The first fault whose conditions hold happens. Calls of this library meet none.
 *
 * ```c
 * mcrs_fault fault = {0};
 * uint64_t id = 0, applied = 0;
 * fault.kind = MCRS_FAULT_ERROR;
 * fault.text = "out of order";
 * fault.command = "get";
 * fault.times = 2;
 * assert(mcrs_faults_add(cache, &fault, &id) == MCRS_OK);
 * // Two gets of clients now answer "SERVER_ERROR out of order".
 * assert(mcrs_faults_remove(cache, id, &applied) == MCRS_OK && applied == 0);
 * ```
 *
 * @param cache  Cache to work on.
 * @param fault  Fault to add, which is copied.
 * @param id  Receives the number of the fault; may be NULL.
 * @return MCRS_OK; MCRS_INVALID_ARGUMENT if a field of `fault` is not allowed; or a common status.
 */
mcrs_status mcrs_faults_add(const struct mcrs_cache *cache, const struct mcrs_fault *fault, uint64_t *id);

/**
 * Removes a fault.
 *
 * @param cache  Cache to work on.
 * @param id  Number of the fault, from mcrs_faults_add().
 * @param applied  Receives how often it has happened; may be NULL.
 * @return MCRS_OK; MCRS_NOT_FOUND if there is no such fault; or a common status.
 */
mcrs_status mcrs_faults_remove(const struct mcrs_cache *cache, uint64_t id, uint64_t *applied);

/**
 * Removes all faults of a cache.
 *
 * @param cache  Cache to work on.
 * @return MCRS_OK, or a common status.
 */
mcrs_status mcrs_faults_clear(const struct mcrs_cache *cache);

/**
 * Returns the value of an item, in one piece.
 *
 * Large values, from about 4 KiB in a cache of 64 MiB, lie in pieces. The first call for such a
 * value copies it to memory of the handle. Other values are not copied.
 *
 * @param item  Item to read.
 * @param value  Receives the value, valid until the item is freed. `data` is not NULL, even for an
 *     empty value.
 * @return MCRS_OK, or a common status.
 */
mcrs_status mcrs_item_value(const struct mcrs_item *item, struct mcrs_slice *value);

/**
 * Returns the pieces of the value of an item, in order, without a copy.
 *
 * A piece has the layout of `struct iovec`, so the pieces can be passed to writev().
 *
 * ```c
 * mcrs_item *item = NULL;
 * mcrs_slice pieces[16];
 * size_t count = 0;
 * assert(mcrs_cache_set(cache, "greeting", 8, "hello", 5, 60) == MCRS_OK);
 * assert(mcrs_cache_get_item(cache, "greeting", 8, &item) == MCRS_OK);
 * if (mcrs_item_pieces(item, pieces, 16, &count) == MCRS_OK) {
 *     for (size_t n = 0; n < count; n++) {
 *         fwrite(pieces[n].data, 1, pieces[n].len, stdout);
 *     }
 * }
 * mcrs_item_free(item);
 * ```
 *
 * @param item  Item to read.
 * @param pieces  Receives the pieces, valid until the item is freed; may be NULL if `capacity` is
 *     0.
 * @param capacity  Number of slices in `pieces`.
 * @param count  Receives the number of pieces.
 * @return MCRS_OK; MCRS_BUFFER_TOO_SMALL if there are more than `capacity`, then `*count` is their
 *     number and `pieces` is unchanged; or a common status.
 */
mcrs_status mcrs_item_pieces(const struct mcrs_item *item,
                             struct mcrs_slice *pieces,
                             size_t capacity,
                             size_t *count);

/**
 * Copies the value of an item into a buffer.
 *
 * @param item  Item to read.
 * @param buffer  Receives the value; may be NULL if `buffer_size` is 0.
 * @param buffer_size  Size of `buffer` in bytes.
 * @param value_len  Receives the length of the value in bytes.
 * @return MCRS_OK; MCRS_BUFFER_TOO_SMALL if the value is longer than `buffer_size`, then
 *     `*value_len` is its length and `buffer` is unchanged; or a common status.
 */
mcrs_status mcrs_item_copy(const struct mcrs_item *item, void *buffer, size_t buffer_size, size_t *value_len);

/**
 * Returns the metadata of an item, as it was when the handle was made.
 *
 * @param item  Item to read.
 * @param info  Receives the metadata.
 * @return MCRS_OK, or a common status.
 */
mcrs_status mcrs_item_info(const struct mcrs_item *item, struct mcrs_info *info);

/**
 * Frees an item.
 *
 * In a child of fork(), and in a callback that may not call it, it does nothing.
 *
 * @param item  Handle to free, which no other call uses; NULL does nothing.
 */
void mcrs_item_free(struct mcrs_item *item);

/**
 * Calls a callback with each key of a cache, in no order.
 *
 * A scan shows every item that exists for its whole time once. Items that come or go
 * during the scan may be shown or not. The cache is locked in parts, and for a few items at a
 * time.
 *
 * ```c
 * size_t keys = 0;
 * assert(mcrs_cache_set(cache, "greeting", 8, "hello", 5, 60) == MCRS_OK);
 * // count_key: see mcrs_key_fn
 * assert(mcrs_cache_each_key(cache, count_key, &keys) == MCRS_OK && keys == 1);
 * ```
 *
 * @param cache  Cache to work on.
 * @param each  Callback; it returns false to end the scan.
 * @param userdata  Pointer passed to the callback; may be NULL.
 * @return MCRS_OK, or a common status.
 */
mcrs_status mcrs_cache_each_key(const struct mcrs_cache *cache, mcrs_key_fn each, void *userdata);

/**
 * Calls a callback with the value of each key that has an item.
 *
 * The calls follow the order of the keys. If most items are not in the processor's caches, this is
 * several times as fast as as many calls of mcrs_cache_get(). The keys must not change during the
 * call.
 *
 * ```c
 * const mcrs_slice keys[] = {{"one", 3}, {"two", 3}};
 * size_t hits = 0;
 * assert(mcrs_cache_set(cache, "two", 3, "2", 1, 60) == MCRS_OK);
 * assert(mcrs_cache_get_many(cache, keys, 2, print_value, NULL, &hits) == MCRS_OK);
 * assert(hits == 1);    // print_value, see mcrs_found_fn, was called with index 1
 * ```
 *
 * @param cache  Cache to work on.
 * @param keys  Keys of 1 to 250 bytes; may be NULL if `count` is 0.
 * @param count  Number of keys.
 * @param found  Callback, which is called for each item.
 * @param userdata  Pointer passed to the callback; may be NULL.
 * @param hits  Receives the number of items; may be NULL.
 * @return MCRS_OK, also if there is no item; MCRS_BAD_KEY if a key is not allowed, then no item
 *     was shown; or a common status.
 */
mcrs_status mcrs_cache_get_many(const struct mcrs_cache *cache,
                                const struct mcrs_slice *keys,
                                size_t count,
                                mcrs_found_fn found,
                                void *userdata,
                                size_t *hits);

/**
 * Copies the values of keys into one buffer.
 *
 * `buffer` and `values` may be modified even if the call fails.
 *
 * ```c
 * const mcrs_slice keys[] = {{"one", 3}, {"two", 3}};
 * mcrs_slice values[2];
 * char room[100];
 * size_t used = 0;
 * assert(mcrs_cache_set(cache, "two", 3, "2", 1, 60) == MCRS_OK);
 * assert(mcrs_cache_get_many_into(cache, keys, 2, room, sizeof room, values, &used) == MCRS_OK);
 * assert(values[0].data == NULL && values[1].len == 1 && used == 1);
 * ```
 *
 * @param cache  Cache to work on.
 * @param keys  Keys of 1 to 250 bytes; may be NULL if `count` is 0.
 * @param count  Number of keys.
 * @param buffer  Receives the values, one after the other; may be NULL if `buffer_size` is 0.
 * @param buffer_size  Size of `buffer` in bytes.
 * @param values  Receives `count` slices of `buffer`. `data` is NULL for a key without an item
 *     only. May be NULL if `count` is 0.
 * @param used  Receives the length of all values in bytes.
 * @return MCRS_OK, also if there is no item; MCRS_BUFFER_TOO_SMALL if the values are longer than
 *     `buffer_size`, then `*used` is their length; MCRS_BAD_KEY; or a common status.
 */
mcrs_status mcrs_cache_get_many_into(const struct mcrs_cache *cache,
                                     const struct mcrs_slice *keys,
                                     size_t count,
                                     void *buffer,
                                     size_t buffer_size,
                                     struct mcrs_slice *values,
                                     size_t *used);

/**
 * Stores values under as many keys.
 *
 * It does not stop at a value that cannot be stored. `statuses` and `stored` are written whenever
 * the lists and the cache are valid, also if the call fails.
 *
 * ```c
 * const mcrs_slice keys[] = {{"one", 3}, {"", 0}};
 * const mcrs_slice values[] = {{"1", 1}, {"2", 1}};
 * mcrs_status statuses[2];
 * size_t stored = 0;
 * assert(mcrs_cache_set_many(cache, keys, values, 2, 60, statuses, &stored) == MCRS_BAD_KEY);
 * assert(stored == 1 && statuses[0] == MCRS_OK && statuses[1] == MCRS_BAD_KEY);
 * ```
 *
 * @param cache  Cache to work on.
 * @param keys  Keys of 1 to 250 bytes; may be NULL if `count` is 0.
 * @param values  Values, one for each key; may be NULL if `count` is 0.
 * @param count  Number of keys and of values.
 * @param ttl  Seconds to live from now, or MCRS_NEVER.
 * @param statuses  Receives the status of each store; may be NULL.
 * @param stored  Receives the number of stores that succeeded; may be NULL.
 * @return MCRS_OK, or the status of the first store that failed as with mcrs_cache_set(); or a
 *     common status.
 */
mcrs_status mcrs_cache_set_many(const struct mcrs_cache *cache,
                                const struct mcrs_slice *keys,
                                const struct mcrs_slice *values,
                                size_t count,
                                uint32_t ttl,
                                mcrs_status *statuses,
                                size_t *stored);

/**
 * Reads an item, and says whether the caller should store a new value.
 *
 * `info->bits` has MCRS_INFO_WON for the one caller that should store, and MCRS_INFO_SENT for
 * others until then. MCRS_INFO_STALE marks an invalidated item, MCRS_INFO_CREATED a new one. The
 * winner calls mcrs_cache_store() with the item's CAS as `compare_cas`.
 *
 * ```c
 * mcrs_meta_get_options options = {0};
 * mcrs_info info;
 * options.bits = MCRS_META_CREATE;
 * options.create_ttl = 60;
 * options.recache = 10;
 * assert(mcrs_cache_meta_get(cache, "page", 4, &options, NULL, &info) == MCRS_OK);
 * if (info.bits & MCRS_INFO_WON) {
 *     mcrs_store_options store = {0};
 *     store.ttl = 60;
 *     store.compare_cas = info.cas;
 *     assert(mcrs_cache_store(cache, "page", 4, "<h1>hi</h1>", 11, &store, NULL) == MCRS_OK);
 * }
 * ```
 *
 * @param cache  Cache to work on.
 * @param key  Bytes of the key; any byte values.
 * @param key_len  Length of `key` in bytes, 1 to 250.
 * @param options  Options; NULL only reads.
 * @param item  Receives a handle of the value, to be freed with mcrs_item_free(); may be NULL.
 * @param info  Receives the metadata from before the call, with the new TTL; may be NULL.
 * @return MCRS_OK; MCRS_NOT_FOUND if there is no item and none was created; MCRS_INVALID_ARGUMENT
 *     if `options` is not allowed; MCRS_BAD_KEY; or a common status.
 */
mcrs_status mcrs_cache_meta_get(const struct mcrs_cache *cache,
                                const void *key,
                                size_t key_len,
                                const struct mcrs_meta_get_options *options,
                                struct mcrs_item **item,
                                struct mcrs_info *info);

/**
 * Deletes an item, or a part of it, with options.
 *
 * ```c
 * mcrs_delete_options options = {0};
 * mcrs_info info;
 * assert(mcrs_cache_set(cache, "page", 4, "old", 3, 60) == MCRS_OK);
 * assert(mcrs_cache_info(cache, "page", 4, &info) == MCRS_OK);
 * options.compare_cas = info.cas;
 * assert(mcrs_cache_delete_with(cache, "page", 4, &options) == MCRS_OK);
 * ```
 *
 * @param cache  Cache to work on.
 * @param key  Bytes of the key; any byte values.
 * @param key_len  Length of `key` in bytes, 1 to 250.
 * @param options  Options; NULL is a plain delete.
 * @return MCRS_OK; MCRS_NOT_FOUND if there is no item; MCRS_EXISTS if the item has another CAS;
 *     MCRS_NO_MEMORY; MCRS_INVALID_ARGUMENT if `options` is not allowed; MCRS_BAD_KEY; or a common
 *     status.
 */
mcrs_status mcrs_cache_delete_with(const struct mcrs_cache *cache,
                                   const void *key,
                                   size_t key_len,
                                   const struct mcrs_delete_options *options);

/**
 * Marks an item stale and sets its TTL.
 *
 * The next caller of mcrs_cache_meta_get() wins. Until it has stored a new value, other callers
 * may use the old one.
 *
 * ```c
 * mcrs_info info;
 * assert(mcrs_cache_set(cache, "page", 4, "old", 3, 60) == MCRS_OK);
 * assert(mcrs_cache_invalidate(cache, "page", 4, 30) == MCRS_OK);
 * assert(mcrs_cache_meta_get(cache, "page", 4, NULL, NULL, &info) == MCRS_OK);
 * assert(info.bits & MCRS_INFO_WON && info.bits & MCRS_INFO_STALE && info.ttl == 30);
 * ```
 *
 * @param cache  Cache to work on.
 * @param key  Bytes of the key; any byte values.
 * @param key_len  Length of `key` in bytes, 1 to 250.
 * @param ttl  Seconds to live from now, or MCRS_NEVER.
 * @return MCRS_OK; MCRS_NOT_FOUND if there is no item; MCRS_NO_MEMORY; MCRS_BAD_KEY; or a common
 *     status.
 */
mcrs_status mcrs_cache_invalidate(const struct mcrs_cache *cache,
                                  const void *key,
                                  size_t key_len,
                                  uint32_t ttl);

/**
 * Calls a callback with the metrics of a cache.
 *
 * Metrics of connections read as those of a server without any.
 *
 * ```c
 * // print_metrics: see mcrs_metrics_fn
 * assert(mcrs_cache_metrics(cache, NULL, print_metrics, NULL) == MCRS_OK);
 * ```
 *
 * @param cache  Cache to work on.
 * @param format  "prometheus" for the text form 0.0.4 of Prometheus, which NULL means as well, or
 *     "openmetrics" for OpenMetrics 1.0.
 * @param take  Callback, called once.
 * @param userdata  Pointer passed to the callback; may be NULL.
 * @return MCRS_OK; MCRS_INVALID_ARGUMENT for another format; or a common status.
 */
mcrs_status mcrs_cache_metrics(const struct mcrs_cache *cache,
                               const char *format,
                               mcrs_metrics_fn take,
                               void *userdata);

/**
 * Calls a callback with the metrics of a server and its cache.
 *
 * The names are those of Prometheus' memcached exporter, and further ones that begin with
 * memcache_rs_. A program that has an HTTP server can answer a scrape with the text.
 *
 * @param server  Server to work on.
 * @param format  As for mcrs_cache_metrics().
 * @param take  Callback, called once.
 * @param userdata  Pointer passed to the callback; may be NULL.
 * @return MCRS_OK; MCRS_INVALID_ARGUMENT for another format; or a common status.
 */
mcrs_status mcrs_server_metrics(const struct mcrs_server *server,
                                const char *format,
                                mcrs_metrics_fn take,
                                void *userdata);

/**
 * Creates a cache and starts a server for it.
 *
 * It returns when the server accepts connections. A call that fails leaves nothing behind.
 *
 * ```c
 * mcrs_server *one = NULL;
 * mcrs_cache *served = NULL;
 * if (mcrs_server_start(config, &one) != MCRS_OK) {
 *     fprintf(stderr, "%s\n", mcrs_error_message());
 *     exit(1);
 * }
 * assert(mcrs_server_cache(one, &served) == MCRS_OK);
 * assert(mcrs_cache_set(served, "greeting", 8, "hello", 5, 60) == MCRS_OK);    // clients see it
 * mcrs_server_free(one);
 * mcrs_cache_free(served);    // it outlives its server
 * ```
 *
 * @param config  Settings, which are copied.
 * @param server  Receives the handle. Free it with mcrs_server_free().
 * @return MCRS_OK; MCRS_INVALID_ARGUMENT if settings contradict each other; MCRS_LISTEN_FAILED if
 *     the server cannot listen at an address; MCRS_BAD_FILE for a file of users, certificates or
 *     keys; MCRS_SYSTEM_ERROR if the system refuses memory, threads or descriptors; or a common
 *     status.
 */
mcrs_status mcrs_server_start(const struct mcrs_config *config, struct mcrs_server **server);

/**
 * Starts a server for a cache that exists.
 *
 * The server keeps the cache alive. Settings of caches are only reported by statistics.
 *
 * @param config  Settings, which are copied.
 * @param cache  Cache to serve.
 * @param server  Receives the handle. Free it with mcrs_server_free().
 * @return As mcrs_server_start(): MCRS_OK; MCRS_INVALID_ARGUMENT; MCRS_LISTEN_FAILED;
 *     MCRS_BAD_FILE; MCRS_SYSTEM_ERROR; or a common status.
 */
mcrs_status mcrs_server_start_with_cache(const struct mcrs_config *config,
                                         const struct mcrs_cache *cache,
                                         struct mcrs_server **server);

/**
 * Stops a server at once, if it runs, and frees it.
 *
 * Its cache lives on while there are handles of it. In a child of fork(), and in a callback that
 * may not call it, it does nothing.
 *
 * @param server  Handle to free, which no other call uses; NULL does nothing.
 */
void mcrs_server_free(struct mcrs_server *server);

/**
 * Returns a handle of a server's cache, which outlives the server.
 *
 * @param server  Server to work on.
 * @param cache  Receives the handle. Free it with mcrs_cache_free().
 * @return MCRS_OK, or a common status.
 */
mcrs_status mcrs_server_cache(const struct mcrs_server *server, struct mcrs_cache **cache);

/**
 * Returns the number of addresses at which a server listens.
 *
 * @param server  Server to work on.
 * @param count  Receives the number.
 * @return MCRS_OK, or a common status.
 */
mcrs_status mcrs_server_address_count(const struct mcrs_server *server, size_t *count);

/**
 * Returns an address at which a server listens.
 *
 * Addresses have the order in which they were added to the settings.
 *
 * ```c
 * size_t count = 0;
 * mcrs_address address;
 * assert(mcrs_server_address_count(server, &count) == MCRS_OK);
 * for (size_t n = 0; n < count; n++) {
 *     assert(mcrs_server_address(server, n, &address) == MCRS_OK);
 *     printf("%s %u\n", address.host, address.port);
 * }
 * ```
 *
 * @param server  Server to work on.
 * @param index  0 to the number of addresses less 1.
 * @param address  Receives the address.
 * @return MCRS_OK; MCRS_NOT_FOUND if `index` is too large; or a common status.
 */
mcrs_status mcrs_server_address(const struct mcrs_server *server, size_t index, struct mcrs_address *address);

/**
 * Returns whether a thread of a server still runs.
 *
 * @param server  Server to work on.
 * @param running  Receives true or false.
 * @return MCRS_OK, or a common status.
 */
mcrs_status mcrs_server_is_running(const struct mcrs_server *server, bool *running);

/**
 * Stops a server, and returns when no thread, connection or listener is left.
 *
 * Stopping it twice does no harm. After a timeout, a thread is left behind, for example in a
 * callback that does not return. The userdata of callbacks must then stay valid.
 *
 * ```c
 * bool running = true;
 * assert(mcrs_server_stop(server, 2000) == MCRS_OK);    // clients have two seconds
 * assert(mcrs_server_is_running(server, &running) == MCRS_OK && !running);
 * ```
 *
 * @param server  Server to work on.
 * @param deadline_ms  Milliseconds in which connections may finish the requests they have begun; 0
 *     closes them at once.
 * @return MCRS_OK; MCRS_TIMED_OUT if a thread has not ended five seconds after the deadline; or a
 *     common status.
 */
mcrs_status mcrs_server_stop(const struct mcrs_server *server, uint32_t deadline_ms);

/**
 * Tells a server to stop, and returns at once.
 *
 * @param server  Server to work on.
 * @param graceful  true lets connections finish the requests they have begun, without a deadline.
 *     false closes them at once.
 * @return MCRS_OK, or a common status.
 */
mcrs_status mcrs_server_request_stop(const struct mcrs_server *server, bool graceful);

/**
 * Waits until a server has stopped, by a call or by a client's `shutdown`.
 *
 * ```c
 * assert(mcrs_server_wait(server, 10) == MCRS_TIMED_OUT);
 * assert(mcrs_server_request_stop(server, true) == MCRS_OK);
 * assert(mcrs_server_wait(server, MCRS_FOREVER) == MCRS_OK);
 * ```
 *
 * @param server  Server to work on.
 * @param timeout_ms  Milliseconds to wait, or MCRS_FOREVER.
 * @return MCRS_OK; MCRS_TIMED_OUT if the server still runs, or has left a thread behind; or a
 *     common status.
 */
mcrs_status mcrs_server_wait(const struct mcrs_server *server, uint32_t timeout_ms);

/**
 * Has a proxy try its backends again at once.
 *
 * It forgets their failures, and later requests wait for their connections. A test calls it after
 * it has started a backend again. It does nothing for a server that is not a proxy.
 *
 * @param server  Server to work on.
 * @return MCRS_OK; MCRS_TIMED_OUT if a worker takes more than a second; or a common status.
 */
mcrs_status mcrs_server_retry_backends(const struct mcrs_server *server);

/**
 * Reads the configuration of a proxy again, or another one in its place.
 *
 * Requests that come after this call follow it. If the call fails, nothing has changed, and
 * mcrs_error_message() names the mistake and its line. Sources of backends are looked up first,
 * for at most five seconds.
 *
 * ```c
 * assert(mcrs_server_reload_proxy(server, NULL) == MCRS_INVALID_ARGUMENT);    // it is no proxy
 * ```
 *
 * @param server  Server to work on.
 * @param toml  Text, or name of a file, as for mcrs_config_set_proxy(). Later reloads read it,
 *     too. NULL reads the one so far, such as a file that has changed.
 * @return MCRS_OK; MCRS_INVALID_ARGUMENT if the text, or a file that it names, has a mistake, or
 *     the server is not a proxy; MCRS_BAD_FILE if a configuration file, or one that it names, has
 *     a mistake or cannot be read; or a common status.
 */
mcrs_status mcrs_server_reload_proxy(const struct mcrs_server *server, const char *toml);

/**
 * Waits until the requests that local clients have sent are carried out.
 *
 * It covers pipelines, requests without replies, datagrams, and connections that are not accepted
 * yet. It does not wait for a client that reads no replies or that meets a delay of a fault. Calls
 * on the cache of mcrs_server_start() do this by themselves, see mcrs_config_set_settles().
 *
 * @param server  Server to work on.
 * @param timeout_ms  Milliseconds to wait.
 * @return MCRS_OK; MCRS_TIMED_OUT if requests are left; or a common status.
 */
mcrs_status mcrs_server_settle(const struct mcrs_server *server, uint32_t timeout_ms);

/**
 * Changes how much a server logs.
 *
 * @param server  Server to work on.
 * @param level  0 to 3.
 * @return MCRS_OK; MCRS_INVALID_ARGUMENT if `level` is above 3; or a common status.
 */
mcrs_status mcrs_server_set_verbosity(const struct mcrs_server *server, uint32_t level);

/**
 * Reads the files of users and certificates again, and the configuration of a proxy.
 *
 * If the call fails, the server goes on with what it had.
 *
 * @param server  Server to work on.
 * @return MCRS_OK; MCRS_BAD_FILE if a file cannot be used; or a common status.
 */
mcrs_status mcrs_server_reload(const struct mcrs_server *server);

/**
 * Replaces the nodes that `config get cluster` reports.
 *
 * ```c
 * const mcrs_node nodes[] = {
 *     {"cache-1.example", "10.0.0.1", 11211},
 *     {"cache-2.example", NULL, 11211},
 * };
 * assert(mcrs_server_set_cluster_nodes(server, nodes, 2) == MCRS_OK);
 * assert(mcrs_server_set_cluster_nodes(server, NULL, 0) == MCRS_OK);    // off
 * ```
 *
 * @param server  Server to work on.
 * @param nodes  Nodes; may be NULL if `count` is 0.
 * @param count  Number of nodes. 0 turns the command off.
 * @return MCRS_OK; MCRS_INVALID_ARGUMENT if a node is not allowed; or a common status.
 */
mcrs_status mcrs_server_set_cluster_nodes(const struct mcrs_server *server,
                                          const struct mcrs_node *nodes,
                                          size_t count);

/**
 * Saves all items to a file, while the cache is in use.
 *
 * The file gets its name when it is complete and on the disk. Until then, and after a failure, an
 * older file of this name stays as it is. Only the user may read the file.
 *
 * Each item is saved as it is at one moment, but not all items at the same moment. An item that is
 * deleted during the save may be in the file.
 *
 * ```c
 * assert(mcrs_cache_set(cache, "key", 3, "value", 5, MCRS_NEVER) == MCRS_OK);
 * mcrs_save_options options = {0};
 * mcrs_saved saved;
 * options.progress = print_progress;    // see mcrs_progress_fn
 * assert(mcrs_cache_save(cache, "cache.mcrs", &options, &saved) == MCRS_OK);
 * assert(saved.items == 1);
 * ```
 *
 * @param cache  Cache to work on.
 * @param path  Path of the file.
 * @param options  Options; NULL for the defaults.
 * @param saved  Receives what was saved; may be NULL.
 * @return MCRS_OK; MCRS_IO_ERROR if the system refuses an operation on the file; MCRS_BUSY if
 *     another save to this file is under way, or if flushes interrupt the save; MCRS_CANCELLED if
 *     `options->progress` returned false; MCRS_INVALID_ARGUMENT if `options` is not allowed; or a
 *     common status.
 */
mcrs_status mcrs_cache_save(const struct mcrs_cache *cache,
                            const char *path,
                            const struct mcrs_save_options *options,
                            struct mcrs_saved *saved);

/**
 * Loads the items of a snapshot, while the cache is in use.
 *
 * The file may come from a cache with other settings, and from another machine. If memory is full,
 * items are evicted as by any store. After a failure, items that were loaded before it stay.
 *
 * ```c
 * mcrs_loaded loaded;
 * assert(mcrs_cache_set(cache, "key", 3, "value", 5, MCRS_NEVER) == MCRS_OK);
 * assert(mcrs_cache_save(cache, "cache.mcrs", NULL, NULL) == MCRS_OK);
 * assert(mcrs_cache_flush(cache, 0) == MCRS_OK);
 * assert(mcrs_cache_load(cache, "cache.mcrs", NULL, &loaded) == MCRS_OK);
 * assert(loaded.items == 1 && loaded.damaged == 0);
 * ```
 *
 * @param cache  Cache to work on.
 * @param path  Path of the file.
 * @param options  Options; NULL for the defaults.
 * @param loaded  Receives what was loaded; may be NULL.
 * @return MCRS_OK, also if parts of the file are damaged; MCRS_IO_ERROR if the file cannot be
 *     read; MCRS_BAD_SNAPSHOT if it is not a snapshot that this version can read, or if it is
 *     damaged and MCRS_LOAD_STRICT is set; MCRS_CANCELLED if `options->progress` returned false;
 *     MCRS_INVALID_ARGUMENT if `options` is not allowed; or a common status.
 */
mcrs_status mcrs_cache_load(const struct mcrs_cache *cache,
                            const char *path,
                            const struct mcrs_load_options *options,
                            struct mcrs_loaded *loaded);

/**
 * Calls a callback with each statistic of a cache.
 *
 * Statistics about connections read as those of a server without any.
 *
 * ```c
 * // print_stat: see mcrs_stat_fn
 * assert(mcrs_cache_stats(cache, NULL, print_stat, NULL) == MCRS_OK);
 * assert(mcrs_cache_stats(cache, "items", print_stat, NULL) == MCRS_OK);
 * ```
 *
 * @param cache  Cache to work on.
 * @param group  Argument of the command `stats`: "items", "slabs", "sizes", "quotas", "settings",
 *     "hotkeys" or "hotkeys 20". NULL and "" mean the general statistics.
 * @param each  Callback; it returns false to end the list.
 * @param userdata  Pointer passed to the callback; may be NULL.
 * @return MCRS_OK; MCRS_INVALID_ARGUMENT for another group; or a common status.
 */
mcrs_status mcrs_cache_stats(const struct mcrs_cache *cache,
                             const char *group,
                             mcrs_stat_fn each,
                             void *userdata);

/**
 * Calls a callback with each statistic of a server and its cache.
 *
 * @param server  Server to work on.
 * @param group  As for mcrs_cache_stats(), and "conns" and "latency".
 * @param each  Callback; it returns false to end the list.
 * @param userdata  Pointer passed to the callback; may be NULL.
 * @return MCRS_OK; MCRS_INVALID_ARGUMENT for another group; or a common status.
 */
mcrs_status mcrs_server_stats(const struct mcrs_server *server,
                              const char *group,
                              mcrs_stat_fn each,
                              void *userdata);

/**
 * Sets the counters of a cache to 0.
 *
 * @param cache  Cache to work on.
 * @return MCRS_OK, or a common status.
 */
mcrs_status mcrs_cache_reset_stats(const struct mcrs_cache *cache);

/**
 * Sets the counters of a server and its cache to 0.
 *
 * @param server  Server to work on.
 * @return MCRS_OK, or a common status.
 */
mcrs_status mcrs_server_reset_stats(const struct mcrs_server *server);

/**
 * Returns a short English text for a status.
 *
 * @param status  Any number, known or not.
 * @return Static text, never NULL.
 */
const char *mcrs_status_text(int32_t status);

/**
 * Stores a value under a key.
 *
 * If the call returns MCRS_TOO_LARGE or MCRS_NO_MEMORY, an old item of that key is deleted.
 *
 * ```c
 * assert(mcrs_cache_set(cache, "greeting", 8, "hello", 5, 60) == MCRS_OK);    // for a minute
 * assert(mcrs_cache_set(cache, "name", 4, "ann", 3, MCRS_NEVER) == MCRS_OK);
 * ```
 *
 * @param cache  Cache to work on.
 * @param key  Bytes of the key; any byte values.
 * @param key_len  Length of `key` in bytes, 1 to 250.
 * @param value  Bytes of the value; may be NULL if `value_len` is 0.
 * @param value_len  Length of `value` in bytes.
 * @param ttl  Seconds to live from now, or MCRS_NEVER.
 * @return MCRS_OK; MCRS_TOO_LARGE if the item is above the item_size_max setting; MCRS_NO_MEMORY;
 *     MCRS_BAD_KEY; or a common status.
 */
mcrs_status mcrs_cache_set(const struct mcrs_cache *cache,
                           const void *key,
                           size_t key_len,
                           const void *value,
                           size_t value_len,
                           uint32_t ttl);

/**
 * Stores a value if there is no item.
 *
 * @param cache  Cache to work on.
 * @param key  Bytes of the key; any byte values.
 * @param key_len  Length of `key` in bytes, 1 to 250.
 * @param value  Bytes of the value; may be NULL if `value_len` is 0.
 * @param value_len  Length of `value` in bytes.
 * @param ttl  Seconds to live from now, or MCRS_NEVER.
 * @return MCRS_OK; MCRS_NOT_STORED if there is an item; MCRS_TOO_LARGE; MCRS_NO_MEMORY;
 *     MCRS_BAD_KEY; or a common status.
 */
mcrs_status mcrs_cache_add(const struct mcrs_cache *cache,
                           const void *key,
                           size_t key_len,
                           const void *value,
                           size_t value_len,
                           uint32_t ttl);

/**
 * Stores a value if there is an item.
 *
 * @param cache  Cache to work on.
 * @param key  Bytes of the key; any byte values.
 * @param key_len  Length of `key` in bytes, 1 to 250.
 * @param value  Bytes of the value; may be NULL if `value_len` is 0.
 * @param value_len  Length of `value` in bytes.
 * @param ttl  Seconds to live from now, or MCRS_NEVER.
 * @return MCRS_OK; MCRS_NOT_STORED if there is no item; MCRS_TOO_LARGE; MCRS_NO_MEMORY;
 *     MCRS_BAD_KEY; or a common status.
 */
mcrs_status mcrs_cache_replace(const struct mcrs_cache *cache,
                               const void *key,
                               size_t key_len,
                               const void *value,
                               size_t value_len,
                               uint32_t ttl);

/**
 * Appends bytes to the value of an item, which keeps its TTL.
 *
 * ```c
 * assert(mcrs_cache_set(cache, "log", 3, "one", 3, 60) == MCRS_OK);
 * assert(mcrs_cache_append(cache, "log", 3, " two", 4) == MCRS_OK);    // "one two"
 * ```
 *
 * @param cache  Cache to work on.
 * @param key  Bytes of the key; any byte values.
 * @param key_len  Length of `key` in bytes, 1 to 250.
 * @param value  Bytes of the value; may be NULL if `value_len` is 0.
 * @param value_len  Length of `value` in bytes.
 * @return MCRS_OK; MCRS_NOT_STORED if there is no item, or no memory for both parts;
 *     MCRS_TOO_LARGE; MCRS_NO_MEMORY; MCRS_BAD_KEY; or a common status.
 */
mcrs_status mcrs_cache_append(const struct mcrs_cache *cache,
                              const void *key,
                              size_t key_len,
                              const void *value,
                              size_t value_len);

/**
 * Prepends bytes to the value of an item, which keeps its TTL.
 *
 * @param cache  Cache to work on.
 * @param key  Bytes of the key; any byte values.
 * @param key_len  Length of `key` in bytes, 1 to 250.
 * @param value  Bytes of the value; may be NULL if `value_len` is 0.
 * @param value_len  Length of `value` in bytes.
 * @return MCRS_OK; MCRS_NOT_STORED if there is no item, or no memory for both parts;
 *     MCRS_TOO_LARGE; MCRS_NO_MEMORY; MCRS_BAD_KEY; or a common status.
 */
mcrs_status mcrs_cache_prepend(const struct mcrs_cache *cache,
                               const void *key,
                               size_t key_len,
                               const void *value,
                               size_t value_len);

/**
 * Stores a value if the item still has the given CAS.
 *
 * mcrs_cache_info(), mcrs_item_info() and callbacks report the CAS of an item.
 *
 * ```c
 * mcrs_info info;
 * assert(mcrs_cache_set(cache, "stock", 5, "7", 1, 60) == MCRS_OK);
 * assert(mcrs_cache_info(cache, "stock", 5, &info) == MCRS_OK);
 * assert(mcrs_cache_cas(cache, "stock", 5, "6", 1, 60, info.cas) == MCRS_OK);
 * assert(mcrs_cache_cas(cache, "stock", 5, "5", 1, 60, info.cas) == MCRS_EXISTS);
 * ```
 *
 * @param cache  Cache to work on.
 * @param key  Bytes of the key; any byte values.
 * @param key_len  Length of `key` in bytes, 1 to 250.
 * @param value  Bytes of the value; may be NULL if `value_len` is 0.
 * @param value_len  Length of `value` in bytes.
 * @param ttl  Seconds to live from now, or MCRS_NEVER.
 * @param cas  CAS that the item must have; no item has 0.
 * @return MCRS_OK; MCRS_EXISTS if the item has another CAS; MCRS_NOT_FOUND if there is no item;
 *     MCRS_TOO_LARGE; MCRS_NO_MEMORY; MCRS_BAD_KEY; or a common status.
 */
mcrs_status mcrs_cache_cas(const struct mcrs_cache *cache,
                           const void *key,
                           size_t key_len,
                           const void *value,
                           size_t value_len,
                           uint32_t ttl,
                           uint64_t cas);

/**
 * Stores a value with options.
 *
 * ```c
 * mcrs_store_options options = {0};
 * uint64_t cas = 0;
 * options.mode = MCRS_MODE_ADD;
 * options.flags = 7;
 * options.ttl = 60;
 * assert(mcrs_cache_store(cache, "lock", 4, "me", 2, &options, &cas) == MCRS_OK);
 * assert(mcrs_cache_store(cache, "lock", 4, "you", 3, &options, &cas) == MCRS_NOT_STORED);
 * ```
 *
 * @param cache  Cache to work on.
 * @param key  Bytes of the key; any byte values.
 * @param key_len  Length of `key` in bytes, 1 to 250.
 * @param value  Bytes of the value; may be NULL if `value_len` is 0.
 * @param value_len  Length of `value` in bytes.
 * @param options  Options; NULL is a plain set with MCRS_NEVER.
 * @param cas  Receives the CAS of the new item, or 0 if the cache keeps none; may be NULL.
 * @return MCRS_OK; MCRS_NOT_STORED if the condition of `mode` does not hold, or there is no memory
 *     for both parts; MCRS_EXISTS if the item has another CAS; MCRS_NOT_FOUND if there is no item
 *     to compare with; MCRS_TOO_LARGE; MCRS_NO_MEMORY; MCRS_INVALID_ARGUMENT if `options` is not
 *     allowed; MCRS_BAD_KEY; or a common status.
 */
mcrs_status mcrs_cache_store(const struct mcrs_cache *cache,
                             const void *key,
                             size_t key_len,
                             const void *value,
                             size_t value_len,
                             const struct mcrs_store_options *options,
                             uint64_t *cas);

/**
 * Adds to the decimal number under a key, modulo 2^64.
 *
 * ```c
 * uint64_t visits = 0;
 * assert(mcrs_cache_set(cache, "visits", 6, "41", 2, MCRS_NEVER) == MCRS_OK);
 * assert(mcrs_cache_incr(cache, "visits", 6, 1, &visits) == MCRS_OK && visits == 42);
 * assert(mcrs_cache_decr(cache, "visits", 6, 100, &visits) == MCRS_OK && visits == 0);
 * ```
 *
 * @param cache  Cache to work on.
 * @param key  Bytes of the key; any byte values.
 * @param key_len  Length of `key` in bytes, 1 to 250.
 * @param delta  Number to add.
 * @param value  Receives the sum; may be NULL.
 * @return MCRS_OK; MCRS_NOT_FOUND if there is no item; MCRS_NOT_A_NUMBER if the value is not a
 *     64-bit decimal number; MCRS_NO_MEMORY; MCRS_BAD_KEY; or a common status.
 */
mcrs_status mcrs_cache_incr(const struct mcrs_cache *cache,
                            const void *key,
                            size_t key_len,
                            uint64_t delta,
                            uint64_t *value);

/**
 * Subtracts from the decimal number under a key, down to 0.
 *
 * As in memcached, a number with fewer digits than before keeps its length, filled up with spaces.
 *
 * @param cache  Cache to work on.
 * @param key  Bytes of the key; any byte values.
 * @param key_len  Length of `key` in bytes, 1 to 250.
 * @param delta  Number to subtract.
 * @param value  Receives the difference; may be NULL.
 * @return MCRS_OK; MCRS_NOT_FOUND if there is no item; MCRS_NOT_A_NUMBER if the value is not a
 *     64-bit decimal number; MCRS_NO_MEMORY; MCRS_BAD_KEY; or a common status.
 */
mcrs_status mcrs_cache_decr(const struct mcrs_cache *cache,
                            const void *key,
                            size_t key_len,
                            uint64_t delta,
                            uint64_t *value);

/**
 * Adds to the decimal number under a key, with options.
 *
 * ```c
 * mcrs_delta_options options = {0};
 * uint64_t hits = 0;
 * options.delta = 1;
 * options.initial = 1;
 * options.bits = MCRS_DELTA_CREATE;
 * options.create_ttl = 60;
 * assert(mcrs_cache_incr_with(cache, "hits", 4, &options, &hits, NULL) == MCRS_OK && hits == 1);
 * assert(mcrs_cache_incr_with(cache, "hits", 4, &options, &hits, NULL) == MCRS_OK && hits == 2);
 * ```
 *
 * @param cache  Cache to work on.
 * @param key  Bytes of the key; any byte values.
 * @param key_len  Length of `key` in bytes, 1 to 250.
 * @param options  Options, among them the number to add.
 * @param value  Receives the new value; may be NULL.
 * @param cas  Receives the new CAS, or 0 if the cache keeps none; may be NULL.
 * @return MCRS_OK; MCRS_NOT_FOUND if there is no item; MCRS_NOT_A_NUMBER if the value is not a
 *     64-bit decimal number; MCRS_EXISTS if the item has another CAS; MCRS_NO_MEMORY;
 *     MCRS_INVALID_ARGUMENT if `options` is not allowed; MCRS_BAD_KEY; or a common status.
 */
mcrs_status mcrs_cache_incr_with(const struct mcrs_cache *cache,
                                 const void *key,
                                 size_t key_len,
                                 const struct mcrs_delta_options *options,
                                 uint64_t *value,
                                 uint64_t *cas);

/**
 * Subtracts from the decimal number under a key, with options.
 *
 * It stops at 0, as mcrs_cache_decr() does.
 *
 * @param cache  Cache to work on.
 * @param key  Bytes of the key; any byte values.
 * @param key_len  Length of `key` in bytes, 1 to 250.
 * @param options  Options, among them the number to subtract.
 * @param value  Receives the new value; may be NULL.
 * @param cas  Receives the new CAS, or 0 if the cache keeps none; may be NULL.
 * @return MCRS_OK; MCRS_NOT_FOUND if there is no item; MCRS_NOT_A_NUMBER if the value is not a
 *     64-bit decimal number; MCRS_EXISTS if the item has another CAS; MCRS_NO_MEMORY;
 *     MCRS_INVALID_ARGUMENT if `options` is not allowed; MCRS_BAD_KEY; or a common status.
 */
mcrs_status mcrs_cache_decr_with(const struct mcrs_cache *cache,
                                 const void *key,
                                 size_t key_len,
                                 const struct mcrs_delta_options *options,
                                 uint64_t *value,
                                 uint64_t *cas);

/**
 * Returns the version of the library as a text.
 *
 * ```c
 * if (mcrs_abi_version() != MCRS_ABI_VERSION) {
 *     fprintf(stderr, "compiled for another ABI than that of version %s\n", mcrs_version());
 * }
 * ```
 *
 * @return Static text, never NULL. It is MCRS_VERSION of the library's own header.
 */
const char *mcrs_version(void);

/**
 * Returns the version of the library as a number.
 *
 * @return MCRS_VERSION_NUMBER of the library's own header.
 */
uint32_t mcrs_version_number(void);

/**
 * Returns the version of the library's ABI.
 *
 * A program needs a library with the MCRS_ABI_VERSION that it was compiled with.
 *
 * @return MCRS_ABI_VERSION of the library's own header.
 */
uint32_t mcrs_abi_version(void);

/**
 * Returns the version of memcached whose behaviour the library has.
 *
 * @return Static text, never NULL, as the command `version` reports it.
 */
const char *mcrs_memcached_version(void);

#ifdef __cplusplus
}  // extern "C"
#endif  // __cplusplus

#endif  /* MEMCACHE_RS_H */
