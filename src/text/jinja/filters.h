/* filters.h - the filters, by what they work on; each table ends with a NULL name. */
#ifndef TRI_TEXT_JINJA_FILTERS_H
#define TRI_TEXT_JINJA_FILTERS_H

#include "text/jinja/builtin.h"

extern const tri_jinja_builtin tri_jinja_text_filters[], tri_jinja_list_filters[],
    tri_jinja_value_filters[];

#define TRI_JINJA_FILTER(name)                                                                     \
    static tri_jinja_value name(tri_jinja_vm *vm, tri_jinja_value *v, const tri_jinja_args *args)
#define TRI_JINJA_UNUSED ((void)vm, (void)v, (void)args)

#endif
