/* The clock, and faults that clients meet. */
#include "test.h"

int main(void) {
    mcrs_server *server = small_server();
    mcrs_cache *cache = NULL;
    int64_t now = 0, then = 0;
    OK(mcrs_server_cache(server, &cache));
    int client = connect_to(server, 0);

    OK(mcrs_clock_freeze(cache));
    OK(mcrs_clock_now(cache, &now));
    CHECK(now > 1700000000);
    says(client, "set a 0 100 1\r\nx\r\n", "STORED\r\n");
    OK(mcrs_clock_advance(cache, 99));
    OK(mcrs_clock_now(cache, &then));
    CHECK(then == now + 99);
    says(client, "get a\r\n", "VALUE a 0 1\r\nx\r\nEND\r\n");
    OK(mcrs_clock_advance(cache, 1));
    says(client, "get a\r\n", "END\r\n");
    OK(mcrs_clock_advance(cache, -100));
    OK(mcrs_clock_advance(cache, -3600));
    OK(mcrs_clock_advance(cache, 3600));
    IS(mcrs_clock_advance(cache, INT64_MIN), MCRS_INVALID_ARGUMENT);
    OK(mcrs_clock_reset(cache));
    OK(mcrs_clock_resume(cache));
    OK(mcrs_clock_now(cache, &then));
    CHECK(then >= now && then < now + 60);

    mcrs_fault fault = {0};
    uint64_t id = 0, other = 0, applied = 99;
    IS(mcrs_faults_add(cache, &fault, &id), MCRS_INVALID_ARGUMENT);
    fault.kind = MCRS_FAULT_ERROR;
    fault.text = "out of order";
    fault.command = "get";
    fault.key = "user:*";
    fault.key_len = 6;
    fault.times = 2;
    OK(mcrs_faults_add(cache, &fault, &id));
    OK(mcrs_cache_set(cache, S("user:1"), S("v"), 0));
    says(client, "get user:1\r\n", "SERVER_ERROR out of order\r\n");
    says(client, "get item:1\r\n", "END\r\n");
    has(cache, "user:1", "v"); /* not for the program itself */
    says(client, "get user:1\r\n", "SERVER_ERROR out of order\r\n");
    says(client, "get user:1\r\n", "VALUE user:1 0 1\r\nv\r\nEND\r\n");
    OK(mcrs_faults_remove(cache, id, &applied));
    CHECK(applied == 2);
    IS(mcrs_faults_remove(cache, id, NULL), MCRS_NOT_FOUND);
    memset(&fault, 0, sizeof fault);
    fault.kind = MCRS_FAULT_MISS;
    OK(mcrs_faults_add(cache, &fault, NULL));
    says(client, "get user:1\r\n", "END\r\n");
    OK(mcrs_faults_clear(cache));
    fault.kind = MCRS_FAULT_DELAY;
    fault.delay_ms = 1;
    fault.probability = 0.5;
    OK(mcrs_faults_add(cache, &fault, &other));
    CHECK(other != id);
    says(client, "get user:1\r\n", "VALUE user:1 0 1\r\nv\r\nEND\r\n");
    OK(mcrs_faults_clear(cache));
    fault.kind = MCRS_FAULT_DELAY_REPLY;
    fault.command = "delete";
    OK(mcrs_faults_add(cache, &fault, NULL));
    says(client, "delete none\r\nget user:1\r\n", "NOT_FOUND\r\nVALUE user:1 0 1\r\nv\r\nEND\r\n");
    OK(mcrs_faults_clear(cache));
    fault.command = NULL;
    fault.probability = 1.5;
    IS(mcrs_faults_add(cache, &fault, NULL), MCRS_INVALID_ARGUMENT);
    fault.probability = 0;
    fault.reserved[0] = 1;
    IS(mcrs_faults_add(cache, &fault, NULL), MCRS_INVALID_ARGUMENT);
    fault.reserved[0] = 0;
    IS(mcrs_faults_add(cache, NULL, NULL), MCRS_NULL_ARGUMENT);
    fault.kind = MCRS_FAULT_DROP;
    OK(mcrs_faults_add(cache, &fault, NULL));
    CHECK(write(client, "get a\r\n", 7) == 7);
    is_closed(client);
    OK(mcrs_faults_clear(cache));
    fault.kind = MCRS_FAULT_TRUNCATE;
    fault.after = 8;
    OK(mcrs_faults_add(cache, &fault, NULL));
    client = connect_to(server, 0);
    says(client, "get user:1\r\n", "VALUE us");
    is_closed(client);
    mcrs_server_free(server);
    mcrs_cache_free(cache);
    return 0;
}
