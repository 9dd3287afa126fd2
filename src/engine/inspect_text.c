/* inspect_text.c - an inspection for people: the summary folds the layers of a model into one line
 * for each kind of tensor, --weights lists them all. */
#include <stdio.h>
#include <string.h>

#include "base/map.h"
#include "engine/inspect.h"

typedef struct shape_text {
    char s[96];
} shape_text;

static shape_text shape_of(const tri_inspect_entry *e) {
    shape_text out = {.s = "["};
    size_t n = 1;
    for (int32_t i = 0; i < e->n_dims && n < sizeof out.s - 24; i++)
        n += (size_t)snprintf(out.s + n, sizeof out.s - n, "%s%" PRId64, i ? ", " : "", e->dims[i]);
    (void)snprintf(out.s + n, sizeof out.s - n, "]");
    return out;
}

static int width_of(const tri_inspect_file *f) {
    int width = 20;
    for (int32_t i = 0; i < f->n_entries; i++) {
        int n = (int)strlen(f->entries[i].name);
        if (n > width && n <= 64) width = n;
    }
    return width;
}

/* ---- parts ---- */

static void show_head(const tri_inspection *in, tri_buf *out) {
    tri_buf_printf(out, "%s: %s\n", in->path, in->what);
    for (int32_t i = 0; i < in->n_facts; i++) {
        char label[32];
        (void)snprintf(label, sizeof label, "%s", in->facts[i].key);
        for (char *c = label; *c; c++)
            *c = *c == '_' ? ' ' : *c;
        tri_buf_printf(out, "  %-10s  %s\n", label, in->facts[i].value);
    }
}

typedef struct share {
    int32_t n_entries;
    int64_t n_bytes;
} share;

static int64_t add_shares(const tri_inspection *in, share shares[TRI_N_ENTRY_KINDS]) {
    int64_t total = 0;
    for (int32_t f = 0; f < in->n_files; f++) {
        total += in->files[f].n_bytes;
        for (int32_t i = 0; i < in->files[f].n_entries; i++) {
            const tri_inspect_entry *e = &in->files[f].entries[i];
            shares[e->kind].n_entries++;
            shares[e->kind].n_bytes += e->n_bytes;
        }
    }
    return total;
}

static void show_share(tri_buf *out, const char *name, int32_t n, int64_t bytes, int64_t total) {
    if (n >= 0)
        tri_buf_printf(out, "  %-10s %8" PRId32, name, n);
    else
        tri_buf_printf(out, "  %-10s %8s", name, "");
    tri_buf_printf(out, "  %10s  %5.1f %%\n", tri_inspect_bytes(bytes).s,
        total > 0 ? 100.0 * (double)bytes / (double)total : 0.0);
}

/* Weights or code? */
static void show_kinds(const tri_inspection *in, tri_buf *out) {
    share shares[TRI_N_ENTRY_KINDS] = {0};
    int64_t total = add_shares(in, shares), listed = 0;
    tri_buf_printf(out, "\n  %-10s %8s  %10s  %7s\n", "kind", "entries", "bytes", "share");
    for (int32_t k = 0; k < TRI_N_ENTRY_KINDS; k++) {
        listed += shares[k].n_bytes;
        bool always = k == TRI_ENTRY_WEIGHT || k == TRI_ENTRY_CODE;
        if (shares[k].n_entries > 0 || always)
            show_share(out, tri_entry_kind_name((tri_entry_kind)k), shares[k].n_entries,
                shares[k].n_bytes, total);
    }
    show_share(out, "headers", -1, total - listed, total);
    show_share(out, "all", -1, total, total);
    int32_t n_code = shares[TRI_ENTRY_CODE].n_entries;
    double weights =
        total > 0 ? 100.0 * (double)shares[TRI_ENTRY_WEIGHT].n_bytes / (double)total : 0;
    tri_buf_printf(out, "\n  Weights or code?  %.1f %% of it are weights", weights);
    if (n_code == 0)
        tri_buf_puts(out, "; there is no code in it.\n");
    else
        tri_buf_printf(out, "; %" PRId32 " entries are code, or data of plugins.\n", n_code);
}

static void show_entry(
    const tri_inspect_entry *e, int32_t count, int width, bool weights, tri_buf *out) {
    char times[16] = "";
    if (count > 1) (void)snprintf(times, sizeof times, "%" PRId32 " x", count);
    tri_buf_printf(out, "  %-*s  ", width, e->name);
    if (!weights) tri_buf_printf(out, "%8s  ", times);
    tri_buf_printf(out, "%-9s  %-6s  %-16s  %10s", tri_entry_kind_name(e->kind), e->dtype,
        e->kind == TRI_ENTRY_WEIGHT ? shape_of(e).s : "",
        e->stripped ? "stripped" : tri_inspect_bytes(e->n_bytes).s);
    if (weights && e->kind == TRI_ENTRY_WEIGHT) {
        tri_buf_printf(out, "  %-8s", e->layout);
        if (e->derivation) tri_buf_printf(out, "  %s", e->derivation);
        if (e->lossy) tri_buf_printf(out, "  (lossy: %s)", e->lossy);
    }
    tri_buf_putc(out, '\n');
}

/* ---- folding ---- */

typedef struct fold {
    tri_inspect_entry entry; /* n_bytes: of all */
    int32_t count;
} fold;

/* "layers.12.mlp.fc" as "layers.*.mlp.fc": the first part that is a number. */
static char *star_number(const char *name, tri_arena *arena) {
    char *copy = tri_arena_strdup(arena, name);
    for (char *part = copy; part && *part;) {
        size_t n = strcspn(part, "."), digits = strspn(part, "0123456789");
        if (n > 0 && n == digits) {
            *part = '*';
            memmove(part + 1, part + n, strlen(part + n) + 1);
            return copy;
        }
        part += n + (part[n] == '.');
    }
    return copy;
}

/* Entries alike but for the layer's number, in the order of their first.  False: no memory. */
static bool fold_entries(const tri_inspect_file *f, fold *folds, int32_t *n, tri_arena *arena) {
    tri_map seen = {0};
    bool ok = true;
    for (int32_t i = 0; ok && i < f->n_entries; i++) {
        const tri_inspect_entry *e = &f->entries[i];
        if (e->kind == TRI_ENTRY_PADDING) continue; /* counted above */
        char *name = star_number(e->name, arena);
        char *key = name ? tri_arena_printf(arena, "%s %d %d %s %s", name, (int)e->kind,
                               (int)e->stripped, e->dtype, shape_of(e).s)
                         : NULL;
        int64_t at = *n;
        if (key && tri_map_get(&seen, tri_str_of(key), &at)) {
            folds[at].entry.n_bytes += e->n_bytes;
            folds[at].entry.name = name;
            folds[at].count++;
            continue;
        }
        ok = key && tri_map_put(&seen, tri_str_of(key), at, NULL) == TRI_OK;
        folds[(*n)++] = (fold){*e, 1};
    }
    tri_map_deinit(&seen);
    return ok;
}

static void show_folded(const tri_inspect_file *f, int width, tri_buf *out) {
    tri_arena arena;
    int32_t n = 0;
    tri_arena_init(&arena, 0);
    fold *folds = TRI_NEW_N(&arena, fold, f->n_entries);
    if (f->n_entries > 0 && (!folds || !fold_entries(f, folds, &n, &arena))) out->failed = true;
    for (int32_t i = 0; i < n; i++)
        show_entry(&folds[i].entry, folds[i].count, width, false, out);
    tri_arena_deinit(&arena);
}

static void show_entries(const tri_inspect_file *f, bool weights, tri_buf *out) {
    int width = width_of(f);
    tri_buf_printf(out, "\n  %s, %s\n", f->name, tri_inspect_bytes(f->n_bytes).s);
    tri_buf_printf(out, "  %-*s  ", width, "entry");
    if (!weights) tri_buf_printf(out, "%8s  ", "");
    tri_buf_printf(out, "%-9s  %-6s  %-16s  %10s%s\n", "kind", "dtype", "shape", "bytes",
        weights ? "  layout    derivation" : "");
    if (!weights) {
        show_folded(f, width, out);
        return;
    }
    for (int32_t i = 0; i < f->n_entries; i++)
        if (f->entries[i].kind == TRI_ENTRY_WEIGHT) show_entry(&f->entries[i], 1, width, true, out);
}

/* ---- what files say, fit for a terminal ---- */

static const char *fit(const char *text, tri_arena *arena, bool *ok) {
    tri_buf shown = {0};
    if (!text) return NULL;
    tri_buf_put_escaped(&shown, tri_str_of(text));
    if (shown.failed) *ok = false;
    if (!shown.failed && shown.len != strlen(text)) {
        text = tri_arena_strdup(arena, shown.ptr);
        if (!text) *ok = false;
    }
    tri_buf_deinit(&shown);
    return text;
}

static bool fit_names(tri_inspection *in) {
    bool ok = true;
    in->path = fit(in->path, &in->arena, &ok);
    for (int32_t i = 0; i < in->n_facts; i++)
        in->facts[i].value = fit(in->facts[i].value, &in->arena, &ok);
    for (int32_t f = 0; f < in->n_files; f++) {
        tri_inspect_file *file = &in->files[f];
        file->name = fit(file->name, &in->arena, &ok);
        for (int32_t i = 0; i < file->n_entries; i++) {
            tri_inspect_entry *e = &file->entries[i];
            e->name = fit(e->name, &in->arena, &ok);
            e->layout = fit(e->layout, &in->arena, &ok);
            e->derivation = fit(e->derivation, &in->arena, &ok);
            e->lossy = fit(e->lossy, &in->arena, &ok);
        }
    }
    return ok;
}

void tri_inspect_put_lines(tri_buf *out, tri_str text) {
    while (text.len > 0) {
        const char *end = memchr(text.ptr, '\n', text.len);
        size_t n = end ? (size_t)(end - text.ptr) : text.len;
        tri_buf_put_escaped(out, (tri_str){text.ptr, n});
        if (end) tri_buf_putc(out, '\n');
        text = (tri_str){text.ptr + n + (end != NULL), text.len - n - (end != NULL)};
    }
}

void tri_inspect_show_text(tri_inspection *in, uint32_t what, tri_buf *out) {
    bool weights = what & TRI_INSPECT_WEIGHTS;
    bool texts = in->graph || in->plan;
    if (!fit_names(in)) {
        out->failed = true;
        return;
    }
    show_head(in, out);
    if (!texts || weights) {
        show_kinds(in, out);
        for (int32_t f = 0; f < in->n_files; f++)
            show_entries(&in->files[f], weights, out);
    }
    const char *const last[] = {in->graph, in->plan};
    for (int i = 0; i < 2; i++) {
        if (!last[i]) continue;
        tri_buf_putc(out, '\n');
        tri_inspect_put_lines(out, tri_str_of(last[i]));
    }
}
