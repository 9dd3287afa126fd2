#include "engine/file.h"

#include <stdio.h>
#include <string.h>

#include "base/codec.h"
#include "engine/file_upgrade.h"
#include "engine/recipe.h"

static bool starts(const char *name, const char *prefix) {
    return strncmp(name, prefix, strlen(prefix)) == 0;
}

tri_entry_kind tri_entry_kind_of(const char *name) {
    static const char *const plans[] = {"plan", "graph", "canonical_graph"};
    for (size_t i = 0; i < sizeof plans / sizeof *plans; i++) {
        if (strcmp(name, plans[i]) == 0) return TRI_ENTRY_PLAN;
    }
    if (strcmp(name, "checksums") == 0) return TRI_ENTRY_CHECKSUMS;
    if (starts(name, "pad.")) return TRI_ENTRY_PADDING;
    if (starts(name, "plugin.") || starts(name, "code.")) return TRI_ENTRY_CODE;
    return TRI_ENTRY_WEIGHT;
}

const char *tri_entry_kind_name(tri_entry_kind kind) {
    static const char *const names[] = {"weights", "plan", "code", "checksums", "padding"};
    return names[kind];
}

/* ---- sums ---- */

static tri_status check_sum(
    const void *bytes, int64_t n, uint64_t expected, const char *what, tri_error *err) {
    uint64_t sum = tri_hash64(bytes, (size_t)n, 0);
    if (sum == expected) return TRI_OK;
    return TRI_FAIL(err, TRI_E_CHECKSUM,
        "%s is damaged: its checksum is %016" PRIx64 ", %016" PRIx64 " was stored", what, sum,
        expected);
}

static tri_status check_sums(tri_engine_file *f, const uint8_t *bytes, tri_error *err) {
    const tri_safetensor *t = tri_safetensors_find(&f->file, "checksums");
    int64_t n = (int64_t)f->file.n_tensors + 2;
    if (!t || t->dtype != TRI_U64 || t->n_dims != 1 || t->dims[0] != n ||
        (uintptr_t)t->data % sizeof(uint64_t) != 0)
        return TRI_FAIL(err, TRI_E_FORMAT,
            "it has no tensor checksums, U64 [%" PRId64 "]: this is no engine, or a cut one", n);
    const uint64_t *sums = (const uint64_t *)(const void *)t->data;
    TRI_TRY(check_sum(sums, (n - 1) * (int64_t)sizeof *sums, sums[n - 1], "tensor checksums", err));
    TRI_TRY(check_sum(bytes, f->file.header_bytes, sums[0], "the header", err));
    for (int32_t i = 0; i < f->file.n_tensors; i++) {
        const tri_safetensor *s = &f->file.tensors[i];
        tri_entry_kind kind = tri_entry_kind_of(s->name);
        if (kind == TRI_ENTRY_WEIGHT || kind == TRI_ENTRY_CHECKSUMS) continue;
        TRI_TRY(check_sum(s->data, s->n_bytes, sums[i + 1], s->name, err));
    }
    f->checksums = sums + 1;
    return TRI_OK;
}

tri_status tri_engine_file_verify(const tri_engine_file *f, tri_error *err) {
    for (int32_t i = 0; i < f->file.n_tensors; i++) {
        const tri_safetensor *s = &f->file.tensors[i];
        if (tri_entry_kind_of(s->name) != TRI_ENTRY_WEIGHT) continue;
        TRI_TRY(check_sum(s->data, s->n_bytes, f->checksums[i], s->name, err));
    }
    return TRI_OK;
}

/* ---- texts ---- */

static tri_status find_text(
    const tri_engine_file *f, const char *name, tri_str *text, tri_error *err) {
    const tri_safetensor *t = tri_safetensors_find(&f->file, name);
    if (!t || t->dtype != TRI_U8 || t->n_bytes < 1)
        return TRI_FAIL(err, TRI_E_FORMAT, "it has no tensor %s", name);
    *text = (tri_str){(const char *)t->data, (size_t)t->n_bytes};
    return TRI_OK;
}

bool tri_engine_file_plugin(const tri_engine_file *f, int32_t launch, tri_str *bytes) {
    char name[32];
    (void)snprintf(name, sizeof name, "plugin.%" PRId32, launch);
    const tri_safetensor *t = tri_safetensors_find(&f->file, name);
    if (!t) return false;
    *bytes = (tri_str){(const char *)t->data, (size_t)t->n_bytes};
    return true;
}

/* ---- weights ---- */

static tri_status read_dims(const tri_json *shape, tri_type *type, tri_error *err) {
    if (!tri_json_is(shape, TRI_JSON_ARRAY) || shape->n < 1 || shape->n > TRI_MAX_DIMS)
        return TRI_FAIL(err, TRI_E_FORMAT, "shape is not a list of 1 to %d numbers", TRI_MAX_DIMS);
    type->n_dims = shape->n;
    for (int32_t i = 0; i < shape->n; i++) {
        if (!tri_json_is(&shape->items[i], TRI_JSON_NUMBER) ||
            !tri_json_number_i64(shape->items[i].text, &type->dims[i]) || type->dims[i] < 1)
            return TRI_FAIL(err, TRI_E_FORMAT, "shape[%" PRId32 "] is no positive integer", i);
    }
    return TRI_OK;
}

static tri_status read_type(const tri_json *entry, tri_type *type, tri_error *err) {
    const char *dtype = NULL, *layout = NULL;
    TRI_TRY(tri_json_read_string(entry, "dtype", &dtype, err));
    TRI_TRY(tri_json_read_string(entry, "layout", &layout, err));
    *type = (tri_type){.kind = TRI_TYPE_TENSOR, .layout = layout};
    if (!dtype || !layout || !tri_dtype_parse(dtype, &type->dtype))
        return TRI_FAIL(err, TRI_E_FORMAT, "dtype or layout is missing or unknown");
    TRI_TRY(read_dims(tri_json_get(entry, "shape"), type, err));
    if (tri_type_dense_bytes(type) < 0)
        return TRI_FAIL(err, TRI_E_FORMAT,
            "its shape cannot be: its size overflows, or its rows "
            "are no whole blocks");
    return TRI_OK;
}

/* The data's declaration fits the logical type; packed sizes are checked where layouts are known.
 */
static tri_status attach_data(const tri_engine_file *f, tri_engine_tensor *t, tri_error *err) {
    const tri_safetensor *data = tri_safetensors_find(&f->file, t->name);
    bool packed = strcmp(t->type.layout, "row") != 0;
    bool native = tri_dtype_get(t->type.dtype)->safetensors != NULL;
    if (!data) {
        if (f->spec.stripped) return TRI_OK;
        return TRI_FAIL(err, TRI_E_FORMAT, "its data is not in the file");
    }
    if (f->spec.stripped)
        return TRI_FAIL(err, TRI_E_FORMAT, "its data is in a file that says it was stripped");
    tri_dtype stored = packed || !native ? TRI_U8 : t->type.dtype;
    if (data->dtype != stored || (!packed && data->n_bytes != tri_type_dense_bytes(&t->type)) ||
        (uintptr_t)data->data % 64 != 0)
        return TRI_FAIL(err, TRI_E_FORMAT,
            "its data is %s of %" PRId64 " bytes, which it cannot be", tri_dtype_name(data->dtype),
            data->n_bytes);
    t->data = data->data;
    t->n_bytes = data->n_bytes;
    return TRI_OK;
}

static tri_status read_tensor(
    tri_engine_file *f, const tri_json *entry, tri_engine_tensor *t, tri_error *err) {
    const char *name = NULL;
    TRI_TRY(tri_json_read_string(entry, "name", &name, err));
    if (!name || tri_entry_kind_of(name) != TRI_ENTRY_WEIGHT)
        return TRI_FAIL(err, TRI_E_FORMAT, "a weight has no name, or one of the engine's own");
    t->name = name;
    t->derivation = "";
    tri_status rc = read_type(entry, &t->type, err);
    if (!rc) rc = tri_json_read_string(entry, "derivation", &t->derivation, err);
    if (!rc) rc = tri_json_read_string(entry, "lossy", &t->lossy, err);
    if (!rc) rc = attach_data(f, t, err);
    if (rc) tri_error_context(err, "weight %.200s", name);
    return rc;
}

static tri_status read_tensors(tri_engine_file *f, const tri_json *list, tri_error *err) {
    if (!tri_json_is(list, TRI_JSON_ARRAY))
        return TRI_FAIL(err, TRI_E_FORMAT, "trireme.tensors is no list");
    f->tensors = TRI_NEW_N(&f->arena, tri_engine_tensor, list->n + 1);
    if (!f->tensors) return TRI_FAIL(err, TRI_E_MEMORY, "out of memory");
    for (int32_t i = 0; i < list->n; i++)
        TRI_TRY(read_tensor(f, &list->items[i], &f->tensors[i], err));
    f->n_tensors = list->n;
    return TRI_OK;
}

/* ---- metadata ---- */

static tri_status metadata_json(
    tri_engine_file *f, const char *key, const tri_json **root, tri_error *err) {
    const char *text = NULL;
    TRI_TRY(tri_json_read_string(f->file.metadata, key, &text, err));
    if (!text) return TRI_FAIL(err, TRI_E_FORMAT, "metadata has no %s", key);
    tri_status rc = tri_json_parse(tri_str_of(text), &f->arena, root, err);
    if (rc) tri_error_context(err, "%s", key);
    return rc;
}

static tri_status read_format(tri_engine_file *f, tri_error *err) {
    const char *format = NULL;
    int64_t n = 0;
    TRI_TRY(tri_json_read_string(f->file.metadata, "trireme.format", &format, err));
    if (!format)
        return TRI_FAIL(err, TRI_E_FORMAT,
            "this is no engine: its metadata has no trireme.format (a checkpoint is built first: "
            "trireme build)");
    if (!tri_str_to_i64(tri_str_of(format), &n) || n < 1 || n > INT32_MAX)
        return TRI_FAIL(err, TRI_E_FORMAT, "trireme.format is '%.20s'", format);
    f->format = (int32_t)n;
    f->version = "unknown";
    return tri_json_read_string(f->file.metadata, "trireme.version", &f->version, err);
}

static tri_status read_metadata(tri_engine_file *f, tri_error *err) {
    const tri_json *build, *tensors;
    TRI_TRY(metadata_json(f, "trireme.build", &build, err));
    tri_status rc = tri_spec_read(&f->spec, build, &f->arena, err);
    if (rc) {
        tri_error_context(err, "trireme.build");
        return rc;
    }
    TRI_TRY(find_text(f, "plan", &f->plan, err));
    TRI_TRY(find_text(f, "graph", &f->graph, err));
    TRI_TRY(find_text(f, "canonical_graph", &f->canonical_graph, err));
    TRI_TRY(metadata_json(f, "trireme.tensors", &tensors, err));
    return read_tensors(f, tensors, err);
}

/* Everything is listed, or is the engine's own. */
static tri_status check_listed(const tri_engine_file *f, tri_error *err) {
    int32_t n_data = 0;
    for (int32_t i = 0; i < f->n_tensors; i++)
        n_data += f->tensors[i].data != NULL;
    for (int32_t i = 0; i < f->file.n_tensors; i++)
        n_data -= tri_entry_kind_of(f->file.tensors[i].name) == TRI_ENTRY_WEIGHT;
    if (n_data != 0)
        return TRI_FAIL(err, TRI_E_FORMAT, "%d tensors are not listed in trireme.tensors, or twice",
            (int)-n_data);
    return TRI_OK;
}

static tri_status read_file(tri_engine_file *f, const uint8_t *bytes, tri_error *err) {
    TRI_TRY(read_format(f, err));
    TRI_TRY(tri_engine_upgrade_check(f->format, f->version, err));
    TRI_TRY(check_sums(f, bytes, err));
    TRI_TRY(tri_engine_upgrade(f, err));
    TRI_TRY(read_metadata(f, err));
    return check_listed(f, err);
}

/* ---- opening ---- */

/* f->file is open; takes it over, or closes it. */
static tri_status finish(
    tri_engine_file *f, tri_engine_file *made, const uint8_t *bytes, tri_error *err) {
    tri_status rc = read_file(made, bytes, err);
    if (rc)
        tri_engine_file_close(made);
    else
        *f = *made;
    return rc;
}

tri_status tri_engine_file_open(tri_engine_file *f, const char *path, tri_error *err) {
    tri_engine_file made = {0};
    tri_arena_init(&made.arena, 0);
    tri_status rc = tri_safetensors_open(&made.file, path, &made.arena, err);
    if (rc) {
        tri_arena_deinit(&made.arena);
        return rc;
    }
    rc = finish(f, &made, made.file.map.data, err);
    if (rc) tri_error_context(err, "%s", path);
    return rc;
}

tri_status tri_engine_file_parse(
    tri_engine_file *f, const uint8_t *bytes, int64_t n_bytes, tri_error *err) {
    tri_engine_file made = {0};
    tri_arena_init(&made.arena, 0);
    tri_status rc = tri_safetensors_parse(&made.file, bytes, n_bytes, &made.arena, err);
    if (rc) {
        tri_arena_deinit(&made.arena);
        return rc;
    }
    return finish(f, &made, bytes, err);
}

void tri_engine_file_close(tri_engine_file *f) {
    tri_safetensors_close(&f->file);
    tri_arena_deinit(&f->arena);
    memset(f, 0, sizeof *f);
}

/* ---- against the graph ---- */

tri_status tri_engine_file_match(
    const tri_engine_file *f, const tri_stored *stored, int32_t n_stored, tri_error *err) {
    if (n_stored != f->n_tensors)
        return TRI_FAIL(err, TRI_E_FORMAT,
            "the graph uses %" PRId32 " stored tensors, trireme.tensors lists %" PRId32, n_stored,
            f->n_tensors);
    for (int32_t i = 0; i < n_stored; i++) {
        const tri_engine_tensor *t = &f->tensors[i];
        const tri_stored *s = &stored[i];
        if (strcmp(t->name, s->name) != 0 || !tri_type_equal(&t->type, &s->value->type) ||
            strcmp(t->derivation, s->derivation) != 0)
            return TRI_FAIL(err, TRI_E_FORMAT,
                "weight %.100s %s is listed where the graph has %.100s %s", t->name,
                tri_type_print(&t->type).s, s->name, tri_type_print(&s->value->type).s);
    }
    return TRI_OK;
}
