/* A thousand starts and stops leave no thread, no descriptor and no byte. */
#include <dirent.h>
#include <malloc.h>

#include "test.h"

static int entries(const char *path) {
    DIR *directory = opendir(path);
    int count = 0;
    CHECK(directory != NULL);
    while (readdir(directory)) {
        count++;
    }
    closedir(directory);
    return count;
}

static size_t bytes(void) {
#if defined(__GLIBC__) && defined(__GLIBC_PREREQ) && !defined(__SANITIZE_ADDRESS__)
#if __GLIBC_PREREQ(2, 33)
    struct mallinfo2 info = mallinfo2();
    return info.uordblks + info.hblkhd;
#endif
#endif
    return 0;
}

static void turn(mcrs_config *config, const char *path) {
    mcrs_server *server = NULL;
    mcrs_cache *cache = NULL;
    mcrs_item *item = NULL;
    OK(mcrs_server_start(config, &server));
    OK(mcrs_server_cache(server, &cache));
    int client = connect_to(server, 1);
    says(client, "set a 0 0 1\r\nx\r\n", "STORED\r\n");
    OK(mcrs_cache_get_item(cache, S("a"), &item));
    OK(mcrs_server_stop(server, 0));
    is_closed(client);
    CHECK(access(path, F_OK) != 0);
    mcrs_server_free(server);
    has(cache, "a", "x");
    mcrs_cache_free(cache);
    mcrs_item_free(item);
}

int main(void) {
    char path[] = "/tmp/mcrs-leaks-XXXXXX.sock";
    CHECK(mkstemps(path, 5) >= 0);
    CHECK(unlink(path) == 0);
    mcrs_config *config = small_config();
    OK(mcrs_config_listen_unix(config, path, 0700, MCRS_PROTOCOL_AUTO));
    for (int n = 0; n < 20; n++) {
        turn(config, path);
    }
    int threads = entries("/proc/self/task"), descriptors = entries("/proc/self/fd");
    /* The arenas of malloc keep some bytes for any number of turns. But glibc's smallest chunk has
       32 bytes, so fewer bytes than that per turn mean that the turns leave none. A leak shows in
       each of three rounds. Valgrind, with fewer turns, counts exactly. */
    int leaks = 0;
    for (int round = 0; round < (rounds(1000) >= 1000 ? 3 : 1); round++) {
        size_t before = bytes();
        for (int n = 0; n < rounds(1000); n++) {
            turn(config, path);
        }
        size_t after = bytes();
        if (rounds(1000) < 1000 || after <= before || after - before < 32 * (size_t)rounds(1000)) {
            break;
        }
        fprintf(stderr, "%zu bytes were left by %d turns\n", after - before, rounds(1000));
        leaks++;
    }
    CHECK(leaks < 3);
    /* A thread that was joined may be listed for a moment. */
    for (int n = 0; n < 1000 && entries("/proc/self/task") > threads; n++) {
        usleep(1000);
    }
    CHECK(entries("/proc/self/task") == threads);
    CHECK(entries("/proc/self/fd") == descriptors);
    mcrs_config_free(config);
    return 0;
}
