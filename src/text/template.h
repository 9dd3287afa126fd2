/* template.h - where a model keeps its chat templates and the tokens that they name.
 *
 * A model may bring several templates by name; "default" is the one to use, "tool_use" the one for
 * conversations with tools where there is one (the list form of tokenizer_config.json, and GGUF's
 * tokenizer.chat_template.NAME). */
#ifndef TRI_TEXT_TEMPLATE_H
#define TRI_TEXT_TEMPLATE_H

#include "base/arena.h"
#include "base/buf.h"
#include "base/json.h"

enum { TRI_TEMPLATE_MAX = 16, TRI_TEMPLATE_TOKENS = 8 };

typedef struct tri_template_sources { /* everything in the arena they were read into */
    tri_str names[TRI_TEMPLATE_MAX], texts[TRI_TEMPLATE_MAX];
    int32_t n;
    tri_str token_keys[TRI_TEMPLATE_TOKENS], tokens[TRI_TEMPLATE_TOKENS]; /* "bos_token": "<s>" */
    int32_t n_tokens;
    const tri_json *extra_tokens; /* additional_special_tokens as the file has them, or NULL */
} tri_template_sources;

/* path: as tri_chat_template_open says.  No template is no error: n is 0. */
tri_status tri_template_sources_read(
    tri_template_sources *sources, const char *path, tri_arena *arena, tri_error *err);

#endif
