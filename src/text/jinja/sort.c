#include "text/jinja/sort.h"

#include <string.h>

#include "text/jinja/ops.h"

typedef struct sorter {
    tri_jinja_vm *vm;
    const tri_jinja_value *keys;
    bool reverse;
} sorter;

/* Must b come before a? */
static bool swapped(const sorter *s, uint32_t a, uint32_t b) {
    return (s->reverse ? tri_jinja_less(s->vm, s->keys[a], s->keys[b])
                       : tri_jinja_less(s->vm, s->keys[b], s->keys[a])) > 0;
}

static void merge(
    const sorter *s, const uint32_t *from, uint32_t *to, size_t begin, size_t mid, size_t end) {
    size_t a = begin, b = mid;
    for (size_t i = begin; i < end; i++) {
        bool right = a >= mid || (b < end && !s->vm->rc && swapped(s, from[a], from[b]));
        to[i] = right ? from[b++] : from[a++];
    }
}

uint32_t *tri_jinja_sort_order(
    tri_jinja_vm *vm, const tri_jinja_value *keys, size_t n, bool reverse) {
    sorter s = {vm, keys, reverse};
    uint32_t *from = tri_jinja_array(vm, n + 1, sizeof *from),
             *to = tri_jinja_array(vm, n + 1, sizeof *to);
    if (!from || !to) return NULL;
    for (size_t i = 0; i < n; i++)
        from[i] = (uint32_t)i;
    for (size_t width = 1; width < n && !vm->rc; width *= 2) {
        for (size_t begin = 0; begin < n; begin += 2 * width) {
            size_t mid = begin + width < n ? begin + width : n;
            size_t end = begin + 2 * width < n ? begin + 2 * width : n;
            merge(&s, from, to, begin, mid, end);
        }
        uint32_t *swap = from;
        from = to;
        to = swap;
    }
    return vm->rc ? NULL : from;
}
