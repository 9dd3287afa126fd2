/* load_json.c - tokenizer.json: its sections, added tokens and post-processor.  `truncation` and
 * `padding` are what a trainer asked of batches; they are nothing to one text. */
#include "text/load_json.h"

#include <string.h>

#include "text/wordlevel.h"

/* ---- post-processor ---- */

static tri_status put_item(
    tri_template_item *items, int32_t *n, tri_template_item item, tri_error *err) {
    if (*n == TRI_MAX_TEMPLATE) {
        return TRI_FAIL(err, TRI_E_LIMIT, "more than %d tokens and sequences", TRI_MAX_TEMPLATE);
    }
    items[(*n)++] = item;
    return TRI_OK;
}

/* Where the sequence goes in a new template stands what the template before made of it. */
static tri_status put_sequence(
    const tri_tokenizer *t, tri_template_item *items, int32_t *n, tri_error *err) {
    if (t->n_single == 0) return put_item(items, n, (tri_template_item){.id = -1}, err);
    for (int32_t i = 0; i < t->n_single; i++)
        TRI_TRY(put_item(items, n, t->single[i], err));
    return TRI_OK;
}

static tri_status put_id(const tri_tokenizer *t, const tri_json *value, tri_template_item *items,
    int32_t *n, tri_error *err) {
    int64_t id;
    if (!tri_json_is(value, TRI_JSON_NUMBER) || !tri_json_number_i64(value->text, &id) || id < 0 ||
        id >= t->n_tokens) {
        return TRI_FAIL(
            err, TRI_E_FORMAT, "a special token's id is no number in [0, %d)", t->n_tokens);
    }
    return put_item(items, n, (tri_template_item){.id = (int32_t)id}, err);
}

static tri_status read_template(const tri_tokenizer *t, const tri_json *value,
    tri_template_item *items, int32_t *n, tri_error *err) {
    const tri_json *single = tri_json_get(value, "single");
    const tri_json *specials = tri_json_get(value, "special_tokens");
    if (!tri_json_is(single, TRI_JSON_ARRAY)) {
        return TRI_FAIL(err, TRI_E_FORMAT, "single is no list");
    }
    for (int32_t i = 0; i < single->n; i++) {
        const tri_json *special = tri_json_get(&single->items[i], "SpecialToken");
        const tri_json *sequence = tri_json_get(&single->items[i], "Sequence");
        const char *name = "";
        TRI_TRY(tri_json_read_string(special ? special : sequence, "id", &name, err));
        if (!special) {
            if (strcmp(name, "A") != 0) {
                return TRI_FAIL(err, TRI_E_FORMAT, "single[%d] is neither a token nor $A", i);
            }
            TRI_TRY(put_sequence(t, items, n, err));
            continue;
        }
        const tri_json *ids = tri_json_get(tri_json_get(specials, name), "ids");
        if (!tri_json_is(ids, TRI_JSON_ARRAY)) {
            return TRI_FAIL(err, TRI_E_FORMAT, "special_tokens has no ids for '%.60s'", name);
        }
        for (int32_t k = 0; k < ids->n; k++)
            TRI_TRY(put_id(t, &ids->items[k], items, n, err));
    }
    return TRI_OK;
}

/* ["[SEP]", 102] */
static tri_status put_named(const tri_tokenizer *t, const tri_json *value, const char *key,
    tri_template_item *items, int32_t *n, tri_error *err) {
    const tri_json *pair = tri_json_get(value, key);
    if (!tri_json_is(pair, TRI_JSON_ARRAY) || pair->n != 2) {
        return TRI_FAIL(err, TRI_E_FORMAT, "%s is no [token, id]", key);
    }
    return put_id(t, &pair->items[1], items, n, err);
}

static tri_status load_post_processor(tri_tokenizer *t, const tri_json *value, tri_error *err) {
    tri_str type = tri_load_json_type(value);
    tri_template_item items[TRI_MAX_TEMPLATE];
    int32_t n = 0;
    if (tri_str_is(type, "ByteLevel")) return TRI_OK; /* offsets alone */
    if (tri_str_is(type, "Sequence")) {
        const tri_json *list = tri_json_get(value, "processors");
        for (int32_t i = 0; tri_json_is(list, TRI_JSON_ARRAY) && i < list->n; i++)
            TRI_TRY(load_post_processor(t, &list->items[i], err));
        return TRI_OK;
    }
    if (tri_str_is(type, "TemplateProcessing")) {
        TRI_TRY(read_template(t, value, items, &n, err));
    } else if (tri_str_is(type, "BertProcessing") || tri_str_is(type, "RobertaProcessing")) {
        TRI_TRY(put_named(t, value, "cls", items, &n, err));
        TRI_TRY(put_sequence(t, items, &n, err));
        TRI_TRY(put_named(t, value, "sep", items, &n, err));
    } else {
        return TRI_FAIL(err, TRI_E_UNSUPPORTED, "a post_processor of type '%.*s' is not known here",
            (int)(type.len < 60 ? type.len : 60), type.ptr);
    }
    memcpy(t->single, items, sizeof *items * (size_t)n);
    t->n_single = n;
    return TRI_OK;
}

/* ---- added tokens ---- */

static tri_status read_added(
    tri_tokenizer *t, const tri_json *item, tri_added_token *a, tri_error *err) {
    *a = (tri_added_token){.id = -1, .normalized = true};
    TRI_TRY(tri_json_read_i32(item, "id", 0, INT32_MAX - 1, &a->id, err));
    TRI_TRY(tri_load_json_string(t, item, "content", &a->text, err));
    TRI_TRY(tri_json_read_bool(item, "special", &a->special, err));
    a->normalized = !a->special;
    TRI_TRY(tri_json_read_bool(item, "normalized", &a->normalized, err));
    TRI_TRY(tri_json_read_bool(item, "lstrip", &a->lstrip, err));
    TRI_TRY(tri_json_read_bool(item, "rstrip", &a->rstrip, err));
    TRI_TRY(tri_json_read_bool(item, "single_word", &a->single_word, err));
    if (a->id < 0) {
        return TRI_FAIL(err, TRI_E_FORMAT, "'%.*s' has no id",
            (int)(a->text.len < 60 ? a->text.len : 60), a->text.ptr ? a->text.ptr : "");
    }
    return TRI_OK;
}

static tri_status load_added(tri_tokenizer *t, const tri_json *list, tri_error *err) {
    if (!tri_json_is(list, TRI_JSON_ARRAY)) return TRI_OK;
    t->added = TRI_NEW_N(&t->arena, tri_added_token, list->n);
    if (!t->added) return TRI_FAIL(err, TRI_E_MEMORY, "no memory for %d added tokens", list->n);
    for (int32_t i = 0; i < list->n; i++) {
        tri_added_token a;
        TRI_TRY(read_added(t, &list->items[i], &a, err));
        if (a.text.len) t->added[t->n_added++] = a;
    }
    return TRI_OK;
}

/* A token that the model has takes the model's id, as Hugging Face's loader does. */
static tri_status place_added(tri_tokenizer *t, tri_error *err) {
    for (int32_t i = 0; i < t->n_added; i++) {
        tri_added_token *a = &t->added[i];
        int32_t id = tri_tokenizer_find_model(t, a->text);
        if (id >= 0) a->id = id;
        TRI_TRY(tri_tokenizer_set_token(t, a->id, a->text, err));
    }
    return TRI_OK;
}

/* ---- the file ---- */

typedef struct sections {
    const tri_json *normalizer, *pre_tokenizer, *decoder, *post_processor, *added_tokens;
    tri_json_model model;
    bool has_model;
} sections;

static tri_status read_tree(
    tri_json_reader *r, const tri_json **value, tri_arena *arena, tri_error *err) {
    const char *begin = r->at;
    TRI_TRY(tri_json_skip(r, err));
    while (begin < r->at &&
           (*begin == ':' || *begin == ' ' || *begin == '\n' || *begin == '\r' || *begin == '\t')) {
        begin++;
    }
    return tri_json_parse((tri_str){begin, (size_t)(r->at - begin)}, arena, value, err);
}

static tri_status read_sections(sections *s, tri_str json, tri_arena *arena, tri_error *err) {
    tri_json_reader r;
    tri_json_event e;
    tri_json_reader_init(&r, json);
    TRI_TRY(tri_json_next(&r, &e, err));
    if (e.kind != TRI_JSON_OBJECT) return TRI_FAIL(err, TRI_E_FORMAT, "it is no object");
    for (;;) {
        TRI_TRY(tri_json_next(&r, &e, err));
        if (e.kind == TRI_JSON_END_OBJECT) return tri_json_next(&r, &e, err);
        const struct {
            const char *key;
            const tri_json **value;
        } trees[] = {{"normalizer", &s->normalizer}, {"pre_tokenizer", &s->pre_tokenizer},
            {"decoder", &s->decoder}, {"post_processor", &s->post_processor},
            {"added_tokens", &s->added_tokens}};
        bool known = false;
        for (size_t i = 0; i < sizeof trees / sizeof *trees && !known; i++) {
            known = tri_str_is(e.raw, trees[i].key);
            if (known) TRI_TRY(read_tree(&r, trees[i].value, arena, err));
        }
        if (known) continue;
        if (tri_str_is(e.raw, "model")) {
            TRI_TRY(tri_json_model_read(&s->model, &r, err));
            s->has_model = true;
        } else {
            TRI_TRY(tri_json_skip(&r, err));
        }
    }
}

/* One past the largest id.  Ids leave few holes: far more ids than tokens is no tokenizer. */
static tri_status count_tokens(
    const tri_tokenizer *t, const tri_json_model *m, int64_t *n_tokens, tri_error *err) {
    const tri_json_view *pieces = (const tri_json_view *)(const void *)m->pieces.ptr;
    size_t n = m->pieces.len / sizeof *pieces;
    int64_t most = -1;
    for (size_t i = 0; i < n; i++) {
        if (pieces[i].id > most) most = pieces[i].id;
    }
    for (int32_t i = 0; i < t->n_added; i++) {
        if (t->added[i].id > most) most = t->added[i].id;
    }
    if (most > 16 * ((int64_t)n + t->n_added) + 65536) {
        return TRI_FAIL(err, TRI_E_FORMAT, "%zu tokens with ids up to %" PRId64, n, most);
    }
    *n_tokens = most + 1;
    return TRI_OK;
}

static tri_status load(tri_tokenizer *t, const sections *s, tri_error *err) {
    int64_t n_tokens;
    if (!s->has_model) return TRI_FAIL(err, TRI_E_FORMAT, "it has no model");
    TRI_TRY(tri_load_json_normalizer(t, s->normalizer, err));
    TRI_TRY(tri_load_json_pre_tokenizer(t, s->pre_tokenizer, err));
    TRI_TRY(tri_load_json_decoder(t, s->decoder, err));
    tri_status rc = load_added(t, s->added_tokens, err);
    if (rc) {
        tri_error_context(err, "added_tokens");
        return rc;
    }
    TRI_TRY(count_tokens(t, &s->model, &n_tokens, err));
    rc = tri_json_model_build(t, &s->model, n_tokens, err);
    if (rc) {
        tri_error_context(err, "model");
        return rc;
    }
    TRI_TRY(place_added(t, err));
    if (!tri_json_is(s->post_processor, TRI_JSON_OBJECT)) return TRI_OK;
    rc = load_post_processor(t, s->post_processor, err);
    if (rc) tri_error_context(err, "post_processor");
    return rc;
}

tri_status tri_load_tokenizer_json(tri_tokenizer *t, tri_str json, tri_error *err) {
    tri_arena scratch;
    sections s = {0};
    tri_arena_init(&scratch, 0);
    tri_status rc = json.len > INT32_MAX
                        ? TRI_FAIL(err, TRI_E_LIMIT, "%zu bytes; at most 2 GB", json.len)
                        : read_sections(&s, json, &scratch, err);
    if (!rc) rc = load(t, &s, err);
    tri_json_model_deinit(&s.model);
    tri_arena_deinit(&scratch);
    return rc;
}
