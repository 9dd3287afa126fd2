/* source_rows.c - gathering rows of a weight from its segments, converting on the way. */
#include <string.h>

#include "base/codec.h"
#include "models/source_internal.h"

enum { CHUNK_ELEMS = 1024 }; /* converted at a time, on the stack; a multiple of every block */

/* Where row `row` of the model stands in the file.  For its rope of neighbouring pairs llama.cpp
 * stores row (half j, i) of a head at 2 i + j. */
static int64_t stored_row(const tri_segment *s, int64_t row) {
    if (s->pair_rows == 0) return row;
    int64_t half = s->pair_rows / 2, at = row % s->pair_rows;
    return row - at + at % half * 2 + at / half;
}

/* n elements from first_column of a stored row on; to is a plain float type. */
static void convert(const tri_segment *s, const uint8_t *row, int64_t first_column, int64_t n,
    double offset, tri_dtype to, uint8_t *out) {
    _Alignas(64) float values[CHUNK_ELEMS];
    _Alignas(64) uint8_t aligned[CHUNK_ELEMS * sizeof(double)];
    int64_t block = tri_dtype_get(s->dtype)->block_elems;
    while (n > 0) {
        int64_t lead = first_column % block; /* decoded, not wanted */
        int64_t take = n < CHUNK_ELEMS - lead ? n : CHUNK_ELEMS - lead;
        int64_t span = (lead + take + block - 1) / block * block;
        memcpy(aligned, row + tri_dtype_row_bytes(s->dtype, first_column - lead),
            (size_t)tri_dtype_row_bytes(s->dtype, span));
        tri_codec_decode(s->dtype, aligned, values, span);
        if (offset != 0)
            for (int64_t i = 0; i < take; i++)
                values[lead + i] = (float)(values[lead + i] + offset);
        tri_codec_encode(to, values + lead, out, take);
        out += tri_dtype_row_bytes(to, take);
        first_column += take;
        n -= take;
    }
}

/* Columns [first_column, + n_columns) of n rows that stand one after the other, `row` being the
 * first. */
static void copy_rows(const tri_source_entry *e, const tri_segment *s, int64_t row, int64_t n,
    int64_t row_bytes, uint8_t *out) {
    tri_dtype to = e->weight.type.dtype;
    int64_t stride = tri_dtype_row_bytes(s->dtype, s->n_columns);
    const uint8_t *from = s->data + row * stride;
    if (to == s->dtype && !(e->offset != 0)) {
        from += tri_dtype_row_bytes(s->dtype, e->first_column);
        if (row_bytes == stride)
            memcpy(out, from, (size_t)(n * stride));
        else
            for (int64_t i = 0; i < n; i++)
                memcpy(out + i * row_bytes, from + i * stride, (size_t)row_bytes);
    } else if (e->n_columns == s->n_columns) {
        convert(s, from, 0, n * s->n_columns, e->offset, to, out);
    } else {
        for (int64_t i = 0; i < n; i++)
            convert(s, from + i * stride, e->first_column, e->n_columns, e->offset, to,
                out + i * row_bytes);
    }
}

static void fill_constant(double value, tri_dtype to, int64_t n, uint8_t *out) {
    if (!(value != 0)) {
        memset(out, 0, (size_t)tri_dtype_row_bytes(to, n)); /* in blocks too: their scale is 0 */
        return;
    }
    float f = (float)value;
    for (int64_t i = 0, step = tri_dtype_row_bytes(to, 1); i < n; i++)
        tri_codec_encode(to, &f, out + i * step, 1);
}

static void gather_segment(const tri_source *source, const tri_source_entry *e,
    const tri_segment *s, int64_t first, int64_t n, int64_t row_bytes, uint8_t *out) {
    tri_dtype to = e->weight.type.dtype;
    switch (s->kind) {
    case TRI_SEGMENT_CONSTANT:
        fill_constant(s->value, to, n * e->n_columns, out);
        break;
    case TRI_SEGMENT_NORMAL:
        tri_dummy_fill(source->quantiles, s, first, n, e->first_column, e->n_columns, to, out);
        break;
    case TRI_SEGMENT_STORED:
        if (s->pair_rows == 0)
            copy_rows(e, s, first, n, row_bytes, out);
        else
            for (int64_t i = 0; i < n; i++)
                copy_rows(e, s, stored_row(s, first + i), 1, row_bytes, out + i * row_bytes);
        break;
    }
}

void tri_source_gather(
    const tri_source *source, const tri_source_entry *e, int64_t first, int64_t n, uint8_t *out) {
    int64_t row_bytes = tri_dtype_row_bytes(e->weight.type.dtype, e->n_columns);
    int64_t start = 0; /* of the segment, in the weight's rows */
    for (int32_t i = 0; i < e->n_segments && n > 0; i++) {
        const tri_segment *s = &e->segments[i];
        int64_t skip = first - start;
        if (skip < s->n) {
            int64_t take = n < s->n - skip ? n : s->n - skip;
            gather_segment(source, e, s, s->first + skip, take, row_bytes, out);
            out += take * row_bytes;
            first += take;
            n -= take;
        }
        start += s->n;
    }
    TRI_ASSERT(n == 0);
}
