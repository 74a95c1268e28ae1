/* Servers: start, addresses, stop, callbacks. */
#include "test.h"

static int stops, lines;
static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
static mcrs_server *served;

static void stopped(void *userdata) {
    CHECK(userdata == &stops);
    /* This thread is the server's: it cannot wait for itself. */
    IS(mcrs_server_wait(served, MCRS_FOREVER), MCRS_IN_CALLBACK);
    IS(mcrs_server_stop(served, 0), MCRS_IN_CALLBACK);
    mcrs_server_free(served); /* does nothing */
    stops++;
}

static void logged(void *userdata, int level, const char *line) {
    CHECK(userdata == &lines && level <= 2 && line[0] != 0);
    pthread_mutex_lock(&lock);
    lines++;
    pthread_mutex_unlock(&lock);
}

static void many_addresses(void) {
    char path[] = "/tmp/mcrs-server-XXXXXX.sock";
    mcrs_config *config = small_config();
    mcrs_server *server = NULL;
    mcrs_address address;
    size_t count = 0;
    CHECK(mkstemps(path, 5) >= 0 && unlink(path) == 0);
    OK(mcrs_config_listen_unix(config, path, 0700, MCRS_PROTOCOL_TEXT));
    OK(mcrs_config_listen_udp(config, "127.0.0.1", 0));
    OK(mcrs_server_start(config, &server));
    OK(mcrs_server_address_count(server, &count));
    CHECK(count == 3);
    OK(mcrs_server_address(server, 0, &address));
    CHECK(address.kind == MCRS_ADDRESS_TCP && address.port != 0 && strcmp(address.host, "127.0.0.1") == 0);
    OK(mcrs_server_address(server, 1, &address));
    CHECK(address.kind == MCRS_ADDRESS_UNIX && address.port == 0 && strcmp(address.host, path) == 0);
    OK(mcrs_server_address(server, 2, &address));
    CHECK(address.kind == MCRS_ADDRESS_UDP && address.port != 0);
    IS(mcrs_server_address(server, 3, &address), MCRS_NOT_FOUND);

    int tcp = connect_to(server, 0), local = connect_to(server, 1), udp = connect_to(server, 2);
    says(tcp, "set a 0 0 5\r\nhello\r\n", "STORED\r\n");
    says(local, "get a\r\n", "VALUE a 0 5\r\nhello\r\nEND\r\n");
    char frame[] = "\0\1\0\0\0\1\0\0get a\r\n", reply[64];
    CHECK(write(udp, frame, sizeof frame - 1) == (ssize_t)sizeof frame - 1);
    CHECK(read(udp, reply, sizeof reply) == 8 + 25 && memcmp(reply + 8, "VALUE a 0 5", 11) == 0);
    close(tcp), close(local), close(udp);

    /* The address is taken. */
    mcrs_config *second = NULL;
    mcrs_server *none = NULL;
    OK(mcrs_server_address(server, 0, &address));
    OK(mcrs_config_new(&second));
    OK(mcrs_config_listen_tcp(second, "127.0.0.1", address.port, MCRS_PROTOCOL_AUTO, MCRS_TLS_OFF));
    IS(mcrs_server_start(second, &none), MCRS_LISTEN_FAILED);
    CHECK(none == NULL && strstr(mcrs_error_message(), "127.0.0.1") != NULL);
    mcrs_config_free(second);
    mcrs_server_free(server);
    CHECK(access(path, F_OK) != 0);
    mcrs_config_free(config);
}

static void stopping(void) {
    mcrs_config *config = small_config();
    mcrs_cache *cache = NULL;
    bool running = false;
    OK(mcrs_config_set_stopped(config, stopped, &stops));
    OK(mcrs_config_set_log(config, logged, &lines));
    OK(mcrs_config_set_verbosity(config, 2));
    OK(mcrs_config_set_shutdown(config, true));
    for (int how = 0; how < 4; how++) {
        stops = lines = 0;
        OK(mcrs_server_start(config, &served));
        CHECK(lines > 0);
        int client = connect_to(served, 0);
        says(client, "mn\r\n", "MN\r\n");
        OK(mcrs_server_is_running(served, &running));
        CHECK(running && stops == 0);
        IS(mcrs_server_wait(served, 5), MCRS_TIMED_OUT);
        OK(mcrs_server_cache(served, &cache));
        switch (how) {
        case 0:
            OK(mcrs_server_stop(served, 0));
            break;
        case 1:
            OK(mcrs_server_stop(served, 2000));
            break;
        case 2:
            OK(mcrs_server_request_stop(served, true));
            break;
        default:
            CHECK(write(client, "shutdown\r\n", 10) == 10);
        }
        OK(mcrs_server_wait(served, MCRS_FOREVER));
        CHECK(stops == 1);
        OK(mcrs_server_is_running(served, &running));
        CHECK(!running);
        OK(mcrs_server_stop(served, 0));
        OK(mcrs_server_wait(served, 0));
        is_closed(client);
        mcrs_server_free(served);
        CHECK(stops == 1);
        OK(mcrs_cache_set(cache, S("after"), S("it"), 0));
        mcrs_cache_free(cache);
    }
    OK(mcrs_config_set_stopped(config, NULL, NULL));
    OK(mcrs_config_set_log(config, NULL, NULL));
    mcrs_config_free(config);
}

static void proxying(void) {
    mcrs_config *config = small_config(), *routed = small_config();
    mcrs_server *backend = NULL, *proxy = NULL;
    mcrs_address address;
    char text[200], path[] = "/tmp/mcrs-proxy-XXXXXX.toml";
    OK(mcrs_server_start(config, &backend));
    OK(mcrs_server_address(backend, 0, &address));
    snprintf(text, sizeof text, "route = 'a'\npools.a.backends = ['127.0.0.1:%u']\n", address.port);
    FILE *file = fdopen(mkstemps(path, 5), "w");
    CHECK(file != NULL && fputs(text, file) >= 0 && fclose(file) == 0);
    const char *sources[] = {text, path};
    for (int n = 0; n < 2; n++) {
        OK(mcrs_config_set_proxy(routed, sources[n]));
        OK(mcrs_server_start(routed, &proxy));
        int client = connect_to(proxy, 0), direct = connect_to(backend, 0);
        says(client, "set routed 0 0 1\r\nx\r\n", "STORED\r\n");
        says(direct, "get routed\r\n", "VALUE routed 0 1\r\nx\r\nEND\r\n");
        OK(mcrs_server_retry_backends(proxy));
        OK(mcrs_server_reload_proxy(proxy, "route = { error = 'down' }"));
        says(client, "get routed\r\n", "SERVER_ERROR down\r\n");
        OK(mcrs_server_reload_proxy(proxy, NULL));
        IS(mcrs_server_reload_proxy(proxy, "route = 'b'"), MCRS_INVALID_ARGUMENT);
        CHECK(strstr(mcrs_error_message(), "proxy: line 1: route: ") != NULL);
        IS(mcrs_server_reload_proxy(proxy, "/nowhere.toml"), MCRS_BAD_FILE);
        says(client, "get routed\r\n", "SERVER_ERROR down\r\n");
        OK(mcrs_server_reload_proxy(proxy, sources[n]));
        says(client, "delete routed\r\n", "DELETED\r\n");
        close(client), close(direct);
        mcrs_server_free(proxy);
    }
    OK(mcrs_config_set_proxy(routed, "pools.a.backends = ['a']\nroute = 'b'\n"));
    IS(mcrs_server_start(routed, &proxy), MCRS_INVALID_ARGUMENT);
    CHECK(strstr(mcrs_error_message(), "proxy: line 2: route: ") != NULL);
    file = fopen(path, "w");
    CHECK(file != NULL && fputs("route = 1", file) >= 0 && fclose(file) == 0);
    OK(mcrs_config_set_proxy(routed, path));
    IS(mcrs_server_start(routed, &proxy), MCRS_BAD_FILE);
    CHECK(strstr(mcrs_error_message(), ".toml:1: ") != NULL);
    CHECK(unlink(path) == 0);
    IS(mcrs_config_set_proxy(routed, ""), MCRS_INVALID_ARGUMENT);
    OK(mcrs_config_set_proxy(routed, NULL));
    OK(mcrs_server_start(routed, &proxy));
    OK(mcrs_server_retry_backends(proxy));
    IS(mcrs_server_reload_proxy(proxy, NULL), MCRS_INVALID_ARGUMENT);
    CHECK(strcmp(mcrs_error_message(), "the server has no proxy") == 0);
    mcrs_server_free(proxy);
    mcrs_server_free(backend);
    mcrs_config_free(routed);
    mcrs_config_free(config);
}

static void side_by_side(void) {
    mcrs_config *config = small_config();
    mcrs_cache *cache = small_cache(), *same = NULL;
    mcrs_server *one = NULL, *two = NULL, *other = NULL;
    OK(mcrs_server_start_with_cache(config, cache, &one));
    OK(mcrs_server_start_with_cache(config, cache, &two));
    OK(mcrs_server_start(config, &other));
    int a = connect_to(one, 0), b = connect_to(two, 0), c = connect_to(other, 0);
    says(a, "set k 0 0 1\r\nx\r\n", "STORED\r\n");
    says(b, "get k\r\n", "VALUE k 0 1\r\nx\r\nEND\r\n");
    says(c, "get k\r\n", "END\r\n");
    mcrs_server_free(one);
    says(b, "get k\r\n", "VALUE k 0 1\r\nx\r\nEND\r\n");
    OK(mcrs_server_cache(two, &same));
    mcrs_cache_free(cache);
    has(same, "k", "x");
    close(a), close(b), close(c);
    mcrs_server_free(two);
    mcrs_server_free(other);
    mcrs_cache_free(same);
    mcrs_config_free(config);
}

static void authentication(void) {
    char path[] = "/tmp/mcrs-users-XXXXXX";
    int file = mkstemp(path);
    mcrs_config *config = small_config();
    mcrs_server *server = NULL;
    CHECK(file >= 0 && write(file, "ann:secret\n", 11) == 11);
    OK(mcrs_config_set_auth_file(config, MCRS_AUTH_TEXT, path));
    OK(mcrs_server_start(config, &server));
    int client = connect_to(server, 0);
    says(client, "get a\r\n", "CLIENT_ERROR unauthenticated\r\n");
    says(client, "set auth 0 0 10\r\nann secret\r\n", "STORED\r\n");
    says(client, "get a\r\n", "END\r\n");
    close(client);
    CHECK(ftruncate(file, 0) == 0 && pwrite(file, "bob:other\n", 10, 0) == 10);
    OK(mcrs_server_reload(server));
    client = connect_to(server, 0);
    says(client, "set auth 0 0 9\r\nbob other\r\n", "STORED\r\n");
    close(client);
    CHECK(pwrite(file, "no colon here\n", 14, 0) == 14);
    IS(mcrs_server_reload(server), MCRS_BAD_FILE);
    CHECK(strstr(mcrs_error_message(), path) != NULL);
    mcrs_server_free(server);
    CHECK(unlink(path) == 0);
    server = NULL;
    IS(mcrs_server_start(config, &server), MCRS_BAD_FILE);
    CHECK(server == NULL);
    OK(mcrs_config_add_user(config, MCRS_AUTH_TEXT, "eve", "pass"));
    OK(mcrs_server_start(config, &server));
    client = connect_to(server, 0);
    says(client, "set auth 0 0 8\r\neve pass\r\n", "STORED\r\n");
    says(client, "set a 0 0 1\r\nx\r\n", "STORED\r\n");
    close(client);
    close(file);
    mcrs_server_free(server);
    OK(mcrs_config_set(config, "rights", "ann all; eve ro"));
    OK(mcrs_server_start(config, &server));
    client = connect_to(server, 0);
    says(client, "set auth 0 0 8\r\neve pass\r\n", "STORED\r\n");
    says(client, "set a 0 0 1\r\nx\r\n", "CLIENT_ERROR not permitted\r\n");
    close(client);
    mcrs_server_free(server);
    OK(mcrs_config_set(config, "rights", "eve rw"));
    IS(mcrs_config_check(config), MCRS_INVALID_ARGUMENT);
    CHECK(strstr(mcrs_error_message(), "rights must be all, noadmin, ro or prefix=TEXT") != NULL);
    mcrs_config_free(config);
}

static void clusters(void) {
    mcrs_config *config = small_config();
    mcrs_server *server = NULL;
    mcrs_node nodes[] = {{"b.example", NULL, 2}, {"c.example", "10.0.0.3", 3}}, bad = {"a b", NULL, 1};
    OK(mcrs_config_add_cluster_node(config, "a.example", "10.0.0.1", 11211));
    OK(mcrs_server_start(config, &server));
    int client = connect_to(server, 0);
    says(client, "config get cluster\r\n",
         "CONFIG cluster 0 27\r\n1\na.example|10.0.0.1|11211\n\r\nEND\r\n");
    OK(mcrs_server_set_cluster_nodes(server, nodes, 2));
    says(client, "config get cluster\r\n",
         "CONFIG cluster 0 36\r\n2\nb.example||2 c.example|10.0.0.3|3\n\r\nEND\r\n");
    IS(mcrs_server_set_cluster_nodes(server, &bad, 1), MCRS_INVALID_ARGUMENT);
    OK(mcrs_server_set_cluster_nodes(server, NULL, 0));
    says(client, "config get cluster\r\n", "ERROR\r\n");
    OK(mcrs_server_set_verbosity(server, 0));
    IS(mcrs_server_set_verbosity(server, 4), MCRS_INVALID_ARGUMENT);
    close(client);
    mcrs_server_free(server);
    mcrs_config_free(config);
}

/* Requests that a client has sent are carried out before calls on the server's cache. */
static void settling(void) {
    for (int own = 0; own < 2; own++) {
        mcrs_config *config = small_config();
        mcrs_server *server = NULL;
        mcrs_cache *cache = NULL;
        char request[64], value[8];
        if (own) {
            OK(mcrs_server_start(config, &server));
            OK(mcrs_server_cache(server, &cache));
        } else {
            OK(mcrs_cache_new(config, &cache));
            OK(mcrs_server_start_with_cache(config, cache, &server));
        }
        int client = connect_to(server, 0);
        for (int n = 0; n < 200; n++) {
            snprintf(value, sizeof value, "%03d", n);
            snprintf(request, sizeof request, "set key 0 0 3 noreply\r\n%s\r\n", value);
            CHECK(write(client, request, strlen(request)) == (ssize_t)strlen(request));
            if (!own)
                OK(mcrs_server_settle(server, 10000));
            has(cache, "key", value);
        }
        close(client);
        OK(mcrs_server_stop(server, 0));
        OK(mcrs_server_settle(server, 10000));
        mcrs_cache_free(cache);
        mcrs_server_free(server);
        mcrs_config_free(config);
    }
    mcrs_config *config = small_config();
    mcrs_server *server = NULL;
    OK(mcrs_config_set_settles(config, false));
    OK(mcrs_server_start(config, &server));
    OK(mcrs_server_settle(server, 10000));
    mcrs_server_free(server);
    mcrs_config_free(config);
}

int main(void) {
    many_addresses();
    settling();
    stopping();
    side_by_side();
    proxying();
    authentication();
    clusters();
    mcrs_server_free(NULL);
    return 0;
}
