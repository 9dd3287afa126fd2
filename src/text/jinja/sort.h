/* sort.h - Python's sorted. */
#ifndef TRI_TEXT_JINJA_SORT_H
#define TRI_TEXT_JINJA_SORT_H

#include "text/jinja/vm.h"

/* The order of n keys, stable, also when reversed; NULL: they do not compare, or no memory. */
uint32_t *tri_jinja_sort_order(
    tri_jinja_vm *vm, const tri_jinja_value *keys, size_t n, bool reverse);

#endif
