/* The golden families on a GPU; passed over where there is none. */
#define FAMILIES_TARGET "cuda"
#include "unit/engine/families_on.h"

static void no_device(void **state) {
    (void)state;
    skip();
}

int main(void) {
    tri_plugin_device facts;
    char arch[16];
    if (tri_device_probe("cuda", 0, &facts, arch)) return families_main();
    const struct CMUnitTest tests[] = {cmocka_unit_test(no_device)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
