/* jinja_fuzz.c - a template, and after a NUL the JSON of its inputs: compiles and renders within
 * its limits; what it marks as from the inputs is sorted and lies inside the text; twice is the
 * same. */
#include <stdlib.h>
#include <string.h>

#include "text/jinja/jinja.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void require(bool condition) {
    if (!condition) abort();
}

static const char default_inputs[] =
    "{\"messages\": [{\"role\": \"user\", \"content\": \"a <|b|> \\u00df\"}, {\"role\": "
    "\"assistant\", \"content\": null, \"tool_calls\": [{\"function\": {\"name\": \"f\", "
    "\"arguments\": {\"x\": 1.5, \"y\": [true, null]}}}]}], \"tools\": [{\"n\": {\"k\": []}}], "
    "\"s\": \"Hello World\", \"n\": 7, \"l\": [3, 1, 2], \"d\": {\"b\": 1, \"a\": \"x\"}}";

static void check_spans(const tri_jinja_result *r) {
    const tri_text_span *spans = (const tri_text_span *)(const void *)r->plain.ptr;
    size_t end = 0;
    for (size_t i = 0; i < r->plain.len / sizeof *spans; i++) {
        require(spans[i].begin < spans[i].end && spans[i].end <= r->text.len);
        require(i == 0 || spans[i].begin > end);
        end = spans[i].end;
    }
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
    const uint8_t *nul = size ? memchr(data, 0, size) : NULL;
    tri_str source = {(const char *)data, nul ? (size_t)(nul - data) : size};
    tri_str inputs = {default_inputs, sizeof default_inputs - 1};
    tri_jinja_limits limits = {.max_steps = 20000,
        .max_depth = 50,
        .max_output_bytes = 1 << 20,
        .max_memory_bytes = 16 << 20};
    tri_jinja_result first = {{0}, {0}}, again = {{0}, {0}};
    tri_jinja *jinja = NULL;
    tri_error err = {0};
    tri_arena arena;
    const tri_json *root;
    if (nul) inputs = (tri_str){(const char *)nul + 1, size - source.len - 1};
    tri_arena_init(&arena, 16 << 20);
    if (tri_json_parse(inputs, &arena, &root, NULL)) goto done;
    if (tri_jinja_compile(&jinja, source, &err)) {
        require(err.status && err.message[0]);
        goto done;
    }
    tri_jinja_inputs in = {.user = root, .now_s = 1750000000};
    tri_status rc = tri_jinja_render(jinja, &in, &limits, &first, &err);
    require(rc == err.status);
    if (!rc) {
        check_spans(&first);
        require(!tri_jinja_render(jinja, &in, &limits, &again, NULL));
        require(first.text.len == again.text.len && first.plain.len == again.plain.len);
        require(!first.text.len || !memcmp(first.text.ptr, again.text.ptr, first.text.len));
    }

done:
    tri_jinja_free(jinja);
    tri_jinja_result_deinit(&first);
    tri_jinja_result_deinit(&again);
    tri_arena_deinit(&arena);
    return 0;
}
