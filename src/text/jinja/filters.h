/* filters.h - the filters, by what they work on; each table ends with a NULL name. */
#ifndef TRI_TEXT_JINJA_FILTERS_H
#define TRI_TEXT_JINJA_FILTERS_H

#include "text/jinja/builtin.h"

extern const jj_builtin jj_text_filters[], jj_list_filters[], jj_value_filters[];

#define JJ_FILTER(name) static jj_value name(jj_vm *vm, jj_value *v, const jj_args *args)
#define JJ_UNUSED ((void)vm, (void)v, (void)args)

#endif
