/* panel_form.h - how panel16 holds quantised weights, as facts that kernels fold into their code.
 *
 * Along K a panel is records of 32 weights of 16 rows: scales, then values.  Values are unsigned;
 * a weight is d (value - offset) + m.  Blocks of 256 are eight records behind a head of d [16] (and
 * of minima's d [16] where there are minima), and their records' scales are small integers. */
#ifndef TRI_KERNELS_CPU_PANEL_FORM_H
#define TRI_KERNELS_CPU_PANEL_FORM_H

#include <stdbool.h>

#include "trireme/types.h"

typedef enum tri_panel_scales {
    TRI_SCALES_OPERAND, /* i8, i4: not in the panel */
    TRI_SCALES_RECORD,  /* f16 d [16] (, m [16]) */
    TRI_SCALES_BLOCK    /* u8 of d [16], u8 of m [16]; or, by halves, i8 of d [2][16] */
} tri_panel_scales;

typedef struct tri_panel_form {
    tri_panel_scales scales;
    bool nibbles;      /* quads [8][8][4] of lower bits; else bytes [8][16][4], signed */
    int32_t high_bits; /* more bits a value, each [8] words of 64, a bit for each byte of a quad */
    bool has_min;
    bool halves;    /* d of each 16 of a record */
    int32_t offset; /* of bytes, once their sign bit is turned: 128 */
} tri_panel_form;

static inline __attribute__((always_inline)) tri_panel_form tri_panel_form_of(int32_t dtype) {
    switch (dtype) {
    case TRI_I8:
        return (tri_panel_form){.offset = 128};
    case TRI_I4:
        return (tri_panel_form){.nibbles = true, .offset = 8};
    case TRI_Q8_0:
        return (tri_panel_form){.scales = TRI_SCALES_RECORD, .offset = 128};
    case TRI_Q4_0:
        return (tri_panel_form){.scales = TRI_SCALES_RECORD, .nibbles = true, .offset = 8};
    case TRI_Q4_1:
        return (tri_panel_form){.scales = TRI_SCALES_RECORD, .nibbles = true, .has_min = true};
    case TRI_Q5_0:
        return (tri_panel_form){
            .scales = TRI_SCALES_RECORD, .nibbles = true, .high_bits = 1, .offset = 16};
    case TRI_Q5_1:
        return (tri_panel_form){
            .scales = TRI_SCALES_RECORD, .nibbles = true, .high_bits = 1, .has_min = true};
    case TRI_Q4_K:
        return (tri_panel_form){.scales = TRI_SCALES_BLOCK, .nibbles = true, .has_min = true};
    case TRI_Q5_K:
        return (tri_panel_form){
            .scales = TRI_SCALES_BLOCK, .nibbles = true, .high_bits = 1, .has_min = true};
    default: /* q6_k */
        return (tri_panel_form){.scales = TRI_SCALES_BLOCK,
            .nibbles = true,
            .high_bits = 2,
            .halves = true,
            .offset = 32};
    }
}

enum { TRI_BLOCK_RECORDS = 8 }; /* of blocks of 256 */

static inline int64_t tri_panel_head_bytes(const tri_panel_form f) {
    return f.scales == TRI_SCALES_BLOCK ? (f.has_min ? 64 : 32) : 0;
}
static inline int64_t tri_panel_scale_bytes(const tri_panel_form f) {
    return f.scales == TRI_SCALES_OPERAND               ? 0
           : f.scales == TRI_SCALES_RECORD && f.has_min ? 64
                                                        : 32;
}
static inline int64_t tri_panel_record_bytes(const tri_panel_form f) {
    return tri_panel_scale_bytes(f) + (f.nibbles ? 256 : 512) + (int64_t)f.high_bits * 64;
}
/* From a panel's start to record i, and for i a multiple of 8 to its block's head. */
static inline int64_t tri_panel_record_at(const tri_panel_form f, int64_t i) {
    int64_t at = i * tri_panel_record_bytes(f);
    if (f.scales != TRI_SCALES_BLOCK) return at;
    return at + (i + TRI_BLOCK_RECORDS - 1) / TRI_BLOCK_RECORDS * tri_panel_head_bytes(f);
}

#endif
