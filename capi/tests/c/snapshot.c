/* A cache is saved, and another one is loaded from the file. */
#include <sys/stat.h>

#include "test.h"

static bool count(void *userdata, const mcrs_progress *progress) {
    uint64_t *seen = userdata;
    CHECK(progress->items >= seen[1] && progress->all_items == 3);
    seen[0]++;
    seen[1] = progress->items;
    return true;
}

static bool stop(void *userdata, const mcrs_progress *progress) {
    (void)userdata;
    (void)progress;
    return false;
}

static void damage(const char *path, long from_end) {
    FILE *file = fopen(path, "r+");
    CHECK(file && fseek(file, -from_end, SEEK_END) == 0);
    int byte = fgetc(file);
    CHECK(byte != EOF && fseek(file, -from_end, SEEK_END) == 0);
    CHECK(fputc(byte ^ 1, file) != EOF && fclose(file) == 0);
}

int main(void) {
    mcrs_cache *cache = small_cache(), *warm = small_cache();
    mcrs_save_options save = {0};
    mcrs_load_options load = {0};
    mcrs_store_options store = {0};
    mcrs_saved saved;
    mcrs_loaded loaded;
    mcrs_info info;
    uint64_t seen[2] = {0, 0};
    int64_t now, later;
    struct stat status;
    char directory[] = "/tmp/mcrs-snapshot-XXXXXX", path[100], note[] = "from \xff";

    CHECK(mkdtemp(directory));
    OK(mcrs_clock_freeze(cache));
    OK(mcrs_clock_freeze(warm));
    snprintf(path, sizeof path, "%s/cache.mcrs", directory);
    store.flags = 7;
    store.ttl = 100;
    OK(mcrs_cache_store(cache, S("flags"), S("v1"), &store, NULL));
    OK(mcrs_cache_set(cache, S("plain"), S("v2"), MCRS_NEVER));
    OK(mcrs_cache_set(cache, S("empty"), NULL, 0, MCRS_NEVER));

    /* All that an item has comes back. */
    save.threads = 1;
    save.note = "a test";
    save.progress = count;
    save.userdata = seen;
    save.bits = MCRS_SAVE_UNCOMPRESSED;
    OK(mcrs_cache_save(cache, path, &save, &saved));
    CHECK(saved.items == 3 && saved.bytes == 19 && saved.skipped == 0 && saved.seconds >= 0);
    CHECK(seen[0] >= 1 && seen[1] == 3);
    CHECK(stat(path, &status) == 0 && (uint64_t)status.st_size == saved.file_bytes);
    /* The clocks may have begun in different seconds. */
    OK(mcrs_clock_now(cache, &now));
    OK(mcrs_clock_now(warm, &later));
    OK(mcrs_clock_advance(warm, now - later + 40));
    OK(mcrs_cache_set(warm, S("plain"), S("new"), MCRS_NEVER));
    OK(mcrs_cache_load(warm, path, NULL, &loaded));
    CHECK(loaded.items == 2 && loaded.existing == 1 && loaded.damaged == 0 && !loaded.truncated);
    OK(mcrs_cache_info(warm, S("flags"), &info));
    CHECK(info.flags == 7 && info.ttl == 60 && info.idle == 40);
    load.bits = MCRS_LOAD_REPLACE | MCRS_LOAD_PAUSED | MCRS_LOAD_STRICT;
    OK(mcrs_cache_load(warm, path, &load, &loaded));
    CHECK(loaded.items == 3 && loaded.existing == 0);
    OK(mcrs_cache_info(warm, S("flags"), &info));
    CHECK(info.ttl == 100);
    OK(mcrs_cache_info(warm, S("plain"), &info));
    CHECK(info.value_len == 2);

    /* The callback may end both. The file stays as it is. */
    save.progress = stop;
    IS(mcrs_cache_save(cache, path, &save, &saved), MCRS_CANCELLED);
    load.progress = stop;
    IS(mcrs_cache_load(warm, path, &load, &loaded), MCRS_CANCELLED);
    load.progress = NULL;

    /* The trailer is damaged, then a block. */
    damage(path, 20);
    IS(mcrs_cache_load(warm, path, &load, &loaded), MCRS_BAD_SNAPSHOT);
    load.bits = MCRS_LOAD_REPLACE;
    OK(mcrs_cache_load(warm, path, &load, &loaded));
    CHECK(loaded.items == 3 && loaded.truncated);
    damage(path, 60);
    OK(mcrs_cache_load(warm, path, &load, &loaded));
    CHECK(loaded.items == 0 && loaded.damaged == 3);

    /* Files that are not snapshots, and arguments that are not allowed. */
    IS(mcrs_cache_load(warm, "/dev/null", NULL, NULL), MCRS_BAD_SNAPSHOT);
    CHECK(strcmp(mcrs_error_message(), "the file is not a snapshot of memcache-rs") == 0);
    IS(mcrs_cache_load(warm, directory, NULL, NULL), MCRS_IO_ERROR);
    IS(mcrs_cache_load(warm, "/nowhere/cache.mcrs", NULL, NULL), MCRS_IO_ERROR);
    IS(mcrs_cache_save(cache, "/nowhere/cache.mcrs", NULL, NULL), MCRS_IO_ERROR);
    IS(mcrs_cache_save(cache, "", NULL, NULL), MCRS_INVALID_ARGUMENT);
    save = (mcrs_save_options){0};
    save.note = note;
    IS(mcrs_cache_save(cache, path, &save, NULL), MCRS_INVALID_ARGUMENT);
    CHECK(strcmp(mcrs_error_message(), "options->note must be UTF-8") == 0);
    save.note = NULL;
    save.bits = 2;
    IS(mcrs_cache_save(cache, path, &save, NULL), MCRS_INVALID_ARGUMENT);
    save.bits = 0;
    save.reserved[3] = 1;
    IS(mcrs_cache_save(cache, path, &save, NULL), MCRS_INVALID_ARGUMENT);
    load.bits = 8;
    IS(mcrs_cache_load(warm, path, &load, NULL), MCRS_INVALID_ARGUMENT);
    load.bits = 0;
    load.threads = 257;
    IS(mcrs_cache_load(warm, path, &load, NULL), MCRS_INVALID_ARGUMENT);
    CHECK(strcmp(mcrs_error_message(), "options->threads must be at most 256, got 257") == 0);
    save = (mcrs_save_options){0};
    save.threads = 257;
    IS(mcrs_cache_save(cache, path, &save, NULL), MCRS_INVALID_ARGUMENT);
    CHECK(strcmp(mcrs_error_message(), "options->threads must be at most 256, got 257") == 0);

    CHECK(unlink(path) == 0 && rmdir(directory) == 0);
    mcrs_cache_free(cache);
    mcrs_cache_free(warm);
    return 0;
}
