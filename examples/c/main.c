/* A program that embeds a cache, which another process uses over a Unix socket.
 *
 * The parent serves its cache on the socket, and keeps a page in it that is expensive to make. The
 * child is a client, which speaks memcached's text protocol by hand. Then the parent reads, in
 * place, the value that the child wrote. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <sys/wait.h>
#include <unistd.h>

#include "dogpile.h"

static void need(mcrs_status status, const char *what) {
    if (status != MCRS_OK) {
        fprintf(stderr, "%s: %s\n", what, mcrs_error_message());
        exit(1);
    }
}

/* The other process, which uses no library. */
static int client(const char *path) {
    struct sockaddr_un name = {0};
    char reply[256];
    size_t have = 0;
    const char *request = "get page\r\nset answer 0 0 16\r\nfrom the client!\r\nquit\r\n";
    int fd = socket(AF_UNIX, SOCK_STREAM, 0);
    name.sun_family = AF_UNIX;
    snprintf(name.sun_path, sizeof name.sun_path, "%s", path);
    if (fd < 0 || connect(fd, (struct sockaddr *)&name, sizeof name) != 0) {
        return 1;
    }
    if (write(fd, request, strlen(request)) != (ssize_t)strlen(request)) {
        return 1;
    }
    for (ssize_t some; have < sizeof reply - 1 && (some = read(fd, reply + have, sizeof reply - 1 - have)) > 0;) {
        have += (size_t)some;
    }
    reply[have] = 0;
    printf("client got:\n%s", reply);
    fflush(stdout);
    close(fd);
    return strstr(reply, "STORED") ? 0 : 1;
}

static int made;

static size_t make_page(const char *key, char *value, size_t size) {
    made++;
    return (size_t)snprintf(value, size, "<h1>%s</h1>", key);
}

int main(int count, char **words) {
    const char *path = count > 1 ? words[1] : "/tmp/memcache_rs-example.sock";
    mcrs_config *config = NULL;
    mcrs_server *server = NULL;
    mcrs_cache *cache = NULL;
    mcrs_item *item = NULL;
    mcrs_slice value;

    need(mcrs_config_new(&config), "config");
    need(mcrs_config_set_memory_limit(config, 16u << 20), "memory");
    need(mcrs_config_listen_unix(config, path, 0700, MCRS_PROTOCOL_AUTO), path);
    need(mcrs_server_start(config, &server), "start");
    mcrs_config_free(config);
    need(mcrs_server_cache(server, &cache), "cache");

    /* Requested a hundred times, made once. */
    for (int n = 0; n < 100; n++) {
        item = dogpile_get(cache, "page", 300, 30, make_page);
        if (!item) {
            fprintf(stderr, "page: %s\n", mcrs_error_message());
            return 1;
        }
        mcrs_item_free(item);
    }
    printf("made %d time\n", made);
    fflush(stdout);

    pid_t child = fork();
    if (child == 0) {
        _exit(client(path));
    }
    int status = 1;
    if (child < 0 || waitpid(child, &status, 0) != child || status != 0) {
        return 1;
    }

    /* The value of the client, without a copy. It stays readable after the key is deleted. */
    need(mcrs_cache_get_item(cache, "answer", 6, &item), "answer");
    need(mcrs_cache_delete(cache, "answer", 6), "delete");
    need(mcrs_item_value(item, &value), "value");
    printf("program got: %.*s\n", (int)value.len, (const char *)value.data);
    mcrs_item_free(item);

    need(mcrs_server_stop(server, 1000), "stop");
    mcrs_server_free(server);
    mcrs_cache_free(cache);
    return made == 1 ? 0 : 1;
}
