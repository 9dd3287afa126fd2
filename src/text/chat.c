/* chat.c - ChatML: "<|im_start|>role\ncontent<|im_end|>\n" a message, then
 * "<|im_start|>assistant\n".
 *
 * A template is taken for ChatML when it writes messages in just that form; the default system
 * message that some add when the conversation has none is read out of it. */
#include "text/chat.h"

#include <stdlib.h>
#include <string.h>

#include "base/file.h"
#include "base/json.h"
#include "data/gguf.h"
#include "trireme/graph.h"

enum { MAX_TEMPLATE_BYTES = 1 << 20, MAX_CONFIG_BYTES = 16 << 20 };

struct tri_chatml {
    tri_arena arena;
    tri_str default_system; /* empty: none */
};

/* ---- finding the template ---- */

static tri_status template_of_gguf(
    const char *path, tri_arena *arena, tri_str *text, tri_error *err) {
    tri_gguf gguf;
    tri_arena scratch;
    tri_str found = {0};
    tri_arena_init(&scratch, 0);
    tri_status rc = tri_gguf_open(&gguf, path, &scratch, err);
    if (!rc) {
        rc = tri_gguf_read_str(&gguf, "tokenizer.chat_template", &found, err);
        if (!rc && found.len) {
            char *copy = tri_arena_strndup(arena, found.ptr, found.len);
            *text = (tri_str){copy, copy ? found.len : 0};
        }
        tri_gguf_close(&gguf);
    }
    tri_arena_deinit(&scratch);
    return rc;
}

static tri_status template_of_config(
    const char *path, tri_arena *arena, tri_str *text, tri_error *err) {
    tri_str json;
    const tri_json *root;
    const char *value = NULL;
    TRI_TRY(tri_file_read(path, MAX_CONFIG_BYTES, arena, &json, err));
    TRI_TRY(tri_json_parse(json, arena, &root, err));
    TRI_TRY(tri_json_read_string(root, "chat_template", &value, err));
    if (value) *text = tri_str_of(value);
    return TRI_OK;
}

static tri_status find_template(const char *path, tri_arena *arena, tri_str *text, tri_error *err) {
    if (!tri_path_is_dir(path)) return template_of_gguf(path, arena, text, err);
    const char *jinja = tri_path_join(arena, path, "chat_template.jinja");
    const char *config = tri_path_join(arena, path, "tokenizer_config.json");
    const char *gguf = tri_path_join(arena, path, "tokenizer.gguf");
    if (!jinja || !config || !gguf) return TRI_FAIL(err, TRI_E_MEMORY, "no memory for a path");
    if (tri_path_exists(jinja)) return tri_file_read(jinja, MAX_TEMPLATE_BYTES, arena, text, err);
    if (tri_path_exists(config)) {
        TRI_TRY(template_of_config(config, arena, text, err));
        if (text->len) return TRI_OK;
    }
    if (tri_path_exists(gguf)) return template_of_gguf(gguf, arena, text, err);
    return TRI_OK;
}

/* ---- reading it ---- */

static const char *find_in(tri_str text, const char *needle) {
    return memmem(text.ptr, text.len, needle, strlen(needle));
}

/* Template source writes a newline as itself or as \n. */
static bool has_either(tri_str text, const char *real, const char *escaped) {
    return find_in(text, real) || find_in(text, escaped);
}

static bool is_chatml(tri_str text) {
    return find_in(text, "<|im_start|>") && find_in(text, "<|im_end|>") &&
           has_either(text, "<|im_start|>assistant\n", "<|im_start|>assistant\\n") &&
           !find_in(text, "tool_call") && !find_in(text, "raise_exception") &&
           !find_in(text, "<think>");
}

static tri_status read_default_system(tri_chatml *t, tri_str text, tri_error *err) {
    static const char *const starts[] = {"<|im_start|>system\n", "<|im_start|>system\\n"};
    for (int i = 0; i < 2; i++) {
        const char *at = find_in(text, starts[i]);
        if (!at) continue;
        at += strlen(starts[i]);
        tri_str rest = {at, text.len - (size_t)(at - text.ptr)};
        const char *end = find_in(rest, "<|im_end|>");
        /* A quote or a brace in between: it is put together from variables, not a fixed text. */
        size_t n = end ? (size_t)(end - at) : 0;
        if (n == 0 || memchr(at, '{', n) || memchr(at, '\'', n) || memchr(at, '"', n)) continue;
        char *copy = tri_arena_strndup(&t->arena, at, n);
        if (!copy) return TRI_FAIL(err, TRI_E_MEMORY, "no memory for the system message");
        t->default_system = (tri_str){copy, n};
        return TRI_OK;
    }
    return TRI_OK;
}

tri_status tri_chatml_open(tri_chatml **chat, const char *path, tri_error *err) {
    tri_status rc = TRI_OK;
    tri_str text = {0};
    tri_arena scratch;
    tri_chatml *t = calloc(1, sizeof *t);
    if (!t) return TRI_FAIL(err, TRI_E_MEMORY, "no memory for a chat template");
    tri_arena_init(&t->arena, 0);
    tri_arena_init(&scratch, 0);
    rc = find_template(path, &scratch, &text, err);
    if (rc) goto done;
    if (!text.len) {
        rc = TRI_FAIL(err, TRI_E_NOT_FOUND,
            "the model brings no chat template; --raw takes the prompt as it is");
        goto done;
    }
    if (!is_chatml(text)) {
        rc = TRI_FAIL(err, TRI_E_UNSUPPORTED,
            "the model's chat template is not plain ChatML, the kind that is supported; --raw "
            "takes the "
            "prompt as it is");
        goto done;
    }
    rc = read_default_system(t, text, err);
    if (!rc) *chat = t;

done:
    tri_arena_deinit(&scratch);
    if (rc) {
        tri_chatml_close(t);
        tri_error_context(err, "chat template of %s", path);
    }
    return rc;
}

void tri_chatml_close(tri_chatml *t) {
    if (!t) return;
    tri_arena_deinit(&t->arena);
    free(t);
}

/* ---- rendering: the same walk gives text and ids ---- */

typedef struct sink { /* marker: the template's own text; else a message's */
    void *user;
    tri_status (*put)(void *user, tri_str text, bool marker, tri_error *err);
} sink;

static tri_status put_message(sink *s, tri_str role, tri_str content, tri_error *err) {
    TRI_TRY(s->put(s->user, TRI_STR("<|im_start|>"), true, err));
    TRI_TRY(s->put(s->user, role, false, err));
    TRI_TRY(s->put(s->user, TRI_STR("\n"), false, err));
    TRI_TRY(s->put(s->user, content, false, err));
    TRI_TRY(s->put(s->user, TRI_STR("<|im_end|>"), true, err));
    return s->put(s->user, TRI_STR("\n"), false, err);
}

static tri_status walk(const tri_chatml *t, const tri_chat_message *messages, int32_t n_messages,
    bool add_generation_prompt, sink *s, tri_error *err) {
    bool has_system = n_messages > 0 && !strcmp(messages[0].role, "system");
    if (t->default_system.len && n_messages > 0 && !has_system) {
        TRI_TRY(put_message(s, TRI_STR("system"), t->default_system, err));
    }
    for (int32_t i = 0; i < n_messages; i++) {
        TRI_TRY(put_message(s, tri_str_of(messages[i].role), tri_str_of(messages[i].content), err));
    }
    if (!add_generation_prompt) return TRI_OK;
    TRI_TRY(s->put(s->user, TRI_STR("<|im_start|>"), true, err));
    return s->put(s->user, TRI_STR("assistant\n"), false, err);
}

static tri_status put_text(void *user, tri_str text, bool marker, tri_error *err) {
    (void)marker;
    tri_buf_append(user, text.ptr, text.len);
    return tri_buf_status(user, err);
}

tri_status tri_chatml_render(const tri_chatml *t, const tri_chat_message *messages,
    int32_t n_messages, bool add_generation_prompt, tri_buf *out, tri_error *err) {
    return walk(t, messages, n_messages, add_generation_prompt, &(sink){out, put_text}, err);
}

typedef struct id_sink {
    const tri_tokenizer *tokenizer;
    tri_buf text; /* plain text since the last marker: words may span role, newline and content */
    tri_buf ids;
} id_sink;

static tri_status flush_text(id_sink *s, tri_error *err) {
    int32_t *ids, n;
    TRI_TRY(tri_buf_status(&s->text, err));
    if (!s->text.len) return TRI_OK;
    TRI_TRY(tri_tokenizer_encode(s->tokenizer, s->text.ptr, s->text.len, NULL, &ids, &n, err));
    tri_buf_append(&s->ids, ids, sizeof *ids * (size_t)n);
    tri_free(ids);
    tri_buf_clear(&s->text);
    return TRI_OK;
}

static tri_status put_ids(void *user, tri_str text, bool marker, tri_error *err) {
    id_sink *s = user;
    if (!marker) {
        tri_buf_append(&s->text, text.ptr, text.len);
        return tri_buf_status(&s->text, err);
    }
    TRI_TRY(flush_text(s, err));
    int32_t id = tri_tokenizer_find(s->tokenizer, text.ptr, text.len);
    if (id < 0) {
        return TRI_FAIL(err, TRI_E_FORMAT, "the tokenizer lacks the template's token %.*s",
            (int)text.len, text.ptr);
    }
    tri_buf_append(&s->ids, &id, sizeof id);
    return tri_buf_status(&s->ids, err);
}

tri_status tri_chatml_encode(const tri_chatml *t, const tri_tokenizer *tokenizer,
    const tri_chat_message *messages, int32_t n_messages, bool add_generation_prompt, int32_t **ids,
    int32_t *n_ids, tri_error *err) {
    id_sink s = {.tokenizer = tokenizer};
    tri_status rc = walk(t, messages, n_messages, add_generation_prompt, &(sink){&s, put_ids}, err);
    if (!rc) rc = flush_text(&s, err);
    if (!rc) rc = tri_buf_status(&s.ids, err);
    tri_buf_deinit(&s.text);
    if (rc) {
        tri_buf_deinit(&s.ids);
        return rc;
    }
    *ids = (int32_t *)(void *)s.ids.ptr;
    *n_ids = (int32_t)(s.ids.len / sizeof(int32_t));
    return TRI_OK;
}
