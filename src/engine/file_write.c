#include <stdlib.h>
#include <string.h>

#include "base/codec.h"
#include "engine/file.h"
#include "engine/recipe.h"

enum { SMALL_ALIGN = 64, FLUSH_BYTES = 32 << 20 };

/* One tensor of the file, in order. */
typedef struct slot {
    const char *name;
    int64_t n_bytes;
    int32_t stored; /* index of a weight, or -1 */
    tri_str bytes;  /* of what is no weight */
} slot;

typedef struct layout_plan {
    slot *slots;
    int32_t n_slots, n_pads;
    int64_t offset; /* from the start of the data, which is page-aligned */
    tri_arena *arena;
} layout_plan;

static const char *add_slot(
    layout_plan *p, const char *name, int64_t n_bytes, int32_t stored, tri_str bytes) {
    int64_t align = n_bytes >= TRI_ENGINE_PAGE ? TRI_ENGINE_PAGE : SMALL_ALIGN;
    int64_t pad = (align - p->offset % align) % align;
    if (pad > 0) {
        const char *pad_name = tri_arena_printf(p->arena, "pad.%" PRId32, p->n_pads++);
        p->slots[p->n_slots++] = (slot){.name = pad_name, .n_bytes = pad, .stored = -1};
        p->offset += pad;
        if (!pad_name) return NULL;
    }
    p->slots[p->n_slots++] =
        (slot){.name = name, .n_bytes = n_bytes, .stored = stored, .bytes = bytes};
    p->offset += n_bytes;
    return name;
}

static void add_text(layout_plan *p, const char *name, tri_str text) {
    add_slot(p, name, (int64_t)text.len, -1, text);
}

static tri_status plan_slots(
    layout_plan *p, const tri_engine_contents *c, tri_arena *arena, tri_error *err) {
    int32_t n_weights = c->spec->stripped ? 0 : c->n_stored;
    int32_t room = 2 * (4 + c->n_blobs + n_weights); /* each may need a pad before it */
    *p = (layout_plan){.arena = arena, .slots = TRI_NEW_N(arena, slot, room)};
    if (!p->slots) return TRI_FAIL(err, TRI_E_MEMORY, "out of memory");
    add_slot(p, "checksums", 0, -1, (tri_str){0}); /* its size is known at the end */
    p->offset = 0;
    add_text(p, "plan", c->plan);
    add_text(p, "graph", c->graph);
    add_text(p, "canonical_graph", c->canonical_graph);
    for (int32_t i = 0; i < c->n_blobs; i++)
        add_text(p, c->blobs[i].name, c->blobs[i].bytes);
    for (int32_t i = 0; i < n_weights; i++) {
        const char *name = c->stored[i].name;
        if (tri_entry_kind_of(name) != TRI_ENTRY_WEIGHT || strcmp(name, "__metadata__") == 0)
            return TRI_FAIL(err, TRI_E_ARGUMENT,
                "a weight is named %s, which engines use themselves: give it another name", name);
        add_slot(p, name, c->stored_bytes[i], i, (tri_str){0});
    }
    return TRI_OK;
}

/* The sums' size depends on how many tensors there are, pads included, and shifts what follows: a
 * whole number of pages keeps all that was planned. */
static int64_t checksum_bytes(const layout_plan *p) {
    return ((int64_t)p->n_slots + 2 + 1) * (int64_t)sizeof(uint64_t);
}

static void settle_checksums(layout_plan *p) {
    int64_t n = checksum_bytes(p);
    int64_t pad =
        TRI_ENGINE_PAGE - n % TRI_ENGINE_PAGE; /* not 0: readers differ on empty tensors */
    memmove(p->slots + 2, p->slots + 1, (size_t)(p->n_slots - 1) * sizeof(slot));
    p->slots[0].n_bytes = n;
    p->slots[1] = (slot){.name = "pad.sums", .n_bytes = pad, .stored = -1};
    p->n_slots++;
}

/* ---- header ---- */

static void write_dims(tri_json_writer *w, const tri_type *type) {
    tri_json_begin_array(w);
    for (int32_t i = 0; i < type->n_dims; i++)
        tri_json_i64(w, type->dims[i]);
    tri_json_end_array(w);
}

static void write_text(tri_json_writer *w, const char *key, const char *value) {
    tri_json_key(w, key);
    tri_json_string(w, tri_str_of(value));
}

static void write_tensors(tri_json_writer *w, const tri_engine_contents *c) {
    tri_json_begin_array(w);
    for (int32_t i = 0; i < c->n_stored; i++) {
        const tri_stored *s = &c->stored[i];
        tri_json_begin_object(w);
        write_text(w, "name", s->name);
        write_text(w, "dtype", tri_dtype_name(s->value->type.dtype));
        tri_json_key(w, "shape");
        write_dims(w, &s->value->type);
        write_text(w, "layout", s->value->type.layout);
        write_text(w, "derivation", s->derivation);
        if (!s->lossless) write_text(w, "lossy", s->lossy_step ? s->lossy_step : "unknown");
        tri_json_end_object(w);
    }
    tri_json_end_array(w);
}

static tri_status add_metadata(
    tri_safetensors_writer *w, const tri_engine_contents *c, tri_error *err) {
    tri_buf build = {0}, tensors = {0};
    tri_json_writer json;
    tri_json_writer_init(&json, &build, 0);
    tri_spec_write(c->spec, &json);
    tri_json_writer_init(&json, &tensors, 0);
    write_tensors(&json, c);
    tri_status rc = tri_buf_status(&build, err);
    if (!rc) rc = tri_buf_status(&tensors, err);
    if (!rc) rc = tri_safetensors_writer_metadata(w, "trireme.format", "1", err);
    if (!rc) rc = tri_safetensors_writer_metadata(w, "trireme.version", TRI_VERSION_STRING, err);
    if (!rc) rc = tri_safetensors_writer_metadata(w, "trireme.build", build.ptr, err);
    if (!rc) rc = tri_safetensors_writer_metadata(w, "trireme.tensors", tensors.ptr, err);
    tri_buf_deinit(&build);
    tri_buf_deinit(&tensors);
    return rc;
}

/* Dense weights of a dtype that safetensors has are declared as what they are. */
static tri_status declare_weight(tri_safetensors_writer *w, const char *name, const tri_type *type,
    int64_t n_bytes, tri_error *err) {
    int64_t bytes_dims[2] = {tri_type_rows(type), tri_type_row_bytes(type)};
    if (strcmp(type->layout, "row") != 0)
        return tri_safetensors_writer_declare(w, name, TRI_U8, &n_bytes, 1, err);
    if (!tri_dtype_get(type->dtype)->safetensors)
        return tri_safetensors_writer_declare(w, name, TRI_U8, bytes_dims, 2, err);
    return tri_safetensors_writer_declare(w, name, type->dtype, type->dims, type->n_dims, err);
}

static tri_status declare_slots(
    tri_safetensors_writer *w, const layout_plan *p, const tri_engine_contents *c, tri_error *err) {
    for (int32_t i = 0; i < p->n_slots; i++) {
        const slot *s = &p->slots[i];
        int64_t n_sums = s->n_bytes / (int64_t)sizeof(uint64_t);
        if (s->stored >= 0)
            TRI_TRY(declare_weight(w, s->name, &c->stored[s->stored].value->type, s->n_bytes, err));
        else if (i == 0)
            TRI_TRY(tri_safetensors_writer_declare(w, s->name, TRI_U64, &n_sums, 1, err));
        else
            TRI_TRY(tri_safetensors_writer_declare(w, s->name, TRI_U8, &s->n_bytes, 1, err));
    }
    return TRI_OK;
}

/* ---- data ---- */

/* Sums are taken as soon as a tensor is there, while it is in the caches. */
static tri_status fill_slots(const layout_plan *p, tri_safetensors_writer *w, uint8_t *file,
    int64_t header_bytes, tri_engine_fill fill, void *user, tri_error *err) {
    uint8_t *at = file + header_bytes;
    uint64_t *sums = (uint64_t *)(void *)at;
    int64_t flushed = 0;
    sums[0] = tri_hash64(file, (size_t)header_bytes, 0);
    for (int32_t i = 0; i < p->n_slots; i++) {
        const slot *s = &p->slots[i];
        if (s->stored >= 0) {
            tri_status rc = fill(user, s->stored, at, s->n_bytes, err);
            if (rc) {
                tri_error_context(err, "%s", s->name);
                return rc;
            }
        } else if (s->bytes.len > 0) {
            memcpy(at, s->bytes.ptr, s->bytes.len);
        }
        sums[i + 1] = i == 0 ? 0 : tri_hash64(at, (size_t)s->n_bytes, 0);
        at += s->n_bytes;
        if (at - file - flushed < FLUSH_BYTES) continue;
        tri_safetensors_writer_flush(w, flushed, at - file - flushed);
        flushed = at - file;
    }
    sums[p->n_slots + 1] = tri_hash64(sums, ((size_t)p->n_slots + 1) * sizeof *sums, 0);
    return TRI_OK;
}

tri_status tri_engine_file_write(const char *path, const tri_engine_contents *contents,
    tri_engine_fill fill, void *user, tri_error *err) {
    tri_safetensors_writer *w = NULL;
    tri_arena arena;
    layout_plan p;
    uint8_t *file;
    int64_t header_bytes, n_bytes;
    tri_arena_init(&arena, 0);
    tri_status rc = plan_slots(&p, contents, &arena, err);
    if (rc) goto done;
    settle_checksums(&p);
    rc = tri_safetensors_writer_open(&w, path, err);
    if (rc) goto done;
    rc = add_metadata(w, contents, err);
    if (!rc) rc = declare_slots(w, &p, contents, err);
    if (!rc) rc = tri_safetensors_writer_begin(w, TRI_ENGINE_PAGE, err);
    if (!rc) rc = tri_safetensors_writer_map(w, &file, &header_bytes, &n_bytes, err);
    if (!rc) rc = fill_slots(&p, w, file, header_bytes, fill, user, err);
    if (rc) goto done;
    rc = tri_safetensors_writer_commit(w, err);
    w = NULL;

done:
    if (w) tri_safetensors_writer_abandon(w);
    if (rc) tri_error_context(err, "writing %s", path);
    tri_arena_deinit(&arena);
    return rc;
}
