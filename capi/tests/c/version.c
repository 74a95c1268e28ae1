/* Versions and texts. */
#include "test.h"

_Static_assert(MCRS_VERSION_NUMBER == MCRS_VERSION_MAJOR * 1000000 + MCRS_VERSION_MINOR * 1000 + MCRS_VERSION_PATCH,
               "one version");
_Static_assert(sizeof(mcrs_status) == 4, "statuses are 32 bits");
_Static_assert(MCRS_OK == 0, "success is 0");

int main(void) {
    char text[32];
    snprintf(text, sizeof text, "%d.%d.%d", MCRS_VERSION_MAJOR, MCRS_VERSION_MINOR, MCRS_VERSION_PATCH);
    CHECK(strcmp(mcrs_version(), MCRS_VERSION) == 0 && strcmp(text, MCRS_VERSION) == 0);
    CHECK(mcrs_version_number() == MCRS_VERSION_NUMBER);
    CHECK(mcrs_abi_version() == MCRS_ABI_VERSION);
    CHECK(strcmp(mcrs_memcached_version(), "1.6.45") == 0);

    CHECK(strcmp(mcrs_error_message(), "") == 0);
    IS(mcrs_config_check(NULL), MCRS_NULL_ARGUMENT);
    CHECK(strcmp(mcrs_error_message(), "config must not be NULL") == 0);
    CHECK(strcmp(mcrs_status_text(12345), "unknown status") == 0);
    CHECK(strcmp(mcrs_status_text(-1), "unknown status") == 0);
    int known = 0;
    for (int n = 0; n < 200; n++) {
        known += strcmp(mcrs_status_text(n), "unknown status") != 0;
    }
    CHECK(known == 22);
    /* Numbers never change. */
    CHECK(MCRS_NOT_FOUND == 1 && MCRS_NOT_STORED == 2 && MCRS_EXISTS == 3 && MCRS_NOT_A_NUMBER == 4);
    CHECK(MCRS_BUFFER_TOO_SMALL == 5 && MCRS_TIMED_OUT == 6 && MCRS_TOO_LARGE == 20 && MCRS_NO_MEMORY == 21);
    CHECK(MCRS_BUSY == 7 && MCRS_CANCELLED == 8 && MCRS_IO_ERROR == 63 && MCRS_BAD_SNAPSHOT == 64);
    CHECK(MCRS_NULL_ARGUMENT == 40 && MCRS_BAD_KEY == 41 && MCRS_INVALID_ARGUMENT == 42);
    CHECK(MCRS_IN_CALLBACK == 43 && MCRS_FORKED == 44 && MCRS_LISTEN_FAILED == 60);
    CHECK(MCRS_SYSTEM_ERROR == 61 && MCRS_BAD_FILE == 62 && MCRS_PANIC == 99);
    return 0;
}
