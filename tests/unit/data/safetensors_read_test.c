#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "data/safetensors.h"

#define FILES TRI_TESTS_DIR "/unit/data/files/"

static void expect(const tri_safetensors *s, const char *name, tri_dtype dtype, int32_t n_dims,
    const void *bytes, int64_t n_bytes) {
    const tri_safetensor *t = tri_safetensors_find(s, name);
    assert_non_null(t);
    assert_string_equal(t->name, name);
    assert_int_equal(t->dtype, dtype);
    assert_int_equal(t->n_dims, n_dims);
    assert_int_equal(t->n_bytes, n_bytes);
    assert_ptr_equal(t->data, s->map.data + t->offset_bytes);
    assert_memory_equal(t->data, bytes, (size_t)n_bytes);
}

/* Written by the safetensors package: every tensor holds [[0, 1, -1]], unsigned ones [[0, 1, 2]].
 */
static void reads_every_dtype(void **state) {
    (void)state;
    tri_arena arena = {0};
    tri_error err = {0};
    tri_safetensors s;
    assert_int_equal(tri_safetensors_open(&s, FILES "dtypes.safetensors", &arena, &err), TRI_OK);
    assert_int_equal(s.n_tensors, 18);
    expect(&s, "float64", TRI_F64, 2, (double[]){0, 1, -1}, 24);
    expect(&s, "float32", TRI_F32, 2, (float[]){0, 1, -1}, 12);
    expect(&s, "float16", TRI_F16, 2, (uint16_t[]){0, 0x3C00, 0xBC00}, 6);
    expect(&s, "bfloat16", TRI_BF16, 2, (uint16_t[]){0, 0x3F80, 0xBF80}, 6);
    expect(&s, "float8_e4m3fn", TRI_F8_E4M3, 2, (uint8_t[]){0, 0x38, 0xB8}, 3);
    expect(&s, "float8_e5m2", TRI_F8_E5M2, 2, (uint8_t[]){0, 0x3C, 0xBC}, 3);
    expect(&s, "bool", TRI_BOOL, 2, (uint8_t[]){0, 1, 1}, 3);
    expect(&s, "int8", TRI_I8, 2, (int8_t[]){0, 1, -1}, 3);
    expect(&s, "uint8", TRI_U8, 2, (uint8_t[]){0, 1, 2}, 3);
    expect(&s, "int16", TRI_I16, 2, (int16_t[]){0, 1, -1}, 6);
    expect(&s, "uint16", TRI_U16, 2, (uint16_t[]){0, 1, 2}, 6);
    expect(&s, "int32", TRI_I32, 2, (int32_t[]){0, 1, -1}, 12);
    expect(&s, "uint32", TRI_U32, 2, (uint32_t[]){0, 1, 2}, 12);
    expect(&s, "int64", TRI_I64, 2, (int64_t[]){0, 1, -1}, 24);
    expect(&s, "uint64", TRI_U64, 2, (uint64_t[]){0, 1, 2}, 24);
    expect(&s, "scalar", TRI_I32, 0, (int32_t[]){7}, 4);
    expect(&s, "name \"quoted\" \xC3\xA9\n", TRI_U8, 1, (uint8_t[]){5}, 1);
    expect(&s, "empty", TRI_F32, 3, "", 0);
    const tri_safetensor *empty = tri_safetensors_find(&s, "empty");
    assert_int_equal(empty->dims[0], 2);
    assert_int_equal(empty->dims[1], 0);
    assert_int_equal(empty->dims[2], 3);
    assert_null(tri_safetensors_find(&s, "nothing"));
    assert_int_equal(s.metadata->n, 2);
    assert_string_equal(tri_json_get(s.metadata, "format")->text.ptr, "pt");
    assert_string_equal(tri_json_get(s.metadata, "title")->text.ptr, "\xC3\xA9 \"x\"");
    for (int32_t i = 1; i < s.n_tensors; i++)
        assert_true(s.tensors[i].offset_bytes >= s.tensors[i - 1].offset_bytes);
    tri_safetensors_close(&s);
    tri_arena_deinit(&arena);
}

/* ---- a header as text, n_data bytes of data behind it ---- */

typedef struct {
    tri_arena arena;
    tri_error err;
    tri_safetensors s;
    uint8_t *bytes;
    size_t n_bytes;
} parsed;

static tri_status parse_raw(parsed *p, uint64_t header_bytes, const char *header, size_t n_data) {
    size_t n = strlen(header);
    p->n_bytes = 8 + n + n_data;
    p->bytes = malloc(p->n_bytes);
    for (int i = 0; i < 8; i++)
        p->bytes[i] = (uint8_t)(header_bytes >> 8 * i);
    memcpy(p->bytes + 8, header, n);
    memset(p->bytes + 8 + n, 0xAB, n_data);
    return tri_safetensors_parse(&p->s, p->bytes, (int64_t)p->n_bytes, &p->arena, &p->err);
}

static void drop(parsed *p) {
    tri_safetensors_close(&p->s);
    tri_arena_deinit(&p->arena);
    free(p->bytes);
}

static void accept(const char *header, size_t n_data, int32_t n_tensors) {
    parsed p = {0};
    assert_int_equal(parse_raw(&p, strlen(header), header, n_data), TRI_OK);
    assert_int_equal(p.s.n_tensors, n_tensors);
    assert_int_equal(p.s.header_bytes, 8 + strlen(header));
    drop(&p);
}

static void refuse_raw(uint64_t header_bytes, const char *header, size_t n_data, tri_status status,
    const char *message) {
    parsed p = {0};
    assert_int_equal(parse_raw(&p, header_bytes, header, n_data), status);
    if (!strstr(p.err.message, message)) fail_msg("%s\nlacks: %s", p.err.message, message);
    assert_null(p.s.tensors); /* untouched */
    drop(&p);
}

static void refuse(const char *header, size_t n_data, const char *message) {
    refuse_raw(strlen(header), header, n_data, TRI_E_FORMAT, message);
}

#define U8(name, shape, from, to)                                                                  \
    "\"" name "\":{\"dtype\":\"U8\",\"shape\":" shape ",\"data_offsets\":[" from "," to "]}"

static void accepts_the_format(void **state) {
    (void)state;
    accept("{}", 0, 0);
    accept("{}   ", 0, 0);
    accept("{\"__metadata__\":{}}", 0, 0);
    accept("{" U8("b", "[2]", "3", "5") "," U8("a", "[3]", "0", "3") "}", 5, 2);
    accept("{" U8("z", "[0]", "3", "3") "," U8("a", "[3]", "0", "3") "}", 3, 2);
    accept("{\"a\":{\"extra\":[1,{}],\"shape\":[1],\"\\u0064type\":\"I8\",\"data_offsets\":[0,1]}}",
        1, 1);
    accept("{" U8("a", "[1,1,1,1,1,1,1,2]", "0", "2") "}", 2, 1);
}

static void refuses_what_the_format_forbids(void **state) {
    (void)state;
    refuse("{" U8("a", "[3]", "1", "4") "}", 4, "hole");
    refuse("{" U8("a", "[3]", "0", "3") "," U8("b", "[2]", "2", "4") "}", 4, "overlapping");
    refuse("{" U8("a", "[3]", "0", "3") "," U8("b", "[0]", "1", "1") "}", 3, "overlapping");
    refuse("{" U8("a", "[3]", "0", "3") "," U8("b", "[3]", "0", "3") "}", 3, "overlapping");
    refuse("{" U8("a", "[3]", "0", "3") "}", 4, "end at byte");
    refuse("{}", 1, "end at byte");
    refuse("{" U8("a", "[3]", "0", "3") "}", 2, "truncated");
    refuse("{" U8("a", "[3]", "3", "0") "}", 3, "backwards");
    refuse("{" U8("a", "[2]", "0", "3") "}", 3, "ask for 2 bytes");
    refuse("{" U8("a", "[-1]", "0", "3") "}", 3, "entry 0 of shape");
    refuse("{" U8("a", "[1.0]", "0", "1") "}", 1, "entry 0 of shape");
    refuse("{" U8("a", "[9223372036854775808]", "0", "0") "}", 0, "entry 0 of shape");
    /* 2^32 * 2^32 = 2^64, which wraps to 0. */
    refuse("{" U8("a", "[4294967296,4294967296]", "0", "0") "}", 0, "overflows");
    refuse("{" U8("a", "[4294967296,4294967296,0]", "0", "0") "}", 0, "overflows");
    refuse("{\"a\":{\"dtype\":\"F64\",\"shape\":[2305843009213693952],\"data_offsets\":[0,0]}}", 0,
        "overflows");
    refuse("{" U8("a", "[1]", "0", "1") "," U8("a", "[1]", "1", "2") "}", 2, "tensor a twice");
    refuse("{\"a\":{\"shape\":[1],\"data_offsets\":[0,1]}}", 1, "no dtype");
    refuse("{\"a\":{\"dtype\":\"U8\",\"data_offsets\":[0,1]}}", 1, "no shape");
    refuse("{\"a\":{\"dtype\":\"U8\",\"shape\":[1]}}", 1, "no data_offsets");
    refuse("{\"a\":{\"dtype\":\"U8\",\"dtype\":\"U8\",\"shape\":[1],\"data_offsets\":[0,1]}}", 1,
        "dtype twice");
    refuse("{\"a\":{\"dtype\":\"U8\",\"shape\":[1],\"data_offsets\":[0]}}", 1, "1 entries");
    refuse("{\"a\":{\"dtype\":\"Q9\",\"shape\":[1],\"data_offsets\":[0,1]}}", 1, "unknown dtype");
    refuse("{\"a\":{\"dtype\":3,\"shape\":[1],\"data_offsets\":[0,1]}}", 1, "dtype is not");
    refuse("{\"a\":{\"dtype\":\"U8\",\"shape\":3,\"data_offsets\":[0,1]}}", 1, "shape is not");
    refuse("{\"a\":[]}", 0, "not an object");
    refuse("{\"__metadata__\":[]}", 0, "__metadata__");
    refuse("{\"__metadata__\":{\"a\":1}}", 0, "no string");
    refuse("{\"__metadata__\":{},\"__metadata__\":{}}", 0, "twice");
    refuse("{" U8("a\\u0000b", "[1]", "0", "1") "}", 1, "NUL");
    refuse("{} x", 0, "");
    refuse("{\"a\":", 0, "");
    refuse("[]", 0, "begin with {");
    refuse(" {}", 0, "begin with {");
    refuse_raw(3, "{}", 0, TRI_E_FORMAT, "truncated");
    refuse_raw(UINT64_MAX, "{}", 0, TRI_E_FORMAT, "limit");
    refuse_raw(100000001, "{}", 0, TRI_E_FORMAT, "limit");
    refuse_raw(0, "", 0, TRI_E_FORMAT, "begin with {");
}

static void refuses_what_we_lack(void **state) {
    (void)state;
    const char *f4 = "{\"a\":{\"dtype\":\"F4\",\"shape\":[2],\"data_offsets\":[0,1]}}";
    const char *dims9 = "{" U8("a", "[1,1,1,1,1,1,1,1,1]", "0", "1") "}";
    refuse_raw(strlen(f4), f4, 1, TRI_E_UNSUPPORTED, "F4");
    refuse_raw(strlen(dims9), dims9, 1, TRI_E_LIMIT, "more than 8");
}

static void refuses_short_files(void **state) {
    (void)state;
    tri_arena arena = {0};
    tri_error err = {0};
    tri_safetensors s;
    const uint8_t bytes[7] = {0};
    for (int64_t n = 0; n < 8; n++)
        assert_int_equal(
            tri_safetensors_parse(&s, n ? bytes : NULL, n, &arena, &err), TRI_E_FORMAT);
    assert_int_equal(tri_safetensors_open(&s, FILES "absent", &arena, &err), TRI_E_NOT_FOUND);
    assert_non_null(strstr(err.message, "absent"));
    assert_int_equal(
        tri_safetensors_open(&s, FILES "sharded/model.safetensors.index.json", &arena, &err),
        TRI_E_FORMAT);
    assert_non_null(strstr(err.message, "index.json: not a safetensors file"));
    tri_arena_deinit(&arena);
}

/* Every prefix of a whole file is refused. */
static void refuses_every_truncation(void **state) {
    (void)state;
    tri_arena arena = {0};
    tri_safetensors s, cut;
    assert_int_equal(tri_safetensors_open(&s, FILES "dtypes.safetensors", &arena, NULL), TRI_OK);
    for (int64_t n = 0; n < s.map.n_bytes; n++) {
        uint8_t *copy = malloc((size_t)n + 1);
        memcpy(copy, s.map.data, (size_t)n);
        assert_int_equal(tri_safetensors_parse(&cut, copy, n, &arena, NULL), TRI_E_FORMAT);
        free(copy);
    }
    tri_safetensors_close(&s);
    tri_arena_deinit(&arena);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(reads_every_dtype),
        cmocka_unit_test(accepts_the_format),
        cmocka_unit_test(refuses_what_the_format_forbids),
        cmocka_unit_test(refuses_what_we_lack),
        cmocka_unit_test(refuses_short_files),
        cmocka_unit_test(refuses_every_truncation),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
