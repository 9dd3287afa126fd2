/* jinja.h - the template language of chat templates: what jinja2 does as transformers configures it
 * (ImmutableSandboxedEnvironment, trim_blocks, lstrip_blocks, the loop controls extension and
 * {% generation %}), compiled once, run within limits.
 *
 * Every string remembers which of its bytes came from the inputs, through concatenation, slices,
 * filters and methods: what a user wrote can be told from what the template wrote. */
#ifndef TRI_TEXT_JINJA_JINJA_H
#define TRI_TEXT_JINJA_JINJA_H

#include "base/buf.h"
#include "base/json.h"
#include "trireme/text.h"

typedef struct tri_jinja tri_jinja; /* immutable: shared by threads */

/* Errors give line and column.  source is copied. */
tri_status tri_jinja_compile(tri_jinja **jinja, tri_str source, tri_error *err);
void tri_jinja_free(tri_jinja *jinja);

typedef struct tri_jinja_limits { /* 0: the default, in brackets */
    int64_t max_steps;            /* expressions and statements evaluated [50 M] */
    int32_t max_depth;            /* nested calls and expressions [200] */
    size_t max_output_bytes;      /* [64 MB] */
    size_t max_memory_bytes;      /* of values while it runs [1 GB] */
} tri_jinja_limits;

typedef struct tri_jinja_result { /* zeroed before use; _deinit after */
    tri_buf text;
    tri_buf plain; /* tri_text_span each: sorted, disjoint, what came from inputs */
} tri_jinja_result;
void tri_jinja_result_deinit(tri_jinja_result *result);

typedef struct tri_jinja_inputs {
    const tri_json
        *model; /* an object or NULL: variables that are the model's own, such as bos_token */
    const tri_json *user; /* an object: everything else; its names win over the model's */
    int64_t now_s;        /* seconds since 1970 for strftime_now; 0: the clock */
} tri_jinja_inputs;

/* TRI_E_ARGUMENT: raise_exception, or an error jinja2 would raise, with line and column.
 * TRI_E_LIMIT: a limit, named. */
tri_status tri_jinja_render(const tri_jinja *jinja, const tri_jinja_inputs *inputs,
    const tri_jinja_limits *limits, tri_jinja_result *result, tri_error *err);

#endif
