/* format.h - str.format and the pieces it shares with the "%" of strings. */
#ifndef TRI_TEXT_JINJA_FORMAT_H
#define TRI_TEXT_JINJA_FORMAT_H

#include "text/jinja/builtin.h"

jj_value jj_format(jj_vm *vm, jj_str *format, const jj_args *args);

typedef struct jj_number_format {
    char type;      /* d x X o b e E f F g G %, 0: as it comes */
    char sign;      /* '-', '+', ' ' */
    bool alternate; /* # */
    char group;     /* ',' or '_', 0: none */
    int precision;  /* -1: none */
} jj_number_format;
/* Appends sign, digits and all to out; false: the value does not go with the type. */
bool jj_put_number(jj_vm *vm, jj_out *out, jj_value v, const jj_number_format *f);

#endif
