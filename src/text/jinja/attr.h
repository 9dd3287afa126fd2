/* attr.h - what values have: items, attributes and methods, as jinja2's sandbox hands them out. */
#ifndef TRI_TEXT_JINJA_ATTR_H
#define TRI_TEXT_JINJA_ATTR_H

#include "text/jinja/ast.h"
#include "text/jinja/builtin.h"

typedef enum tri_jinja_attr_sort {
    TRI_JINJA_METHOD_OF,
    TRI_JINJA_PROPERTY_OF,
    TRI_JINJA_UNSAFE_OF
} tri_jinja_attr_sort;

typedef tri_jinja_value (*tri_jinja_method_fn)(
    tri_jinja_vm *vm, tri_jinja_value self, tri_jinja_value *v, const tri_jinja_args *args);

typedef struct tri_jinja_method_def {
    const char *name;
    uint8_t kind; /* tri_jinja_kind it belongs to */
    uint8_t sort;
    tri_jinja_method_fn fn; /* NULL: known to Python, not to us */
    int8_t min, max;
    const char *params;
} tri_jinja_method_def;

/* The types' attributes of one name: of[kind], NULL where a type has none. */
typedef struct tri_jinja_attr {
    const tri_jinja_method_def *of[TRI_JINJA_JOINER + 1];
} tri_jinja_attr;

/* False: no type has such an attribute. */
bool tri_jinja_attr_find(tri_jinja_attr *attr, tri_str name);

tri_jinja_value tri_jinja_getattr(tri_jinja_vm *vm, tri_jinja_value object, tri_jinja_str *name,
    const struct tri_jinja_attr *known);
tri_jinja_value tri_jinja_getitem(tri_jinja_vm *vm, tri_jinja_value object, tri_jinja_value key);
tri_jinja_value tri_jinja_slice(tri_jinja_vm *vm, tri_jinja_value object, tri_jinja_value start,
    tri_jinja_value stop, tri_jinja_value step);
tri_jinja_value tri_jinja_method_call(tri_jinja_vm *vm, const tri_jinja_method_def *def,
    tri_jinja_value self, const tri_jinja_args *args);
tri_jinja_value tri_jinja_undefined_name(
    tri_jinja_vm *vm, tri_jinja_lack lack, tri_jinja_str *name);
tri_jinja_value tri_jinja_undefined_of(
    tri_jinja_vm *vm, tri_jinja_lack lack, tri_jinja_value object, tri_jinja_value name);
tri_jinja_value tri_jinja_undefined_hint(tri_jinja_vm *vm, const char *hint);

/* The tables of methods, each ended by a NULL name. */
extern const tri_jinja_method_def tri_jinja_str_methods[], tri_jinja_other_methods[];

#endif
