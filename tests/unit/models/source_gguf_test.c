/* Sources of GGUF files: names, blocks, llama.cpp's order of rows and its norms.
 *
 * tiny_llama.gguf was written by the gguf package.  For the other architectures the test writes a
 * golden family as a GGUF in float32, by the conventions of llama.cpp's convert_hf_to_gguf.py, and
 * the source must serve what it serves of the Hugging Face directory. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "support/weights.h"

/* ---- tiny_llama ---- */

typedef struct tiny {
    tri_arena arena;
    tri_gguf file;
    tri_source *source;
} tiny;

static void open_tiny(tiny *t, tri_dtype dtype) {
    char path[512];
    tri_error err = {0};
    *t = (tiny){0};
    tri_arena_init(&t->arena, 0);
    (void)snprintf(path, sizeof path, "%s/golden/gguf/tiny_llama.gguf", TRI_TESTS_DIR);
    golden_ok(tri_gguf_open(&t->file, path, &t->arena, &err), &err);
    t->source = weights_open("gguf/tiny_llama.gguf", dtype, 0, 0);
}

static void close_tiny(tiny *t) {
    tri_source_close(t->source);
    tri_gguf_close(&t->file);
    tri_arena_deinit(&t->arena);
}

/* In which of the file's rows row r of the model stands, for heads of 32 rows of which the file has
 * (0, 16), (1, 17), ... side by side. */
static int64_t place_of(int64_t r) {
    int64_t head = r / 32 * 32, at = r % 32;
    return at < 16 ? head + 2 * at : head + 2 * (at - 16) + 1;
}

static void check_blocks(
    const tiny *t, const char *name, const char *stored, tri_dtype dtype, bool swapped) {
    const tri_gguf_tensor *tensor = tri_gguf_tensor_find(&t->file, stored);
    weight_bytes w = weights_read(t->source, 0, name);
    assert_non_null(tensor);
    assert_int_equal(tensor->dtype, dtype);
    assert_int_equal(w.info->type.dtype, dtype);
    assert_int_equal(w.info->type.dims[0], tensor->dims[0]);
    assert_int_equal(w.info->type.dims[1], tensor->dims[1]);
    assert_int_equal(w.n_bytes, tensor->n_bytes);
    int64_t row = w.info->row_bytes;
    for (int64_t r = 0; r < w.info->n_rows; r++)
        assert_memory_equal(
            w.bytes + r * row, tensor->data + (swapped ? place_of(r) : r) * row, (size_t)row);
    free(w.bytes);
}

#define L0 "transformer.layers.0."
#define L1 "transformer.layers.1."

static void test_blocks_are_kept(void **state) {
    (void)state;
    tiny t;
    open_tiny(&t, TRI_N_DTYPES);
    assert_int_equal(tri_source_get_kind(t.source), TRI_SOURCE_GGUF);
    check_blocks(&t, "transformer.vocab_embedding.weight", "token_embd.weight", TRI_Q8_0, false);
    /* q and k in another format than v: three weights */
    assert_int_equal(tri_source_find(t.source, 0, L0 "attention.qkv.weight"), -1);
    check_blocks(&t, L0 "attention.q.weight", "blk.0.attn_q.weight", TRI_Q8_0, true);
    check_blocks(&t, L0 "attention.k.weight", "blk.0.attn_k.weight", TRI_Q8_0, true);
    check_blocks(&t, L0 "attention.v.weight", "blk.0.attn_v.weight", TRI_Q6_K, false);
    check_blocks(&t, L1 "attention.k.weight", "blk.1.attn_k.weight", TRI_Q4_0, true);
    check_blocks(&t, L1 "attention.v.weight", "blk.1.attn_v.weight", TRI_F16, false);
    check_blocks(&t, L0 "attention.dense.weight", "blk.0.attn_output.weight", TRI_Q4_0, false);
    check_blocks(&t, L1 "mlp.fc.weight", "blk.1.ffn_gate.weight", TRI_Q4_0, false);
    check_blocks(&t, L1 "mlp.gate.weight", "blk.1.ffn_up.weight", TRI_Q4_K, false);
    check_blocks(&t, L1 "mlp.proj.weight", "blk.1.ffn_down.weight", TRI_Q6_K, false);
    check_blocks(&t, "lm_head.weight", "output.weight", TRI_F16, false);
    weight_bytes norm = weights_read(t.source, 0, L1 "post_layernorm.weight");
    assert_int_equal(norm.info->type.dtype, TRI_F32);
    assert_memory_equal(
        norm.bytes, tri_gguf_tensor_find(&t.file, "blk.1.ffn_norm.weight")->data, 256 * 4);
    free(norm.bytes);
    close_tiny(&t);
}

static void test_blocks_are_described(void **state) {
    (void)state;
    tiny t;
    open_tiny(&t, TRI_N_DTYPES);
    const tri_model_config *c = tri_source_config(t.source);
    assert_int_equal(c->quantization.kind, TRI_QUANT_GGUF);
    int n_found = 0;
    for (int32_t i = 0; i < c->quantization.n_gguf_types; i++) {
        const tri_gguf_type_entry *e = &c->quantization.gguf_types[i];
        if (strcmp(e->name, L0 "attention.v.weight") == 0) {
            n_found++;
            assert_int_equal(e->dtype, TRI_Q6_K);
        }
        assert_true(tri_dtype_get(e->dtype)->is_block);
    }
    assert_int_equal(n_found, 1);
    assert_int_equal(c->quantization.n_gguf_types, 1 + 7 + 6); /* F16: v of layer 1, head */
    assert_int_equal(c->dtype, TRI_F16);                       /* of its unquantised matrices */
    close_tiny(&t);
}

/* The expected rows were decoded by the gguf package, in the order of the file. */
static void test_blocks_are_decoded(void **state) {
    (void)state;
    tiny t;
    golden_model m;
    open_tiny(&t, TRI_F32);
    golden_open_files(&m, "gguf/tiny_llama.gguf", "gguf/tiny_llama.safetensors", NULL);
    assert_int_equal(tri_source_config(t.source)->quantization.kind, TRI_QUANT_NONE);
    weight_bytes qkv = weights_read(t.source, 0, L0 "attention.qkv.weight");
    weight_bytes proj = weights_read(t.source, 0, L1 "mlp.proj.weight");
    assert_int_equal(qkv.info->type.dims[0], 256 + 2 * 64);
    assert_int_equal(proj.info->row_bytes, 512 * 4);
    const struct {
        const weight_bytes *w;
        int64_t row;
        const char *stored;
    } rows[] = {{&qkv, 0, "blk.0.attn_q.weight.first_row"},
        {&qkv, 255, "blk.0.attn_q.weight.last_row"}, {&qkv, 256, "blk.0.attn_k.weight.first_row"},
        {&qkv, 319, "blk.0.attn_k.weight.last_row"}, {&qkv, 320, "blk.0.attn_v.weight.first_row"},
        {&qkv, 383, "blk.0.attn_v.weight.last_row"}, {&proj, 0, "blk.1.ffn_down.weight.first_row"},
        {&proj, 255, "blk.1.ffn_down.weight.last_row"}};
    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
        const tri_safetensor *want = golden_find(&m, "%s", rows[i].stored);
        const uint8_t *got = rows[i].w->bytes + rows[i].row * rows[i].w->info->row_bytes;
        /* ours and gguf's decoders round once each: a unit in the last place of the row's largest
         */
        double error =
            golden_error((const float *)(const void *)got, golden_floats(want), want->dims[0]);
        if (!(error < 1e-6)) fail_msg("%s: %g", rows[i].stored, error);
    }
    free(qkv.bytes);
    free(proj.bytes);
    golden_close(&m);
    close_tiny(&t);
}

static void try_ranks(tri_dtype dtype, int32_t tp, tri_status want, const char *text) {
    char path[512];
    tri_error err = {0};
    tri_source *s = NULL;
    tri_source_options options = {.dtype = dtype, .tp_size = tp};
    (void)snprintf(path, sizeof path, "%s/golden/gguf/tiny_llama.gguf", TRI_TESTS_DIR);
    assert_int_equal(tri_source_open(&s, path, &options, &err), want);
    if (want) assert_non_null(strstr(err.message, text));
    tri_source_close(s);
}

static void test_cut_blocks_are_refused(void **state) {
    (void)state;
    /* layer 1's mlp.proj is Q6_K: 512 columns over 4 ranks are half a block of 256 */
    try_ranks(TRI_N_DTYPES, 4, TRI_E_LIMIT, "mlp.proj");
    try_ranks(TRI_N_DTYPES, 4, TRI_E_LIMIT, "128 columns");
    try_ranks(TRI_N_DTYPES, 4, TRI_E_LIMIT, "256");
    try_ranks(TRI_BF16, 4, TRI_OK, "");
    try_ranks(TRI_N_DTYPES, 2, TRI_OK, "");
}

/* Column shards of blocks, decoded or not, begin inside a row. */
static void test_block_shards(void **state) {
    (void)state;
    tri_source *whole = weights_open("gguf/tiny_llama.gguf", TRI_F32, 1, 1);
    tri_source *cut = weights_open("gguf/tiny_llama.gguf", TRI_F32, 4, 1);
    tri_source *blocks = weights_open("gguf/tiny_llama.gguf", TRI_N_DTYPES, 2, 1);
    weight_bytes w = weights_read(whole, 0, L0 "mlp.proj.weight");
    for (int32_t rank = 0; rank < 4; rank++) {
        weight_bytes part = weights_read(cut, rank, L0 "mlp.proj.weight");
        assert_int_equal(part.info->row_bytes, 128 * 4);
        for (int64_t r = 0; r < 256; r++)
            assert_memory_equal(part.bytes + r * 512, w.bytes + r * 2048 + rank * 512, 512);
        free(part.bytes);
    }
    for (int32_t rank = 0; rank < 2; rank++) {
        float decoded[256];
        weight_bytes part = weights_read(blocks, rank, L0 "mlp.proj.weight");
        assert_int_equal(part.info->type.dtype, TRI_Q6_K);
        for (int64_t r = 0; r < 256; r++) {
            tri_codec_decode(TRI_Q6_K, part.bytes + r * part.info->row_bytes, decoded, 256);
            assert_memory_equal(decoded, w.bytes + r * 2048 + rank * 1024, 1024);
        }
        free(part.bytes);
    }
    free(w.bytes);
    tri_source_close(whole);
    tri_source_close(cut);
    tri_source_close(blocks);
}

/* ---- other architectures, written here ---- */

typedef struct gguf_name {
    const char *hf, *gguf; /* in a layer */
} gguf_name;

static const gguf_name names[] = {
    {"input_layernorm.weight", "attn_norm.weight"},
    {"self_attn.q_proj.weight", "attn_q.weight"},
    {"self_attn.q_proj.bias", "attn_q.bias"},
    {"self_attn.k_proj.weight", "attn_k.weight"},
    {"self_attn.k_proj.bias", "attn_k.bias"},
    {"self_attn.v_proj.weight", "attn_v.weight"},
    {"self_attn.v_proj.bias", "attn_v.bias"},
    {"self_attn.qkv_proj.weight", "attn_qkv.weight"},
    {"self_attn.q_norm.weight", "attn_q_norm.weight"},
    {"self_attn.k_norm.weight", "attn_k_norm.weight"},
    {"self_attn.o_proj.weight", "attn_output.weight"},
    {"mlp.gate_proj.weight", "ffn_gate.weight"},
    {"mlp.up_proj.weight", "ffn_up.weight"},
    {"mlp.gate_up_proj.weight", "ffn_up.weight"},
    {"mlp.down_proj.weight", "ffn_down.weight"},
};
static const gguf_name gemma_norms[] = {
    {"post_attention_layernorm.weight", "post_attention_norm.weight"},
    {"pre_feedforward_layernorm.weight", "ffn_norm.weight"},
    {"post_feedforward_layernorm.weight", "post_ffw_norm.weight"},
};
static const gguf_name llama_norms[] = {{"post_attention_layernorm.weight", "ffn_norm.weight"}};

typedef struct gguf_tensor_text {
    const tri_safetensor *from;
    char name[64];
} gguf_tensor_text;

static void find_name(const char *hf, bool gemma, char out[64]) {
    int layer = 0, at = 0;
    const gguf_name *norms = gemma ? gemma_norms : llama_norms;
    size_t n_norms = gemma ? 3 : 1, n = sizeof(names) / sizeof(names[0]);
    out[0] = '\0';
    if (strcmp(hf, "model.embed_tokens.weight") == 0) (void)snprintf(out, 64, "token_embd.weight");
    if (strcmp(hf, "model.norm.weight") == 0) (void)snprintf(out, 64, "output_norm.weight");
    if (strcmp(hf, "lm_head.weight") == 0) (void)snprintf(out, 64, "output.weight");
    if (sscanf(hf, "model.layers.%d.%n", &layer, &at) == 1 && at > 0)
        for (size_t i = 0; i < n + n_norms; i++) {
            const gguf_name *name = i < n ? &names[i] : &norms[i - n];
            if (strcmp(hf + at, name->hf) == 0)
                (void)snprintf(out, 64, "blk.%d.%s", layer, name->gguf);
        }
    if (!out[0]) fail_msg("no GGUF name for %s", hf);
}

static void put(tri_buf *b, uint64_t value, size_t n_bytes) {
    tri_buf_append(b, &value, n_bytes); /* little-endian, as GGUF */
}

static void put_string(tri_buf *b, const char *text) {
    put(b, strlen(text), 8);
    tri_buf_puts(b, text);
}

static void put_u32(tri_buf *b, const char *arch, const char *key, int64_t value) {
    char full[96];
    (void)snprintf(full, sizeof full, "%s.%s", arch, key);
    put_string(b, full);
    put(b, TRI_GGUF_U32, 4);
    put(b, (uint64_t)value, 4);
}

static void put_f32(tri_buf *b, const char *arch, const char *key, double value) {
    char full[96];
    float f = (float)value;
    (void)snprintf(full, sizeof full, "%s.%s", arch, key);
    put_string(b, full);
    put(b, TRI_GGUF_F32, 4);
    tri_buf_append(b, &f, 4);
}

static void put_metadata(tri_buf *b, const char *arch, const tri_model_config *c) {
    put_string(b, "general.architecture");
    put(b, TRI_GGUF_STRING, 4);
    put_string(b, arch);
    put_u32(b, arch, "block_count", c->n_layers);
    put_u32(b, arch, "context_length", c->max_position_embeddings);
    put_u32(b, arch, "embedding_length", c->hidden_size);
    put_u32(b, arch, "feed_forward_length", c->intermediate_size);
    put_u32(b, arch, "attention.head_count", c->n_heads);
    put_u32(b, arch, "attention.head_count_kv", c->n_kv_heads);
    put_u32(b, arch, "attention.key_length", c->head_size);
    put_u32(b, arch, "attention.value_length", c->head_size);
    put_u32(b, arch, "vocab_size", c->vocab_size);
    put_f32(b, arch, "attention.layer_norm_rms_epsilon", c->norm_epsilon);
    put_f32(b, arch, "rope.freq_base", c->rope[0].base);
}
enum { N_VALUES = 12 };

/* Norms of Gemma are stored plus one. */
static void put_data(tri_buf *b, const tri_safetensor *t, bool plus_one) {
    int64_t n = t->dims[0] * (t->n_dims > 1 ? t->dims[1] : 1);
    float *values = malloc((size_t)n * 4);
    tri_codec_decode(t->dtype, t->data, values, n);
    for (int64_t i = 0; i < n && plus_one; i++)
        values[i] += 1;
    tri_buf_append(b, values, (size_t)n * 4);
    free(values);
}

static void write_gguf(
    const char *path, const char *arch, const tri_safetensors_set *set, const tri_model_config *c) {
    tri_buf b = {0};
    tri_error err = {0};
    bool gemma = strncmp(arch, "gemma", 5) == 0;
    int64_t n_tensors = 0, offset = 0;
    for (int32_t f = 0; f < set->n_files; f++)
        n_tensors += set->files[f].n_tensors;
    tri_buf_puts(&b, "GGUF");
    put(&b, 3, 4);
    put(&b, (uint64_t)n_tensors, 8);
    put(&b, N_VALUES, 8);
    put_metadata(&b, arch, c);
    for (int32_t f = 0; f < set->n_files; f++)
        for (int32_t i = 0; i < set->files[f].n_tensors; i++) {
            const tri_safetensor *t = &set->files[f].tensors[i];
            char name[64];
            find_name(t->name, gemma, name);
            put_string(&b, name);
            put(&b, (uint64_t)t->n_dims, 4);
            for (int32_t d = t->n_dims - 1; d >= 0; d--)
                put(&b, (uint64_t)t->dims[d], 8);
            put(&b, 0, 4); /* F32 */
            put(&b, (uint64_t)offset, 8);
            offset += (t->dims[0] * (t->n_dims > 1 ? t->dims[1] : 1) * 4 + 31) / 32 * 32;
        }
    while (b.len % 32)
        tri_buf_putc(&b, 0);
    for (int32_t f = 0; f < set->n_files; f++)
        for (int32_t i = 0; i < set->files[f].n_tensors; i++) {
            const tri_safetensor *t = &set->files[f].tensors[i];
            put_data(&b, t, gemma && strstr(t->name, "norm.weight"));
            while (b.len % 32)
                tri_buf_putc(&b, 0);
        }
    golden_ok(tri_buf_status(&b, &err), &err);
    golden_ok(tri_file_replace(path, b.ptr, b.len, &err), &err);
    tri_buf_deinit(&b);
}

static void check_architecture(const char *family, const char *arch) {
    char path[600];
    char *dir = weights_make_dir();
    tri_error err = {0};
    tri_arena arena;
    tri_safetensors_set set = {0};
    tri_arena_init(&arena, 0);
    tri_source *hf = weights_open(family, TRI_F32, 0, 0), *gguf = NULL;
    golden_ok(tri_safetensors_set_open(&set, tri_source_path(hf), &arena, &err), &err);
    (void)snprintf(path, sizeof path, "%s/%s.gguf", dir, arch);
    write_gguf(path, arch, &set, tri_source_config(hf));
    tri_source_options options = {.dtype = TRI_N_DTYPES};
    golden_ok(tri_source_open(&gguf, path, &options, &err), &err);
    assert_string_equal(tri_source_config(gguf)->architecture, tri_source_config(hf)->architecture);
    weights_assert_equal(hf, gguf, 0);
    tri_source_close(hf);
    tri_source_close(gguf);
    tri_safetensors_set_close(&set);
    tri_arena_deinit(&arena);
    weights_remove_dir(dir);
}

static void test_architectures(void **state) {
    (void)state;
    check_architecture("families/qwen2", "qwen2");
    check_architecture("families/qwen3", "qwen3");
    check_architecture("families/phi3", "phi3");
    /* exact: (1 + w) - 1 in float32 gives w back, w having 8 bits and being no smaller than 2^-16
     */
    check_architecture("families/gemma2", "gemma2");
    check_architecture("families/gemma3", "gemma3");
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_blocks_are_kept),
        cmocka_unit_test(test_blocks_are_described),
        cmocka_unit_test(test_blocks_are_decoded),
        cmocka_unit_test(test_cut_blocks_are_refused),
        cmocka_unit_test(test_block_shards),
        cmocka_unit_test(test_architectures),
    };
    return cmocka_run_group_tests_name("models/source_gguf", tests, NULL, NULL);
}
