/* The golden families on the CPU. */
#define FAMILIES_TARGET "cpu"
#include "unit/engine/families_on.h"

int main(void) {
    return families_main();
}
