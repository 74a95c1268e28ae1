/* Statistics, metrics and keys. */
#include "test.h"

struct wanted {
    const char *name;
    char value[64];
    int calls, most;
};

static bool pick(void *userdata, const char *name, const char *value) {
    struct wanted *wanted = userdata;
    if (strcmp(name, wanted->name) == 0) {
        snprintf(wanted->value, sizeof wanted->value, "%s", value);
    }
    return ++wanted->calls != wanted->most;
}

static long stat_of(const mcrs_cache *cache, const char *group, const char *name) {
    struct wanted wanted = {name, "", 0, 0};
    OK(mcrs_cache_stats(cache, group, pick, &wanted));
    CHECK(wanted.value[0] != 0);
    return atol(wanted.value);
}

struct metrics {
    const char *wanted;
    int calls;
};

static void find(void *userdata, const char *text, size_t len) {
    struct metrics *metrics = userdata;
    CHECK(strlen(text) == len && strstr(text, metrics->wanted) != NULL);
    metrics->calls++;
}

struct walk {
    mcrs_cache *cache;
    int keys, most;
};

static bool each_key(void *userdata, const mcrs_slice *key, const mcrs_info *info) {
    struct walk *walk = userdata;
    CHECK(key->len >= 4 && memcmp(key->data, "key", 3) == 0 && info->value_len == 5 && info->flags == 0);
    /* It may call the library. */
    OK(mcrs_cache_touch(walk->cache, key->data, key->len, 1000));
    return ++walk->keys != walk->most;
}

struct hot {
    const char *key;
    unsigned long reads, writes;
    int calls, most;
};

static bool each_hot(void *userdata, const mcrs_hot_key *hot) {
    struct hot *wanted = userdata;
    CHECK(hot->error == 0 && hot->share > 0 && hot->share <= 1 && hot->reserved[0] == 0);
    if (hot->key.len == strlen(wanted->key) && memcmp(hot->key.data, wanted->key, hot->key.len) == 0) {
        wanted->reads = hot->reads;
        wanted->writes = hot->writes;
    }
    return ++wanted->calls != wanted->most;
}

/* With sample_rate 1, each request counts. */
static void hot_keys(void) {
    mcrs_config *config = NULL;
    OK(mcrs_config_new(&config));
    OK(mcrs_config_set(config, "sample_rate", "1"));
    mcrs_cache *cache = NULL;
    OK(mcrs_cache_new(config, &cache));
    OK(mcrs_config_listen_tcp(config, NULL, 0, MCRS_PROTOCOL_AUTO, MCRS_TLS_OFF));
    mcrs_server *server = NULL;
    OK(mcrs_server_start(config, &server));
    mcrs_config_free(config);
    for (int n = 0; n < 3; n++) {
        OK(mcrs_cache_set(cache, "a", 1, S("x"), 0));
    }
    OK(mcrs_cache_set(cache, "b", 1, S("x"), 0));
    struct hot wanted = {"a", 0, 0, 0, 0};
    OK(mcrs_cache_hot_keys(cache, 10, each_hot, &wanted));
    CHECK(wanted.calls == 2 && wanted.reads == 0 && wanted.writes == 3);
    wanted = (struct hot){"b", 0, 0, 0, 1};
    OK(mcrs_cache_hot_keys(cache, 10, each_hot, &wanted));
    CHECK(wanted.calls == 1 && wanted.writes == 0);
    IS(mcrs_cache_hot_keys(cache, 10, NULL, NULL), MCRS_NULL_ARGUMENT);
    CHECK(stat_of(cache, "hotkeys 1", "1:writes") == 3);
    mcrs_cache_free(cache);

    int client = connect_to(server, 0);
    says(client, "get c\r\n", "END\r\n");
    wanted = (struct hot){"c", 0, 0, 0, 0};
    OK(mcrs_server_hot_keys(server, 1, each_hot, &wanted));
    CHECK(wanted.calls == 1 && wanted.reads == 1);
    struct wanted latency = {"get:count", "", 0, 0};
    OK(mcrs_server_stats(server, "latency", pick, &latency));
    CHECK(atoi(latency.value) == 1);
    close(client);
    mcrs_server_free(server);
}

int main(void) {
    hot_keys();
    mcrs_cache *cache = small_cache();
    char key[32];
    for (int n = 0; n < 1000; n++) {
        snprintf(key, sizeof key, "key%d", n);
        OK(mcrs_cache_set(cache, key, strlen(key), S("value"), 0));
    }
    CHECK(stat_of(cache, NULL, "curr_items") == 1000 && stat_of(cache, "", "cmd_set") == 1000);
    CHECK(stat_of(cache, "settings", "maxbytes") == 8 << 20);
    CHECK(stat_of(cache, "slabs", "active_slabs") == 1);
    struct wanted wanted = {"x", "", 0, 3};
    OK(mcrs_cache_stats(cache, "items", pick, &wanted));
    CHECK(wanted.calls == 3);
    IS(mcrs_cache_stats(cache, "nothing", pick, &wanted), MCRS_INVALID_ARGUMENT);
    CHECK(strstr(mcrs_error_message(), "nothing") != NULL);
    IS(mcrs_cache_stats(cache, "\xff", pick, &wanted), MCRS_INVALID_ARGUMENT);
    IS(mcrs_cache_stats(cache, NULL, NULL, &wanted), MCRS_NULL_ARGUMENT);
    OK(mcrs_cache_reset_stats(cache));
    CHECK(stat_of(cache, NULL, "cmd_set") == 0 && stat_of(cache, NULL, "curr_items") == 1000);

    struct metrics metrics = {"\nmemcached_current_items 1000\n", 0};
    OK(mcrs_cache_metrics(cache, NULL, find, &metrics));
    OK(mcrs_cache_metrics(cache, "prometheus", find, &metrics));
    metrics.wanted = "\n# EOF\n";
    OK(mcrs_cache_metrics(cache, "openmetrics", find, &metrics));
    CHECK(metrics.calls == 3);
    IS(mcrs_cache_metrics(cache, "xml", find, &metrics), MCRS_INVALID_ARGUMENT);
    CHECK(strstr(mcrs_error_message(), "xml") != NULL);
    IS(mcrs_cache_metrics(cache, NULL, NULL, &metrics), MCRS_NULL_ARGUMENT);
    CHECK(metrics.calls == 3);

    struct walk walk = {cache, 0, 0};
    OK(mcrs_cache_each_key(cache, each_key, &walk));
    CHECK(walk.keys == 1000);
    walk.keys = 0;
    walk.most = 10;
    OK(mcrs_cache_each_key(cache, each_key, &walk));
    CHECK(walk.keys == 10);
    IS(mcrs_cache_each_key(cache, NULL, NULL), MCRS_NULL_ARGUMENT);
    mcrs_cache_free(cache);

    mcrs_server *server = small_server();
    int client = connect_to(server, 0);
    says(client, "set a 0 0 1\r\nx\r\n", "STORED\r\n");
    struct wanted count = {"curr_connections", "", 0, 0};
    OK(mcrs_server_stats(server, NULL, pick, &count));
    CHECK(atoi(count.value) >= 1);
    wanted = (struct wanted){"x", "", 0, 0};
    OK(mcrs_server_stats(server, "conns", pick, &wanted));
    CHECK(wanted.calls > 0);
    metrics = (struct metrics){"\nmemcached_current_connections 1\n", 0};
    OK(mcrs_server_metrics(server, NULL, find, &metrics));
    CHECK(metrics.calls == 1);
    IS(mcrs_server_metrics(server, "xml", find, &metrics), MCRS_INVALID_ARGUMENT);
    IS(mcrs_server_stats(server, "reset", pick, &wanted), MCRS_INVALID_ARGUMENT);
    OK(mcrs_server_reset_stats(server));
    count = (struct wanted){"total_connections", "", 0, 0};
    OK(mcrs_server_stats(server, "", pick, &count));
    CHECK(atoi(count.value) == 0);
    close(client);
    mcrs_server_free(server);
    return 0;
}
