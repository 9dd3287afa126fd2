/* attr.h - what values have: items, attributes and methods, as jinja2's sandbox hands them out. */
#ifndef TRI_TEXT_JINJA_ATTR_H
#define TRI_TEXT_JINJA_ATTR_H

#include "text/jinja/ast.h"
#include "text/jinja/builtin.h"

typedef enum jj_attr_sort { JJ_METHOD_OF, JJ_PROPERTY_OF, JJ_UNSAFE_OF } jj_attr_sort;

typedef jj_value (*jj_method_fn)(jj_vm *vm, jj_value self, jj_value *v, const jj_args *args);

typedef struct jj_method_def {
    const char *name;
    uint8_t kind; /* jj_kind it belongs to */
    uint8_t sort;
    jj_method_fn fn; /* NULL: known to Python, not to us */
    int8_t min, max;
    const char *params;
} jj_method_def;

/* The types' attributes of one name: of[kind], NULL where a type has none. */
typedef struct jj_attr {
    const jj_method_def *of[JJ_JOINER + 1];
} jj_attr;

/* False: no type has such an attribute. */
bool jj_attr_find(jj_attr *attr, tri_str name);

jj_value jj_getattr(jj_vm *vm, jj_value object, jj_str *name, const struct jj_attr *known);
jj_value jj_getitem(jj_vm *vm, jj_value object, jj_value key);
jj_value jj_slice(jj_vm *vm, jj_value object, jj_value start, jj_value stop, jj_value step);
jj_value jj_method_call(jj_vm *vm, const jj_method_def *def, jj_value self, const jj_args *args);
jj_value jj_undefined_name(jj_vm *vm, jj_lack lack, jj_str *name);
jj_value jj_undefined_of(jj_vm *vm, jj_lack lack, jj_value object, jj_value name);
jj_value jj_undefined_hint(jj_vm *vm, const char *hint);

/* The tables of methods, each ended by a NULL name. */
extern const jj_method_def jj_str_methods[], jj_other_methods[];

#endif
