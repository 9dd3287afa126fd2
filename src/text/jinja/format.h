/* format.h - str.format and the pieces it shares with the "%" of strings. */
#ifndef TRI_TEXT_JINJA_FORMAT_H
#define TRI_TEXT_JINJA_FORMAT_H

#include "text/jinja/builtin.h"

tri_jinja_value tri_jinja_format(
    tri_jinja_vm *vm, tri_jinja_str *format, const tri_jinja_args *args);

typedef struct tri_jinja_number_format {
    char type;      /* d x X o b e E f F g G %, 0: as it comes */
    char sign;      /* '-', '+', ' ' */
    bool alternate; /* # */
    char group;     /* ',' or '_', 0: none */
    int precision;  /* -1: none */
} tri_jinja_number_format;
/* Appends sign, digits and all to out; false: the value does not go with the type. */
bool tri_jinja_put_number(
    tri_jinja_vm *vm, tri_jinja_out *out, tri_jinja_value v, const tri_jinja_number_format *f);

#endif
