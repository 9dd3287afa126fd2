/* tojson.h - json.dumps of Python. */
#ifndef TRI_TEXT_JINJA_TOJSON_H
#define TRI_TEXT_JINJA_TOJSON_H

#include "text/jinja/vm.h"

typedef struct jj_json_options {
    bool ascii, sort_keys;
    const jj_str *indent; /* of one level, NULL: all on one line */
    const jj_str *item_separator, *key_separator;
} jj_json_options;

jj_value jj_to_json(jj_vm *vm, jj_value v, const jj_json_options *options);

#endif
