/* tojson.h - json.dumps of Python. */
#ifndef TRI_TEXT_JINJA_TOJSON_H
#define TRI_TEXT_JINJA_TOJSON_H

#include "text/jinja/vm.h"

typedef struct tri_jinja_json_options {
    bool ascii, sort_keys;
    const tri_jinja_str *indent; /* of one level, NULL: all on one line */
    const tri_jinja_str *item_separator, *key_separator;
} tri_jinja_json_options;

tri_jinja_value tri_jinja_to_json(
    tri_jinja_vm *vm, tri_jinja_value v, const tri_jinja_json_options *options);

#endif
