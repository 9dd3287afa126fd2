#include "kernels/cpu/panel16.h"

#include <string.h>

#include "base/codec.h"
#include "kernels/cpu/families.h"
#include "kernels/cpu/panel16_bits.h"
#include "kernels/cpu/panel_form.h"

enum { ROWS = TRI_PANEL_ROWS, BLOCK = TRI_PANEL_BLOCK, QUADS = BLOCK / 4 };

/* Of one GGUF block of 16 rows; -1: none. */
static int64_t panel_block_bytes(int32_t dtype) {
    const tri_panel_form form = tri_panel_form_of(dtype);
    switch (dtype) {
    case TRI_Q8_0:
    case TRI_Q4_0:
    case TRI_Q4_1:
    case TRI_Q5_0:
    case TRI_Q5_1:
        return tri_panel_record_bytes(form);
    case TRI_Q4_K:
    case TRI_Q5_K:
    case TRI_Q6_K:
        return tri_panel_head_bytes(form) + TRI_BLOCK_RECORDS * tri_panel_record_bytes(form);
    default:
        return -1;
    }
}

int64_t tri_panel16_bytes(int32_t dtype, int64_t k) {
    switch (dtype) {
    case TRI_F32:
        return k * ROWS * 4;
    case TRI_F16:
        return k * ROWS * 2;
    case TRI_BF16:
        return (k + 1) / 2 * ROWS * 4;
    case TRI_I8:
        return (k + 3) / 4 * ROWS * 4;
    case TRI_I4:
        return (k + 3) / 4 * ROWS * 2;
    default: {
        int64_t bytes = panel_block_bytes(dtype);
        if (bytes < 0) return -1;
        int32_t elems = tri_dtype_get((tri_dtype)dtype)->block_elems;
        return k % elems == 0 ? k / elems * bytes : -1;
    }
    }
}

static int64_t layout_bytes(const tri_plugin_type *type) {
    if (type->n_dims != 2 || type->dims[0] < 1 || type->dims[1] < 1) return -1;
    int64_t panel = tri_panel16_bytes(type->dtype, type->dims[1]), total;
    int64_t n_panels = type->dims[0] / ROWS + (type->dims[0] % ROWS != 0);
    if (panel < 0 || __builtin_mul_overflow(panel, n_panels, &total)) return -1;
    return total;
}

/* ---- 32-bit units: f32, pairs of bf16, quads of i8 ---- */

/* A panel of units [k][16] from rows of n units, and back.  Blocks of 4 x 16 keep both sides in few
 * cache lines. */
static void units_to_panel(const uint8_t *const rows[ROWS], int64_t n, uint8_t *panel) {
    for (int64_t k = 0; k < n; k += 4) {
        int64_t width = n - k < 4 ? n - k : 4;
        uint32_t tile[4][ROWS] = {{0}};
        for (int64_t r = 0; r < ROWS; r++) {
            uint32_t units[4] = {0};
            if (rows[r]) memcpy(units, rows[r] + k * 4, (size_t)width * 4);
            for (int32_t i = 0; i < 4; i++)
                tile[i][r] = units[i];
        }
        memcpy(panel + k * ROWS * 4, tile, (size_t)width * sizeof tile[0]);
    }
}

static void units_from_panel(const uint8_t *panel, int64_t n, uint8_t *const rows[ROWS]) {
    for (int64_t k = 0; k < n; k++) {
        uint32_t units[ROWS];
        memcpy(units, panel + k * ROWS * 4, sizeof units);
        for (int64_t r = 0; r < ROWS; r++) {
            if (rows[r]) memcpy(rows[r] + k * 4, &units[r], 4);
        }
    }
}

/* Whole units, then the last, cut one beside zeros. */
static void pack_units(const uint8_t *const rows[ROWS], int64_t row_bytes, uint8_t *panel) {
    int64_t n = row_bytes / 4, rest = row_bytes % 4;
    units_to_panel(rows, n, panel);
    if (!rest) return;
    uint8_t tail[ROWS][4] = {{0}};
    const uint8_t *tails[ROWS];
    for (int64_t r = 0; r < ROWS; r++) {
        if (rows[r]) memcpy(tail[r], rows[r] + n * 4, (size_t)rest);
        tails[r] = tail[r];
    }
    units_to_panel(tails, 1, panel + n * ROWS * 4);
}

static void unpack_units(const uint8_t *panel, int64_t row_bytes, uint8_t *const rows[ROWS]) {
    int64_t n = row_bytes / 4, rest = row_bytes % 4;
    units_from_panel(panel, n, rows);
    if (!rest) return;
    uint8_t tail[ROWS][4];
    uint8_t *tails[ROWS];
    for (int64_t r = 0; r < ROWS; r++)
        tails[r] = tail[r];
    units_from_panel(panel + n * ROWS * 4, 1, tails);
    for (int64_t r = 0; r < ROWS; r++) {
        if (rows[r]) memcpy(rows[r] + n * 4, tail[r], (size_t)rest);
    }
}

/* ---- f16: 16-bit units ---- */

static void pack_f16(const uint8_t *const rows[ROWS], int64_t row_bytes, uint8_t *panel) {
    for (int64_t k = 0; k < row_bytes / 2; k++) {
        uint16_t units[ROWS] = {0};
        for (int64_t r = 0; r < ROWS; r++) {
            if (rows[r]) memcpy(&units[r], rows[r] + k * 2, 2);
        }
        memcpy(panel + k * ROWS * 2, units, sizeof units);
    }
}

static void unpack_f16(const uint8_t *panel, int64_t row_bytes, uint8_t *const rows[ROWS]) {
    for (int64_t k = 0; k < row_bytes / 2; k++) {
        for (int64_t r = 0; r < ROWS; r++) {
            if (rows[r]) memcpy(rows[r] + k * 2, panel + (k * ROWS + r) * 2, 2);
        }
    }
}

/* ---- nibbles ----
 *
 * A quad of four rows' nibbles is worked on as a 32-bit word, one value a byte: of row r in the low
 * nibbles, of row r + 8 in the high ones. */

enum { HALF = ROWS / 2, I4_QUAD_BYTES = HALF * 4 };
static const uint32_t low_nibbles = 0x0F0F0F0Fu, eights = 0x08080808u;

static uint32_t load_word(const uint8_t *at) {
    uint32_t word;
    memcpy(&word, at, sizeof word);
    return word;
}

static void store_word(uint8_t *at, uint32_t word) {
    memcpy(at, &word, sizeof word);
}

/* i4 rows hold k and k + 1 in a byte: nibbles of two bytes to four bytes, and back. */
static uint32_t spread_nibbles(uint32_t two_bytes) {
    uint32_t x = (two_bytes | two_bytes << 8) & 0x00FF00FFu;
    return (x | x << 4) & low_nibbles;
}

static uint32_t gather_nibbles(uint32_t word) {
    uint32_t x = (word | word >> 4) & 0x00FF00FFu;
    return (x | x >> 8) & 0xFFFFu;
}

/* One quad of i4 rows; -8 .. 7 becomes 0 .. 15 and back. */
static void pack_i4_quad(const uint16_t bytes[ROWS], uint8_t *quad) {
    uint32_t words[ROWS];
    for (int64_t r = 0; r < ROWS; r++)
        words[r] = spread_nibbles(bytes[r]) ^ eights;
    for (int64_t r = 0; r < HALF; r++)
        store_word(quad + r * 4, words[r] | words[r + HALF] << 4);
}

static void unpack_i4_quad(const uint8_t *quad, uint16_t bytes[ROWS]) {
    for (int64_t r = 0; r < HALF; r++) {
        uint32_t both = load_word(quad + r * 4);
        bytes[r] = (uint16_t)gather_nibbles((both & low_nibbles) ^ eights);
        bytes[r + HALF] = (uint16_t)gather_nibbles((both >> 4 & low_nibbles) ^ eights);
    }
}

static void pack_i4(const uint8_t *const rows[ROWS], int64_t row_bytes, uint8_t *panel) {
    uint16_t bytes[ROWS] = {0};
    for (int64_t at = 0; at + 2 <= row_bytes; at += 2, panel += I4_QUAD_BYTES) {
        for (int64_t r = 0; r < ROWS; r++) {
            if (rows[r]) memcpy(&bytes[r], rows[r] + at, 2);
        }
        pack_i4_quad(bytes, panel);
    }
    if (row_bytes % 2 == 0) return;
    for (int64_t r = 0; r < ROWS; r++)
        bytes[r] = rows[r] ? rows[r][row_bytes - 1] : 0;
    pack_i4_quad(bytes, panel);
}

static void unpack_i4(const uint8_t *panel, int64_t row_bytes, uint8_t *const rows[ROWS]) {
    uint16_t bytes[ROWS];
    for (int64_t at = 0; at + 2 <= row_bytes; at += 2, panel += I4_QUAD_BYTES) {
        unpack_i4_quad(panel, bytes);
        for (int64_t r = 0; r < ROWS; r++) {
            if (rows[r]) memcpy(rows[r] + at, &bytes[r], 2);
        }
    }
    if (row_bytes % 2 == 0) return;
    unpack_i4_quad(panel, bytes);
    for (int64_t r = 0; r < ROWS; r++) {
        if (rows[r]) rows[r][row_bytes - 1] = (uint8_t)bytes[r];
    }
}

/* GGUF's blocks hold k in the low nibble of byte k % 16, k + 16 in the high one: word w of a row
 * has quads w and w + 4. */
static void pack_nibbles(const uint8_t *const rows[ROWS], uint8_t *quads) {
    for (int64_t w = 0; w < QUADS / 2; w++) {
        for (int64_t r = 0; r < HALF; r++) {
            uint32_t a = rows[r] ? load_word(rows[r] + w * 4) : 0;
            uint32_t b = rows[r + HALF] ? load_word(rows[r + HALF] + w * 4) : 0;
            store_word(quads + (w * HALF + r) * 4, (a & low_nibbles) | (b & low_nibbles) << 4);
            store_word(quads + ((w + QUADS / 2) * HALF + r) * 4,
                (a >> 4 & low_nibbles) | (b & ~low_nibbles));
        }
    }
}

static void unpack_nibbles(const uint8_t *quads, uint8_t *const rows[ROWS]) {
    for (int64_t w = 0; w < QUADS / 2; w++) {
        for (int64_t r = 0; r < HALF; r++) {
            uint32_t low = load_word(quads + (w * HALF + r) * 4);
            uint32_t high = load_word(quads + ((w + QUADS / 2) * HALF + r) * 4);
            uint32_t a = (low & low_nibbles) | (high & low_nibbles) << 4;
            uint32_t b = (low >> 4 & low_nibbles) | (high & ~low_nibbles);
            if (rows[r]) store_word(rows[r] + w * 4, a);
            if (rows[r + HALF]) store_word(rows[r + HALF] + w * 4, b);
        }
    }
}

/* ---- blocks of 32 ---- */

/* Where a block's f16 scales end and its values begin, in GGUF's row order. */
static int64_t head_bytes(int32_t dtype) {
    return dtype == TRI_Q4_1 ? 4 : 2;
}

static void pack_block(int32_t dtype, const uint8_t *const blocks[ROWS], uint8_t *out) {
    int64_t head = head_bytes(dtype);
    for (int64_t h = 0; h < head; h += 2) {
        for (int64_t r = 0; r < ROWS; r++, out += 2) {
            if (blocks[r])
                memcpy(out, blocks[r] + h, 2);
            else
                memset(out, 0, 2);
        }
    }
    const uint8_t *values[ROWS];
    for (int64_t r = 0; r < ROWS; r++)
        values[r] = blocks[r] ? blocks[r] + head : NULL;
    if (dtype == TRI_Q8_0)
        units_to_panel(values, QUADS, out);
    else
        pack_nibbles(values, out);
}

static void unpack_block(int32_t dtype, const uint8_t *in, uint8_t *const blocks[ROWS]) {
    int64_t head = head_bytes(dtype);
    for (int64_t h = 0; h < head; h += 2) {
        for (int64_t r = 0; r < ROWS; r++, in += 2) {
            if (blocks[r]) memcpy(blocks[r] + h, in, 2);
        }
    }
    uint8_t *values[ROWS];
    for (int64_t r = 0; r < ROWS; r++)
        values[r] = blocks[r] ? blocks[r] + head : NULL;
    if (dtype == TRI_Q8_0)
        units_from_panel(in, QUADS, values);
    else
        unpack_nibbles(in, values);
}

static void pack_blocks(
    int32_t dtype, const uint8_t *const rows[ROWS], int64_t n_blocks, uint8_t *panel) {
    int64_t row_block = tri_dtype_get((tri_dtype)dtype)->block_bytes;
    int64_t panel_block = panel_block_bytes(dtype);
    for (int64_t b = 0; b < n_blocks; b++) {
        const uint8_t *blocks[ROWS];
        for (int64_t r = 0; r < ROWS; r++)
            blocks[r] = rows[r] ? rows[r] + b * row_block : NULL;
        if (tri_panel_bits_has(dtype))
            tri_panel_bits_pack(dtype, blocks, panel + b * panel_block);
        else
            pack_block(dtype, blocks, panel + b * panel_block);
    }
}

static void unpack_blocks(
    int32_t dtype, const uint8_t *panel, int64_t n_blocks, uint8_t *const rows[ROWS]) {
    int64_t row_block = tri_dtype_get((tri_dtype)dtype)->block_bytes;
    int64_t panel_block = panel_block_bytes(dtype);
    for (int64_t b = 0; b < n_blocks; b++) {
        uint8_t *blocks[ROWS];
        for (int64_t r = 0; r < ROWS; r++)
            blocks[r] = rows[r] ? rows[r] + b * row_block : NULL;
        if (tri_panel_bits_has(dtype))
            tri_panel_bits_unpack(dtype, panel + b * panel_block, blocks);
        else
            unpack_block(dtype, panel + b * panel_block, blocks);
    }
}

/* ---- the layout ---- */

static int64_t n_blocks_of(const tri_plugin_type *type) {
    return type->dims[1] / tri_dtype_get((tri_dtype)type->dtype)->block_elems;
}

static void pack(
    const tri_plugin_type *type, int64_t first, int64_t n, const void *rows, void *out) {
    int64_t row_bytes = tri_dtype_row_bytes((tri_dtype)type->dtype, type->dims[1]);
    int64_t panel_bytes = tri_panel16_bytes(type->dtype, type->dims[1]);
    for (int64_t r0 = 0; r0 < n; r0 += ROWS) {
        const uint8_t *from[ROWS];
        for (int64_t r = 0; r < ROWS; r++) {
            from[r] = r0 + r < n ? (const uint8_t *)rows + (r0 + r) * row_bytes : NULL;
        }
        uint8_t *panel = (uint8_t *)out + (first + r0) / ROWS * panel_bytes;
        switch (type->dtype) {
        case TRI_F32:
        case TRI_BF16:
        case TRI_I8:
            pack_units(from, row_bytes, panel);
            break;
        case TRI_F16:
            pack_f16(from, row_bytes, panel);
            break;
        case TRI_I4:
            pack_i4(from, row_bytes, panel);
            break;
        default:
            pack_blocks(type->dtype, from, n_blocks_of(type), panel);
            break;
        }
    }
}

static void unpack(
    const tri_plugin_type *type, int64_t first, int64_t n, const void *packed, void *rows) {
    int64_t row_bytes = tri_dtype_row_bytes((tri_dtype)type->dtype, type->dims[1]);
    int64_t panel_bytes = tri_panel16_bytes(type->dtype, type->dims[1]);
    for (int64_t r0 = first - first % ROWS; r0 < first + n; r0 += ROWS) {
        uint8_t *to[ROWS];
        for (int64_t r = 0; r < ROWS; r++) {
            bool wanted = r0 + r >= first && r0 + r < first + n;
            to[r] = wanted ? (uint8_t *)rows + (r0 + r - first) * row_bytes : NULL;
        }
        const uint8_t *panel = (const uint8_t *)packed + r0 / ROWS * panel_bytes;
        switch (type->dtype) {
        case TRI_F32:
        case TRI_BF16:
        case TRI_I8:
            unpack_units(panel, row_bytes, to);
            break;
        case TRI_F16:
            unpack_f16(panel, row_bytes, to);
            break;
        case TRI_I4:
            unpack_i4(panel, row_bytes, to);
            break;
        default:
            unpack_blocks(type->dtype, panel, n_blocks_of(type), to);
            break;
        }
    }
}

const tri_plugin_layout tri_panel16_layout = {.struct_size = sizeof(tri_plugin_layout),
    .name = "panel16",
    .bytes = layout_bytes,
    .row_unit = ROWS,
    .pack = pack,
    .unpack = unpack};

/* ---- reading rows ---- */

static void read_block_row(int32_t dtype, const uint8_t *block, int64_t r, float *out) {
    float d = tri_f16_to_f32((uint16_t)(block[r * 2] | block[r * 2 + 1] << 8)), m = 0;
    const uint8_t *values = block + ROWS * head_bytes(dtype);
    if (dtype == TRI_Q4_1) {
        const uint8_t *min = block + (ROWS + r) * 2;
        m = tri_f16_to_f32((uint16_t)(min[0] | min[1] << 8));
    }
    for (int64_t k = 0; k < BLOCK; k++) {
        int64_t quad = k / 4, i = k % 4;
        int32_t q = 0;
        if (dtype == TRI_Q8_0) {
            q = ((const int8_t *)values)[(quad * ROWS + r) * 4 + i];
        } else {
            uint8_t byte = values[(quad * (ROWS / 2) + r % (ROWS / 2)) * 4 + i];
            q = (r < ROWS / 2 ? byte & 15 : byte >> 4) - (dtype == TRI_Q4_0 ? 8 : 0);
        }
        out[k] = dtype == TRI_Q4_1 ? (float)q * d + m : (float)q * d;
    }
}

void tri_panel16_read_row(
    int32_t dtype, int64_t k, const void *packed, int64_t row, int64_t k0, int64_t n, float *out) {
    const uint8_t *panel = (const uint8_t *)packed + row / ROWS * tri_panel16_bytes(dtype, k);
    int64_t r = row % ROWS;
    if (panel_block_bytes(dtype) > 0) {
        int64_t per_block = tri_dtype_get((tri_dtype)dtype)->block_elems / BLOCK;
        for (int64_t b = k0 / BLOCK; b * BLOCK < k0 + n; b++) {
            const uint8_t *block = panel + b / per_block * panel_block_bytes(dtype);
            float *to = out + b * BLOCK - k0;
            if (tri_panel_bits_has(dtype))
                tri_panel_bits_read(dtype, block, b % per_block, r, to);
            else
                read_block_row(dtype, block, r, to);
        }
        return;
    }
    for (int64_t i = 0; i < n; i++) {
        int64_t at = k0 + i;
        switch (dtype) {
        case TRI_F32:
            memcpy(&out[i], panel + (at * ROWS + r) * 4, 4);
            break;
        case TRI_F16:
        case TRI_BF16: {
            uint16_t h;
            int64_t unit = dtype == TRI_F16 ? at * ROWS + r : (at / 2 * ROWS + r) * 2 + at % 2;
            memcpy(&h, panel + unit * 2, 2);
            out[i] = dtype == TRI_F16 ? tri_f16_to_f32(h) : tri_bf16_to_f32(h);
            break;
        }
        case TRI_I8:
            out[i] = (float)(int8_t)panel[(at / 4 * ROWS + r) * 4 + at % 4];
            break;
        default: { /* i4 */
            uint8_t byte = panel[(at / 4 * (ROWS / 2) + r % (ROWS / 2)) * 4 + at % 4];
            out[i] = (float)((r < ROWS / 2 ? byte & 15 : byte >> 4) - 8);
            break;
        }
        }
    }
}
