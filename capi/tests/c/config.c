/* Every setting: accepted, refused, and in effect on a server. */
#include "test.h"

static mcrs_config *config;

/* Refused with a message, and without an effect. */
#define BAD(call, words)                                                                                     \
    do {                                                                                                     \
        IS(call, MCRS_INVALID_ARGUMENT);                                                                     \
        CHECK(strstr(mcrs_error_message(), words) != NULL);                                                  \
    } while (0)

struct wanted {
    const char *name, *value;
    bool seen;
};

static bool compare(void *userdata, const char *name, const char *value) {
    struct wanted *wanted = userdata;
    if (strcmp(name, wanted->name) == 0) {
        wanted->seen = true;
        if (strcmp(value, wanted->value) != 0) {
            fprintf(stderr, "%s is %s, not %s\n", name, value, wanted->value);
            exit(1);
        }
    }
    return true;
}

static void caches(void) {
    const size_t sizes[] = {100, 200, 400}, bad_sizes[] = {200, 100};
    OK(mcrs_config_set_memory_limit(config, 32u << 20));
    OK(mcrs_config_set_evictions(config, true));
    OK(mcrs_config_set_item_size_max(config, 2u << 20));
    BAD(mcrs_config_set_item_size_max(config, 1023), "1024");
    OK(mcrs_config_set_growth_factor(config, 1.5));
    BAD(mcrs_config_set_growth_factor(config, 1.0), "Factor");
    OK(mcrs_config_set_chunk_size(config, 64));
    BAD(mcrs_config_set_chunk_size(config, 0), "Chunk size");
    OK(mcrs_config_set_slab_chunk_max(config, 1u << 18));
    BAD(mcrs_config_set_slab_chunk_max(config, 3000), "divide 1 MiB");
    OK(mcrs_config_set_slab_sizes(config, sizes, 3));
    BAD(mcrs_config_set_slab_sizes(config, bad_sizes, 2), "ascend");
    IS(mcrs_config_set_slab_sizes(config, NULL, 2), MCRS_NULL_ARGUMENT);
    OK(mcrs_config_set_slab_sizes(config, NULL, 0));
    OK(mcrs_config_set_cas(config, true));
    OK(mcrs_config_set_lru_mode(config, MCRS_LRU_FLAT));
    OK(mcrs_config_set_lru_mode(config, MCRS_LRU_PLAIN));
    OK(mcrs_config_set_lru_mode(config, MCRS_LRU_SEGMENTED));
    BAD(mcrs_config_set_lru_mode(config, 3), "3");
    OK(mcrs_config_set_eviction_goal(config, MCRS_GOAL_BYTES));
    OK(mcrs_config_set_eviction_goal(config, MCRS_GOAL_MISSES));
    BAD(mcrs_config_set_eviction_goal(config, 2), "2");
    OK(mcrs_config_set_lru_maintainer(config, true));
    OK(mcrs_config_set_lru_crawler(config, true));
    OK(mcrs_config_set_lru_crawler_sleep(config, 200));
    BAD(mcrs_config_set_lru_crawler_sleep(config, 1000001), "sleep");
    OK(mcrs_config_set_lru_crawler_tocrawl(config, 10));
    OK(mcrs_config_set_hot_lru_pct(config, 30));
    BAD(mcrs_config_set_hot_lru_pct(config, 80), "hot_lru_pct");
    OK(mcrs_config_set_warm_lru_pct(config, 30));
    BAD(mcrs_config_set_warm_lru_pct(config, 0), "warm_lru_pct");
    OK(mcrs_config_set_hot_max_factor(config, 0.5));
    BAD(mcrs_config_set_hot_max_factor(config, 0), "hot_max_factor");
    OK(mcrs_config_set_warm_max_factor(config, 0.5));
    BAD(mcrs_config_set_warm_max_factor(config, -1), "warm_max_factor");
    OK(mcrs_config_set_temporary_ttl(config, 61));
    OK(mcrs_config_set_slab_reassign(config, true));
    OK(mcrs_config_set_slab_automove(config, 0));
    BAD(mcrs_config_set_slab_automove(config, 3), "slab_automove");
    OK(mcrs_config_set_slab_automove_ratio(config, 0.5));
    BAD(mcrs_config_set_slab_automove_ratio(config, 1.5), "ratio");
    OK(mcrs_config_set_slab_automove_window(config, 20));
    BAD(mcrs_config_set_slab_automove_window(config, 2), "window");
    OK(mcrs_config_set_tail_repair_time(config, 10));
    BAD(mcrs_config_set_tail_repair_time(config, 9), "tail_repair_time");
    OK(mcrs_config_set_track_sizes(config, true));
    OK(mcrs_config_set_hashpower(config, 14));
    BAD(mcrs_config_set_hashpower(config, 33), "33 is too high");
    OK(mcrs_config_set_shards(config, 2));
    BAD(mcrs_config_set_shards(config, 3), "power of two");
    OK(mcrs_config_set_concurrency(config, 2));
    BAD(mcrs_config_set_concurrency(config, 0), "concurrency");
    OK(mcrs_config_set_prefix_delimiter(config, '/'));
    OK(mcrs_config_set_detail(config, true));
    OK(mcrs_config_set_large_pages(config, false));
    OK(mcrs_config_set_clock_frozen(config, true));
    OK(mcrs_config_set(config, "memory_limit", "32m"));
    BAD(mcrs_config_set(config, "memory", "32m"), "there is no setting \"memory\"");
}

/* More memory than there are addresses is an error, and does not end the process. */
static void too_large(void) {
    const size_t limits[] = {(size_t)1 << 63, SIZE_MAX, (size_t)1 << 56};
    for (size_t n = 0; n < sizeof limits / sizeof *limits; n++) {
        mcrs_config *large = NULL;
        mcrs_cache *cache = NULL;
        OK(mcrs_config_new(&large));
        OK(mcrs_config_set_memory_limit(large, limits[n]));
        IS(mcrs_cache_new(large, &cache), MCRS_SYSTEM_ERROR);
        CHECK(cache == NULL && strlen(mcrs_error_message()) > 0);
        mcrs_config_free(large);
    }
    mcrs_cache *cache = small_cache();
    IS(mcrs_cache_set_memory_limit(cache, (size_t)1 << 63), MCRS_INVALID_ARGUMENT);
    mcrs_cache_free(cache);
}

static void servers(void) {
    OK(mcrs_config_set_threads(config, 3));
    BAD(mcrs_config_set_threads(config, 0), "threads");
    BAD(mcrs_config_set_threads(config, 1025), "threads");
    OK(mcrs_config_set_max_connections(config, 100));
    BAD(mcrs_config_set_max_connections(config, 0), "connections");
    OK(mcrs_config_set_maxconns_fast(config, false));
    OK(mcrs_config_set_backlog(config, 50));
    OK(mcrs_config_set_backlog(config, -1));
    OK(mcrs_config_set_backlog(config, 50));
    OK(mcrs_config_set_requests_per_event(config, 20));
    BAD(mcrs_config_set_requests_per_event(config, 0), "requests");
    OK(mcrs_config_set_idle_timeout(config, 60));
    OK(mcrs_config_set_output_limit(config, 1u << 16));
    OK(mcrs_config_set_flush(config, false));
    OK(mcrs_config_set_dump(config, false));
    OK(mcrs_config_set_watch(config, false));
    OK(mcrs_config_set_shutdown(config, true));
    OK(mcrs_config_set_verbosity(config, 0));
    BAD(mcrs_config_set_verbosity(config, 4), "verbosity");
    OK(mcrs_config_set_watcher_buffer(config, 4096));
    OK(mcrs_config_set_worker_buffer(config, 8192));
    OK(mcrs_config_set_debug_commands(config, true));
    OK(mcrs_config_set_socket_mark(config, 0));
    BAD(mcrs_config_add_cluster_node(config, "a b", NULL, 1), "a b");
    BAD(mcrs_config_add_cluster_node(config, "a", "x", 1), "x");
}

static void listeners(void) {
    BAD(mcrs_config_listen_tcp(config, "localhost", 0, MCRS_PROTOCOL_AUTO, MCRS_TLS_OFF), "localhost");
    BAD(mcrs_config_listen_tcp(config, NULL, 0, 3, MCRS_TLS_OFF), "protocol");
    BAD(mcrs_config_listen_tcp(config, NULL, 0, MCRS_PROTOCOL_AUTO, 4), "tls must be");
    BAD(mcrs_config_listen_udp(config, "::1::", 0), "::1::");
    BAD(mcrs_config_listen_unix(config, "", 0700, MCRS_PROTOCOL_AUTO), "path must not be empty");
    BAD(mcrs_config_listen_unix(config, "/tmp/x", 01000, MCRS_PROTOCOL_AUTO), "01000");
    BAD(mcrs_config_add_user(config, 3, "a", "b"), "auth must be");
    BAD(mcrs_config_add_user(config, MCRS_AUTH_SASL, "a:", "b"), "colon");
    BAD(mcrs_config_set_auth_file(config, 0, "/tmp/x"), "auth must be");
}

/* Settings that cannot go together. */
static void together(void) {
    mcrs_config *odd = NULL;
    mcrs_cache *cache = NULL;
    mcrs_server *server = NULL;
    OK(mcrs_config_new(&odd));
    OK(mcrs_config_set_item_size_max(odd, 64u << 20));
    BAD(mcrs_config_check(odd), "1/2 of memory max");
    BAD(mcrs_cache_new(odd, &cache), "1/2 of memory max");
    BAD(mcrs_server_start(odd, &server), "1/2 of memory max");
    CHECK(cache == NULL && server == NULL);
    OK(mcrs_config_set_item_size_max(odd, 1u << 20));
    OK(mcrs_config_check(odd));
    OK(mcrs_config_listen_tcp(odd, "::1", 0, MCRS_PROTOCOL_AUTO, MCRS_TLS_PEER));
    BAD(mcrs_config_check(odd), "certificate");
    mcrs_config_free(odd);
    OK(mcrs_config_new(&odd));
    OK(mcrs_config_add_user(odd, MCRS_AUTH_SASL, "ann", "secret"));
    OK(mcrs_config_add_user(odd, MCRS_AUTH_SASL, "bob", "secret"));
    BAD(mcrs_config_add_user(odd, MCRS_AUTH_TEXT, "eve", "secret"), "the same for all users");
    OK(mcrs_config_listen_udp(odd, NULL, 0));
    BAD(mcrs_config_check(odd), "SASL");
    mcrs_config_free(odd);
}

/* Sizes beyond any machine end in a status, not in an abort. */
static void huge(void) {
    const size_t limits[] = {SIZE_MAX, SIZE_MAX / 2 + 1, (size_t)1 << 60, (size_t)1 << 48};
    mcrs_config *most = small_config();
    mcrs_cache *cache = NULL;
    mcrs_server *server = NULL;
    for (size_t n = 0; n < sizeof limits / sizeof *limits; n++) {
        OK(mcrs_config_set_memory_limit(most, limits[n]));
        IS(mcrs_cache_new(most, &cache), MCRS_SYSTEM_ERROR);
        CHECK(cache == NULL && strstr(mcrs_error_message(), "memory") != NULL);
        IS(mcrs_server_start(most, &server), MCRS_SYSTEM_ERROR);
        CHECK(server == NULL);
    }
    OK(mcrs_config_set_memory_limit(most, 8u << 20));
    OK(mcrs_cache_new(most, &cache));
    BAD(mcrs_cache_set_memory_limit(cache, SIZE_MAX), "reserved at start");
    mcrs_cache_free(cache);
    /* So do those that are used only later. */
    OK(mcrs_config_set_watcher_buffer(most, SIZE_MAX));
    OK(mcrs_config_set_worker_buffer(most, SIZE_MAX));
    OK(mcrs_config_set_output_limit(most, SIZE_MAX));
    OK(mcrs_config_set_requests_per_event(most, SIZE_MAX));
    OK(mcrs_config_set_concurrency(most, SIZE_MAX));
    OK(mcrs_config_set_backlog(most, INT32_MAX));
    OK(mcrs_config_set_idle_timeout(most, UINT32_MAX));
    OK(mcrs_config_set_temporary_ttl(most, UINT32_MAX));
    OK(mcrs_server_start(most, &server));
    int client = connect_to(server, 0);
    says(client, "watch fetchers\r\n", "OK\r\n");
    close(client);
    mcrs_server_free(server);
    server = NULL;
    OK(mcrs_config_set_max_connections(most, SIZE_MAX));
    IS(mcrs_server_start(most, &server), MCRS_SYSTEM_ERROR);
    CHECK(server == NULL);
    mcrs_config_free(most);
}

static void tls(void) {
    const char *chain = getenv("TEST_CERTIFICATE"), *key = getenv("TEST_KEY");
    mcrs_config *secure = NULL;
    mcrs_server *server = NULL;
    CHECK(chain && key);
    OK(mcrs_config_new(&secure));
    OK(mcrs_config_set_tls_certificate(secure, "/nonexistent", NULL));
    OK(mcrs_config_listen_tcp(secure, NULL, 0, MCRS_PROTOCOL_AUTO, MCRS_TLS_ON));
    OK(mcrs_config_check(secure));
    IS(mcrs_server_start(secure, &server), MCRS_BAD_FILE);
    CHECK(server == NULL && strstr(mcrs_error_message(), "/nonexistent") != NULL);
    OK(mcrs_config_set_tls_certificate(secure, chain, key));
    OK(mcrs_config_set_tls_key_der(secure, true));
    CHECK(mcrs_server_start(secure, &server) != MCRS_OK && server == NULL);
    OK(mcrs_config_set_tls_key_der(secure, false));
    OK(mcrs_config_set_tls_ca(secure, chain));
    OK(mcrs_config_set_tls_ca(secure, NULL));
    OK(mcrs_config_set_tls_ca(secure, chain));
    OK(mcrs_config_set_tls_verify(secure, MCRS_VERIFY_REQUEST));
    BAD(mcrs_config_set_tls_verify(secure, 3), "verify");
    OK(mcrs_config_set_tls_ciphers(secure, "ECDHE-RSA-AES128-GCM-SHA256"));
    OK(mcrs_config_set_tls_ciphers(secure, NULL));
    OK(mcrs_config_set_tls_write_buffer(secure, 1u << 17));
    OK(mcrs_config_set_tls_session_cache(secure, true));
    OK(mcrs_config_set_tls_min_version(secure, 13));
    BAD(mcrs_config_set_tls_min_version(secure, 11), "11");
    OK(mcrs_server_start(secure, &server));
    struct wanted wanted = {"ssl_min_version", "tlsv1.3", false};
    OK(mcrs_server_stats(server, "settings", compare, &wanted));
    CHECK(wanted.seen);
    OK(mcrs_server_reload(server));
    mcrs_server_free(server);
    mcrs_config_free(secure);
}

int main(void) {
    mcrs_config *copy = NULL;
    mcrs_server *server = NULL;
    OK(mcrs_config_new(&config));
    OK(mcrs_config_check(config));
    too_large();
    caches();
    servers();
    listeners();
    OK(mcrs_config_check(config));
    together();
    huge();
    tls();

    OK(mcrs_config_listen_tcp(config, NULL, 0, MCRS_PROTOCOL_TEXT, MCRS_TLS_OFF));
    OK(mcrs_config_copy(config, &copy));
    mcrs_config_free(config);
    OK(mcrs_server_start(copy, &server));
    mcrs_config_free(copy);
    mcrs_config_free(NULL);
    struct wanted wanted[] = {
        {"maxbytes", "33554432", false}, {"item_size_max", "2097152", false}, {"growth_factor", "1.50", false},
        {"chunk_size", "64", false}, {"slab_chunk_max", "262144", false}, {"cas_enabled", "yes", false},
        {"lru_crawler_sleep", "200", false}, {"lru_crawler_tocrawl", "10", false}, {"hot_lru_pct", "30", false},
        {"warm_lru_pct", "30", false}, {"hot_max_factor", "0.50", false}, {"warm_max_factor", "0.50", false},
        {"temp_lru", "yes", false}, {"temporary_ttl", "61", false}, {"slab_automove", "0", false},
        {"slab_automove_ratio", "0.50", false}, {"slab_automove_window", "20", false},
        {"tail_repair_time", "10", false}, {"track_sizes", "yes", false}, {"hashpower_init", "14", false},
        {"memcache_rs_shards", "2", false}, {"stat_key_prefix", "/", false}, {"detail_enabled", "yes", false},
        {"num_threads", "3", false}, {"maxconns", "100", false}, {"maxconns_fast", "no", false},
        {"tcp_backlog", "50", false}, {"reqs_per_event", "20", false}, {"idle_timeout", "60", false},
        {"flush_enabled", "no", false}, {"dump_enabled", "no", false}, {"shutdown_command", "yes", false},
        {"watcher_logbuf_size", "4096", false}, {"worker_logbuf_size", "8192", false},
        {"binding_protocol", "ascii", false}, {"lru_segmented", "yes", false}, {"eviction_policy", "segmented", false},
    };
    for (size_t n = 0; n < sizeof wanted / sizeof *wanted; n++) {
        OK(mcrs_server_stats(server, "settings", compare, &wanted[n]));
        if (!wanted[n].seen) {
            fprintf(stderr, "there is no %s\n", wanted[n].name);
            return 1;
        }
    }
    int client = connect_to(server, 0);
    says(client, "flush_all\r\n", "CLIENT_ERROR flush_all not allowed\r\n");
    says(client, "watch\r\n", "CLIENT_ERROR watch commands not allowed\r\n");
    says(client, "debugtime p\r\n", "OK\r\n");
    close(client);
    mcrs_server_free(server);
    return 0;
}
