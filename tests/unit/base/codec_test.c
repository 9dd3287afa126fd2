#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "base/codec.h"
#include "base/file.h"
#include "base/json.h"
#include "base/rng.h"

static uint32_t bits_of(float f) {
    uint32_t bits;
    memcpy(&bits, &f, sizeof bits);
    return bits;
}

/* The same number (a zero with its sign), or both NaN. */
static bool same(float a, float b) {
    return bits_of(a) == bits_of(b) || (isnan(a) && isnan(b));
}

/* ---- the table ---- */

static void every_dtype_has_a_row_in_the_table(void **state) {
    (void)state;
    for (int i = 0; i < TRI_N_DTYPES; i++) {
        const tri_dtype_info *info = tri_dtype_get((tri_dtype)i);
        tri_dtype dtype = TRI_N_DTYPES;
        assert_non_null(info->name);
        assert_true(info->block_elems > 0 && info->block_bytes > 0);
        assert_string_equal(tri_dtype_name((tri_dtype)i), info->name);
        assert_true(tri_dtype_parse(info->name, &dtype) && dtype == (tri_dtype)i);
        if (info->config) assert_true(tri_dtype_parse(info->config, &dtype) && (int)dtype == i);
        if (info->safetensors) {
            assert_true(tri_dtype_from_safetensors(tri_str_of(info->safetensors), &dtype));
            assert_int_equal(dtype, i);
        }
        if (info->gguf_type >= 0) {
            assert_true(tri_dtype_from_gguf(info->gguf_type, &dtype) && (int)dtype == i);
        }
    }
    tri_dtype dtype = TRI_U8;
    assert_true(tri_dtype_parse("bfloat16", &dtype) && dtype == TRI_BF16);
    assert_true(tri_dtype_parse("fp8", &dtype) && dtype == TRI_F8_E4M3);
    assert_true(tri_dtype_parse("float8_e4m3fn", &dtype) && dtype == TRI_F8_E4M3);
    assert_true(tri_dtype_parse("Q4_K", &dtype) && dtype == TRI_Q4_K);
    assert_false(tri_dtype_parse("float", &dtype));
    assert_false(tri_dtype_parse("", &dtype));
    assert_false(tri_dtype_from_gguf(-1, &dtype));
    assert_false(tri_dtype_from_gguf(4, &dtype)); /* Q4_2, long gone */
    assert_false(tri_dtype_from_safetensors(TRI_STR("F4"), &dtype));
    assert_int_equal(dtype, TRI_Q4_K);
    assert_string_equal(tri_dtype_name((tri_dtype)1000), "unknown");
}

static void row_bytes(void **state) {
    (void)state;
    assert_int_equal(tri_dtype_row_bytes(TRI_BF16, 3), 6);
    assert_int_equal(tri_dtype_row_bytes(TRI_I4, 6), 3);
    assert_int_equal(tri_dtype_row_bytes(TRI_I4, 5), -1);
    assert_int_equal(tri_dtype_row_bytes(TRI_Q4_0, 64), 36);
    assert_int_equal(tri_dtype_row_bytes(TRI_Q4_0, 33), -1);
    assert_int_equal(tri_dtype_row_bytes(TRI_Q6_K, 512), 420);
    assert_int_equal(tri_dtype_row_bytes(TRI_F32, 0), 0);
    assert_int_equal(tri_dtype_row_bytes(TRI_F32, -4), -1);
    assert_int_equal(tri_dtype_row_bytes(TRI_F64, INT64_MAX / 4), -1);
}

/* ---- small floats: every code, from the definition of the format ---- */

typedef struct {
    tri_dtype dtype;
    int exp_bits, man_bits, bias;
    bool ieee; /* the highest exponent is infinity and NaN; else only its last code is NaN */
    bool saturates;
} small_float;

static const small_float small_floats[] = {
    {TRI_F16, 5, 10, 15, true, false},
    {TRI_BF16, 8, 7, 127, true, false},
    {TRI_F8_E4M3, 4, 3, 7, false, true},
    {TRI_F8_E5M2, 5, 2, 15, true, true},
};

static float value_of(const small_float *f, uint32_t code) {
    uint32_t man = code & ((1u << f->man_bits) - 1);
    int exp = (int)(code >> f->man_bits) & ((1 << f->exp_bits) - 1);
    int last = (1 << f->exp_bits) - 1;
    double sign = code >> (f->exp_bits + f->man_bits) ? -1 : 1, value;
    if (f->ieee && exp == last) {
        value = man ? (double)NAN : (double)INFINITY;
    } else if (!f->ieee && exp == last && man == (1u << f->man_bits) - 1) {
        value = (double)NAN;
    } else {
        value = exp ? ldexp((double)man + (1 << f->man_bits), exp - f->bias - f->man_bits)
                    : ldexp((double)man, 1 - f->bias - f->man_bits);
    }
    return (float)(sign * value);
}

static uint32_t encode_one(tri_dtype dtype, float x) {
    uint16_t code = 0;
    tri_codec_encode(dtype, &x, &code, 1);
    return code;
}

static float decode_one(tri_dtype dtype, uint32_t code) {
    uint16_t bytes = (uint16_t)code;
    float x;
    tri_codec_decode(dtype, &bytes, &x, 1);
    return x;
}

static void small_floats_decode_every_code(void **state) {
    (void)state;
    for (size_t k = 0; k < sizeof small_floats / sizeof *small_floats; k++) {
        const small_float *f = &small_floats[k];
        uint32_t n = 2u << (f->exp_bits + f->man_bits);
        for (uint32_t code = 0; code < n; code++) {
            float want = value_of(f, code), got = decode_one(f->dtype, code);
            if (!same(want, got)) fail_msg("%zu: code %x is %g, not %g", k, code, got, want);
            if (isnan(want)) {
                assert_true(isnan(decode_one(f->dtype, encode_one(f->dtype, want))));
            } else if (f->saturates && isinf(want)) {
                assert_int_equal(encode_one(f->dtype, want), code - 1);
            } else {
                assert_int_equal(encode_one(f->dtype, want), code);
            }
        }
    }
    assert_true(same(tri_f16_to_f32(0x3C01), 1.0009765625f));
    assert_int_equal(tri_f32_to_f16(-2.0f), 0xC000);
    assert_true(same(tri_bf16_to_f32(0x3F80), 1.0f));
    assert_int_equal(tri_f32_to_bf16(3.14159265f), 0x4049);
}

/* Between neighbours: the middle goes to the even code, a float32 beside it to the nearer. */
static void small_floats_round_to_nearest_even(void **state) {
    (void)state;
    for (size_t k = 0; k < sizeof small_floats / sizeof *small_floats; k++) {
        const small_float *f = &small_floats[k];
        uint32_t sign_bit = 1u << (f->exp_bits + f->man_bits);
        for (uint32_t code = 0; code + 1 < sign_bit; code++) {
            float low = value_of(f, code), high = value_of(f, code + 1);
            if (!isfinite(low) || !isfinite(high)) break;
            float middle = low + (high - low) / 2; /* exact: one more bit than the format's */
            uint32_t even = code & 1 ? code + 1 : code;
            assert_int_equal(encode_one(f->dtype, middle), even);
            assert_int_equal(encode_one(f->dtype, -middle), even | sign_bit);
            assert_int_equal(encode_one(f->dtype, nextafterf(middle, 0)), code);
            assert_int_equal(encode_one(f->dtype, nextafterf(middle, INFINITY)), code + 1);
        }
    }
}

static void small_floats_at_their_upper_end(void **state) {
    (void)state;
    assert_int_equal(tri_f32_to_f16(65519.0f), 0x7BFF);
    assert_int_equal(tri_f32_to_f16(65520.0f), 0x7C00);
    assert_int_equal(tri_f32_to_f16(1e30f), 0x7C00);
    assert_int_equal(tri_f32_to_f16(-INFINITY), 0xFC00);
    assert_int_equal(tri_f32_to_bf16(3.4028234e38f), 0x7F80);
    assert_int_equal(encode_one(TRI_F8_E4M3, 464.0f), 0x7E);
    assert_int_equal(encode_one(TRI_F8_E4M3, 1e30f), 0x7E);
    assert_int_equal(encode_one(TRI_F8_E4M3, -INFINITY), 0xFE);
    assert_int_equal(encode_one(TRI_F8_E4M3, NAN) & 0x7F, 0x7F);
    assert_int_equal(encode_one(TRI_F8_E5M2, 61440.0f), 0x7B);
    assert_int_equal(encode_one(TRI_F8_E5M2, 1e30f), 0x7B);
    assert_int_equal(encode_one(TRI_F8_E5M2, -1e30f), 0xFB);
}

/* ---- integers ---- */

static void integers_decode_and_encode_exactly(void **state) {
    (void)state;
    static const struct {
        tri_dtype dtype;
        float low, high;
    } cases[] = {{TRI_BOOL, 0, 1}, {TRI_I8, -128, 127}, {TRI_U8, 0, 255}, {TRI_I16, -32768, 32767},
        {TRI_U16, 0, 65535}, {TRI_I32, -0x1p31f, 0x1.fffffep30f}, {TRI_U32, 0, 0x1.fffffep31f},
        {TRI_I64, -0x1p63f, 0x1.fffffep62f}, {TRI_U64, 0, 0x1.fffffep63f}, {TRI_I4, -8, 7},
        {TRI_F64, -0x1p127f, 0x1p-149f}, {TRI_F32, -0x1p127f, 0x1p-149f}};
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        float row[4] = {cases[i].low, cases[i].high, 1, 0}, again[4];
        uint8_t bytes[33];
        /* A row at an odd address, as in a file. */
        tri_codec_encode(cases[i].dtype, row, bytes + 1, 4);
        tri_codec_decode(cases[i].dtype, bytes + 1, again, 4);
        assert_memory_equal(row, again, sizeof row);
    }
    uint8_t nibbles[] = {0x87, 0xF0};
    float values[4];
    tri_codec_decode(TRI_I4, nibbles, values, 4);
    assert_true(values[0] == 7 && values[1] == -8 && values[2] == 0 && values[3] == -1);
}

/* ---- blocks, against the gguf package ---- */

typedef struct {
    const uint8_t *data;
    int64_t n_bytes;
} bytes_view;

/* The bytes of one tensor; the file is ours, so little is checked. */
static bytes_view find_tensor(const tri_file_map *map, const tri_json *header, uint64_t start,
    const char *type, const char *suffix) {
    char name[64];
    int64_t first = -1, last = -1;
    snprintf(name, sizeof name, "%s.%s", type, suffix);
    for (char *c = name; *c != '.'; c++) {
        if (*c >= 'a' && *c <= 'z') *c = (char)(*c - 32);
    }
    const tri_json *offsets = tri_json_get(tri_json_get(header, name), "data_offsets");
    if (!offsets || offsets->n != 2) fail_msg("no tensor %s", name);
    assert_true(tri_json_number_i64(offsets->items[0].text, &first));
    assert_true(tri_json_number_i64(offsets->items[1].text, &last));
    assert_true(first >= 0 && last >= first && (int64_t)start + last <= map->n_bytes);
    return (bytes_view){map->data + start + first, last - first};
}

static void check_type(
    tri_dtype dtype, const tri_file_map *map, const tri_json *header, uint64_t start) {
    const tri_dtype_info *info = tri_dtype_get(dtype);
    bytes_view raw = find_tensor(map, header, start, info->name, "raw");
    bytes_view values = find_tensor(map, header, start, info->name, "values");
    int64_t n = values.n_bytes / 4;
    assert_true(n > 0);
    assert_int_equal(raw.n_bytes, tri_dtype_row_bytes(dtype, n));
    /* At an odd address and of exactly this size, so that sanitizers see what is wrong. */
    uint8_t *row = malloc((size_t)raw.n_bytes + 1);
    float *out = malloc((size_t)values.n_bytes);
    memcpy(row + 1, raw.data, (size_t)raw.n_bytes);
    tri_codec_decode(dtype, row + 1, out, n);
    for (int64_t i = 0; i < n; i++) {
        float want;
        memcpy(&want, values.data + 4 * i, 4);
        /* Both do the same float32 operations in the same order: equal to the last bit. */
        if (!same(want, out[i]) && !(want == 0 && out[i] == 0)) {
            fail_msg("%s[%d]: %.9g, not %.9g", info->name, (int)i, (double)out[i], (double)want);
        }
    }
    free(out);
    free(row);
}

static void blocks_decode_as_gguf_does(void **state) {
    (void)state;
    const char *path = TRI_TESTS_DIR "/golden/codecs.safetensors";
    tri_file_map map;
    tri_arena arena = {0};
    const tri_json *header;
    uint64_t n_header;
    assert_int_equal(tri_file_map_open(&map, path, NULL), TRI_OK);
    memcpy(&n_header, map.data, 8);
    assert_true(n_header < (uint64_t)map.n_bytes - 8);
    tri_str text = {(const char *)map.data + 8, n_header};
    assert_int_equal(tri_json_parse(text, &arena, &header, NULL), TRI_OK);
    for (int i = 0; i < TRI_N_DTYPES; i++) {
        if (tri_dtype_get((tri_dtype)i)->is_block) {
            check_type((tri_dtype)i, &map, header, 8 + n_header);
        }
    }
    check_type(TRI_F16, &map, header, 8 + n_header);
    check_type(TRI_BF16, &map, header, 8 + n_header);
    tri_arena_deinit(&arena);
    tri_file_map_close(&map);
}

enum { ENCODED_BLOCKS = 5 };

/* Five blocks: numbers of 16 bits of decreasing size, then zeros, then one value throughout. */
static void encoder_input(float x[ENCODED_BLOCKS * 32]) {
    for (uint32_t i = 0; i < 96; i++) {
        float h = (float)((i * 2654435761u + 12345u) >> 16);
        x[i] = (h - 32768.0f) / 4096.0f / (float)(1 + i / 32);
    }
    for (int i = 96; i < 128; i++)
        x[i] = 0;
    for (int i = 128; i < 160; i++)
        x[i] = -1.5f;
}

static void blocks_encode_as_gguf_does(void **state) {
    (void)state;
    /* gguf.quants.quantize (gguf 0.19.0) of the same numbers. */
    static const struct {
        tri_dtype dtype;
        const char *hex;
    } cases[] = {{TRI_Q4_0, "003ce08a24ce68f1ab35df7913bd57f19a34dfb753ca1f86ec42a80e64cb2197fd53b9"
                            "1f48357913bd57f09a"
                            "24ce6802ac46ef8913bd00808888888888888888888888888888888800320000000000"
                            "000000000000000000"
                            "0000"},
        {TRI_Q4_1, "2d3c00c8e08924bd67f19b35de7913bc56e18a242d38cac3ac46e08924bd67f19b35de7913bc56e"
                   "17e3548c1"
                   "7913ac56e08a24ce6802ab45df7913bd0000000000000000000000000000000000000000000000b"
                   "e00000000"
                   "000000000000000000000000"},
        {TRI_Q5_0, "00384a4b6b69c004488bcff3377abee2266aade11559dfb3d6d2525ab7733ffcc884400dc995511"
                   "eea96622f"
                   "4831a5b5b494e225699dd115589cc004488bcff3377a0080ffffffff00000000000000000000000"
                   "000000000"
                   "002e0000000000000000000000000000000000000000"},
        {TRI_Q5_1, "0b3800c84a4b6b69c004478bbff3367aaee22669add115590b34cac3292dada5589cc004478bbff"
                   "3367aaee2"
                   "2669add1513148c1a5b5b494e225699dd115589cc004478bbff3367a00000000000000000000000"
                   "000000000"
                   "0000000000000000000000be0000000000000000000000000000000000000000"},
        {TRI_Q8_0, "082c811ebd5af99835d47110af4ceb8a27c66302a13edd7a19b855f4922fce6b0aa9ef2748e5822"
                   "2bf5ffc9a"
                   "39d77613b150ee8b2bc86805a242df7f1cba59f79434d17152250eac4ae88625c362009e3cda791"
                   "7b553f18f"
                   "2ecc6a08a645e38120be5cfa9837000000000000000000000000000000000000000000000000000"
                   "000000000"
                   "000000000c228181818181818181818181818181818181818181818181818181818181818181"}};
    float x[ENCODED_BLOCKS * 32];
    encoder_input(x);
    for (size_t k = 0; k < sizeof cases / sizeof *cases; k++) {
        uint8_t bytes[ENCODED_BLOCKS * 34];
        char hex[2 * sizeof bytes + 1] = "";
        int64_t n_bytes = tri_dtype_row_bytes(cases[k].dtype, ENCODED_BLOCKS * 32);
        tri_codec_encode(cases[k].dtype, x, bytes, ENCODED_BLOCKS * 32);
        for (int64_t i = 0; i < n_bytes; i++)
            snprintf(hex + 2 * i, 3, "%02x", bytes[i]);
        assert_string_equal(hex, cases[k].hex);
    }
}

static void blocks_take_any_float(void **state) {
    (void)state;
    static const float odd[] = {NAN, -NAN, INFINITY, -INFINITY, 3e38f, -3e38f, 1e-45f, -1e-40f};
    static const tri_dtype dtypes[] = {TRI_Q4_0, TRI_Q4_1, TRI_Q5_0, TRI_Q5_1, TRI_Q8_0};
    for (size_t k = 0; k < sizeof odd / sizeof *odd; k++) {
        for (size_t t = 0; t < sizeof dtypes / sizeof *dtypes; t++) {
            float x[32] = {1, -2, 3}, again[32];
            uint8_t block[34];
            x[7] = odd[k];
            tri_codec_encode(dtypes[t], x, block, 32);
            tri_codec_decode(dtypes[t], block, again, 32);
            for (int i = 0; i < 32; i++)
                x[i] = odd[k];
            tri_codec_encode(dtypes[t], x, block, 32); /* the sanitizer is the judge */
        }
    }
}

static void only_the_promised_types_encode(void **state) {
    (void)state;
    assert_true(tri_codec_can_encode(TRI_Q5_1));
    assert_true(tri_codec_can_encode(TRI_I4));
    assert_false(tri_codec_can_encode(TRI_Q4_K));
    assert_false(tri_codec_can_encode(TRI_MXFP4));
    assert_false(tri_codec_can_encode(TRI_N_DTYPES));
}

/* ---- activations ---- */

static void activations_follow_the_definition(void **state) {
    (void)state;
    enum { N = 32 * 200 };
    static float x[N], scales[N / 32];
    static int8_t q[N];
    for (int i = 0; i < N; i++) {
        x[i] = tri_rng_normal(7, (uint64_t)i) * powf(10, (float)(i / 32 % 60 - 30));
    }
    tri_quantize_activations(x, q, scales, N);
    for (int b = 0; b < N / 32; b++) {
        float most = 0;
        for (int i = 0; i < 32; i++)
            most = fmaxf(most, fabsf(x[b * 32 + i]));
        assert_true(scales[b] == most / 127.0f);
        for (int i = 0; i < 32; i++) {
            /* rintf rounds half to even in the default mode. */
            assert_int_equal(q[b * 32 + i], (int)rintf(x[b * 32 + i] / scales[b]));
        }
    }
}

static void activations_round_half_to_even(void **state) {
    (void)state;
    float x[32] = {127, 0.5f, 1.5f, 2.5f, -0.5f, -1.5f, -2.5f, 126.5f, -127};
    int8_t q[32];
    float scale;
    tri_quantize_activations(x, q, &scale, 32);
    assert_true(scale == 1);
    static const int8_t want[32] = {127, 0, 2, 2, 0, -2, -2, 126, -127};
    assert_memory_equal(q, want, 32);
}

static void activations_at_the_edges(void **state) {
    (void)state;
    static const int8_t zeros[32];
    float x[32] = {0}, scale = 5;
    int8_t q[32];
    tri_quantize_activations(x, q, &scale, 32);
    assert_true(scale == 0);
    assert_memory_equal(q, zeros, 32);

    x[3] = -1e-37f; /* the scale would be subnormal */
    tri_quantize_activations(x, q, &scale, 32);
    assert_true(scale == 0);
    assert_memory_equal(q, zeros, 32);

    x[3] = 1.5e-36f;
    tri_quantize_activations(x, q, &scale, 32);
    assert_true(scale > 0);
    assert_int_equal(q[3], 127);

    x[3] = -3.4028234e38f;
    x[4] = 3.4028234e38f;
    tri_quantize_activations(x, q, &scale, 32);
    assert_int_equal(q[3], -127);
    assert_int_equal(q[4], 127);

    const float odd[] = {NAN, -NAN, INFINITY, -INFINITY};
    for (int k = 0; k < 4; k++) {
        x[3] = odd[k];
        tri_quantize_activations(x, q, &scale, 32);
        assert_true(isnan(scale));
        assert_memory_equal(q, zeros, 32);
    }
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(every_dtype_has_a_row_in_the_table),
        cmocka_unit_test(row_bytes),
        cmocka_unit_test(small_floats_decode_every_code),
        cmocka_unit_test(small_floats_round_to_nearest_even),
        cmocka_unit_test(small_floats_at_their_upper_end),
        cmocka_unit_test(integers_decode_and_encode_exactly),
        cmocka_unit_test(blocks_decode_as_gguf_does),
        cmocka_unit_test(blocks_encode_as_gguf_does),
        cmocka_unit_test(blocks_take_any_float),
        cmocka_unit_test(only_the_promised_types_encode),
        cmocka_unit_test(activations_follow_the_definition),
        cmocka_unit_test(activations_round_half_to_even),
        cmocka_unit_test(activations_at_the_edges),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
