#include <string.h>

#include "base/json.h"
#include "engine/inspect.h"

static void write_text(tri_json_writer *w, const char *key, const char *value) {
    tri_json_key(w, key);
    tri_json_string(w, tri_str_of(value));
}

static void write_i64(tri_json_writer *w, const char *key, int64_t value) {
    tri_json_key(w, key);
    tri_json_i64(w, value);
}

static void write_entry(tri_json_writer *w, const tri_inspect_entry *e) {
    tri_json_begin_object(w);
    write_text(w, "name", e->name);
    write_text(w, "kind", tri_entry_kind_name(e->kind));
    write_text(w, "dtype", e->dtype);
    tri_json_key(w, "shape");
    tri_json_begin_array(w);
    for (int32_t i = 0; i < e->n_dims; i++)
        tri_json_i64(w, e->dims[i]);
    tri_json_end_array(w);
    write_text(w, "layout", e->layout);
    write_i64(w, "bytes", e->n_bytes);
    if (e->derivation) write_text(w, "derivation", e->derivation);
    if (e->lossy) write_text(w, "lossy", e->lossy);
    if (e->stripped) {
        tri_json_key(w, "stripped");
        tri_json_bool(w, true);
    }
    tri_json_end_object(w);
}

static void write_file(tri_json_writer *w, const tri_inspect_file *f) {
    tri_json_begin_object(w);
    write_text(w, "name", f->name);
    write_i64(w, "bytes", f->n_bytes);
    write_i64(w, "header_bytes", f->header_bytes);
    tri_json_key(w, "entries");
    tri_json_begin_array(w);
    for (int32_t i = 0; i < f->n_entries; i++)
        write_entry(w, &f->entries[i]);
    tri_json_end_array(w);
    tri_json_end_object(w);
}

void tri_inspect_show_json(const tri_inspection *in, uint32_t what, tri_buf *out) {
    tri_json_writer w;
    (void)what;
    tri_json_writer_init(&w, out, 2);
    tri_json_begin_object(&w);
    write_text(&w, "path", in->path);
    write_text(&w, "what", in->what);
    for (int32_t i = 0; i < in->n_facts; i++)
        write_text(&w, in->facts[i].key, in->facts[i].value);
    tri_json_key(&w, "files");
    tri_json_begin_array(&w);
    for (int32_t f = 0; f < in->n_files; f++)
        write_file(&w, &in->files[f]);
    tri_json_end_array(&w);
    if (in->graph) write_text(&w, "graph", in->graph);
    if (in->plan) write_text(&w, "plan", in->plan);
    tri_json_end_object(&w);
    tri_buf_putc(out, '\n');
}
