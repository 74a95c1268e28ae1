/* A child of fork() gets a status, does not hang, and can make its own handles. */
#include <sys/wait.h>

#include "test.h"

int main(void) {
    mcrs_server *server = small_server();
    mcrs_cache *cache = NULL;
    mcrs_item *item = NULL;
    mcrs_config *config = small_config();
    OK(mcrs_server_cache(server, &cache));
    OK(mcrs_cache_set(cache, S("a"), S("v"), 0));
    OK(mcrs_cache_get_item(cache, S("a"), &item));

    pid_t child = fork();
    CHECK(child >= 0);
    if (child == 0) {
        size_t length = 7;
        mcrs_slice value;
        mcrs_cache *own = NULL, *other = NULL;
        mcrs_server *own_server = NULL;
        alarm(30); /* a hang is a failure */
        IS(mcrs_cache_get(cache, S("a"), NULL, 0, &length), MCRS_FORKED);
        CHECK(length == 7 && strstr(mcrs_error_message(), "fork") != NULL);
        IS(mcrs_cache_set(cache, S("a"), S("w"), 0), MCRS_FORKED);
        IS(mcrs_item_value(item, &value), MCRS_FORKED);
        IS(mcrs_server_cache(server, &other), MCRS_FORKED);
        IS(mcrs_server_stop(server, 0), MCRS_FORKED);
        IS(mcrs_server_wait(server, MCRS_FOREVER), MCRS_FORKED);
        mcrs_item_free(item);
        mcrs_cache_free(cache);
        mcrs_server_free(server);
        /* Settings stay usable, and new handles work. */
        OK(mcrs_config_check(config));
        OK(mcrs_cache_new(config, &own));
        OK(mcrs_cache_set(own, S("b"), S("own"), 0));
        has(own, "b", "own");
        OK(mcrs_server_start_with_cache(config, own, &own_server));
        int client = connect_to(own_server, 0);
        says(client, "get b\r\n", "VALUE b 0 3\r\nown\r\nEND\r\n");
        close(client);
        /* And a child of the child. */
        pid_t grandchild = fork();
        CHECK(grandchild >= 0);
        if (grandchild == 0) {
            alarm(30);
            IS(mcrs_cache_delete(own, S("b")), MCRS_FORKED);
            IS(mcrs_cache_delete(cache, S("a")), MCRS_FORKED);
            mcrs_server_free(own_server);
            _exit(0);
        }
        int status = -1;
        CHECK(waitpid(grandchild, &status, 0) == grandchild && status == 0);
        mcrs_server_free(own_server);
        mcrs_cache_free(own);
        mcrs_config_free(config);
        _exit(0);
    }
    int status = -1;
    CHECK(waitpid(child, &status, 0) == child);
    CHECK(status == 0);
    /* The parent is unaffected. */
    has(cache, "a", "v");
    int client = connect_to(server, 0);
    says(client, "get a\r\n", "VALUE a 0 1\r\nv\r\nEND\r\n");
    close(client);
    mcrs_item_free(item);
    mcrs_cache_free(cache);
    mcrs_server_free(server);
    mcrs_config_free(config);
    return 0;
}
