/* load_gguf_spm.c - the GGUF kinds that SentencePiece made: "llama" (BPE) and "t5" (Unigram).
 *
 * SentencePiece's rules are kept where llama.cpp has others: only normal and unused pieces are made
 * from text; normalisation is the whole of normalizer_spec (llama.cpp's t5 puts a space before
 * every word when it removes extra ones); scores add up in float.  User-defined tokens are added
 * tokens, as in llama.cpp and Hugging Face's conversions, since converters mark so what was added
 * later.  Decoding writes them, and special tokens, as they stand. */
#include <string.h>

#include "text/gguf_vocab.h"
#include "text/spm.h"
#include "text/spm_bpe.h"

static tri_status read_scores(const tri_gguf_vocab *v, double **scores, tri_error *err) {
    const tri_gguf_value *value = tri_gguf_find(v->g, "tokenizer.ggml.scores");
    bool ok = !value || (value->kind == TRI_GGUF_ARRAY && value->n >= v->n &&
                            (value->element == TRI_GGUF_F32 || value->element == TRI_GGUF_I32));
    if (!ok) {
        return TRI_FAIL(
            err, TRI_E_FORMAT, "tokenizer.ggml.scores is not an array of %d numbers", v->n);
    }
    *scores = TRI_NEW_N(&v->t->arena, double, v->n);
    if (!*scores) return TRI_FAIL(err, TRI_E_MEMORY, "no memory for %d scores", v->n);
    for (int32_t id = 0; id < v->n && value; id++)
        (*scores)[id] = tri_gguf_array_f64(value, id);
    return TRI_OK;
}

/* One unknown token; others of that type are special tokens of a kind. */
static tri_status settle_unknown(tri_gguf_vocab *v, int32_t usual_id, tri_error *err) {
    v->unk_id = usual_id;
    TRI_TRY(tri_gguf_vocab_id(v, "unknown_token_id", &v->unk_id, err));
    for (int32_t id = 0; id < v->n; id++)
        if (v->types[id] == TRI_PIECE_UNKNOWN) v->types[id] = TRI_PIECE_CONTROL;
    if (v->unk_id >= 0) v->types[v->unk_id] = TRI_PIECE_UNKNOWN;
    return TRI_OK;
}

/* The types that encoding goes by: user-defined tokens are taken out of the text before. */
static tri_status model_types(const tri_gguf_vocab *v, uint8_t **types, tri_error *err) {
    *types = TRI_NEW_N(&v->t->arena, uint8_t, v->n);
    if (!*types) return TRI_FAIL(err, TRI_E_MEMORY, "no memory for %d types", v->n);
    for (int32_t id = 0; id < v->n; id++) {
        (*types)[id] = v->types[id] == TRI_PIECE_USER_DEFINED ? TRI_PIECE_CONTROL : v->types[id];
    }
    return TRI_OK;
}

static tri_status read_charsmap(const tri_gguf_vocab *v, const tri_charsmap **map, tri_error *err) {
    const tri_gguf_value *value = tri_gguf_find(v->g, "tokenizer.ggml.precompiled_charsmap");
    if (!value) return TRI_OK;
    if (value->kind != TRI_GGUF_ARRAY ||
        (value->element != TRI_GGUF_U8 && value->element != TRI_GGUF_I8)) {
        return TRI_FAIL(
            err, TRI_E_FORMAT, "tokenizer.ggml.precompiled_charsmap is not an array of bytes");
    }
    tri_str copy;
    tri_charsmap *opened;
    if (value->n == 0) return TRI_OK;
    TRI_TRY(tri_tokenizer_copy(
        v->t, (tri_str){(const char *)value->data, (size_t)value->n}, &copy, err));
    TRI_TRY(tri_charsmap_open(&opened, copy, &v->t->arena, err));
    *map = opened;
    return TRI_OK;
}

static tri_status add_steps(tri_gguf_vocab *v, tri_spm_rules rules, bool mapped, tri_error *err) {
    tri_tokenizer *t = v->t;
    tri_spm_normalizer *n = TRI_NEW(&t->arena, tri_spm_normalizer);
    tri_spm_decoding *d = TRI_NEW(&t->arena, tri_spm_decoding);
    if (!n || !d) return TRI_FAIL(err, TRI_E_MEMORY, "no memory for a normalizer");
    rules.escape_whitespaces = true;
    TRI_TRY(
        tri_gguf_read_bool(v->g, "tokenizer.ggml.add_space_prefix", &rules.add_dummy_prefix, err));
    TRI_TRY(tri_gguf_read_bool(
        v->g, "tokenizer.ggml.remove_extra_whitespaces", &rules.remove_extra_whitespaces, err));
    n->rules = rules;
    if (mapped) TRI_TRY(read_charsmap(v, &n->charsmap, err));
    *d = (tri_spm_decoding){
        .rules = rules, .n_pieces = v->n, .pieces = t->tokens, .types = v->types, .literal = true};
    t->normalizers[t->n_normalizers++] = (tri_normalizer){.kind = TRI_NORM_SENTENCEPIECE, .spm = n};
    t->decoders[t->n_decoders++] = (tri_decode_step){.kind = TRI_DECODE_SENTENCEPIECE, .spm = d};
    return TRI_OK;
}

static tri_status add_frame(
    const tri_gguf_vocab *v, bool bos, bool eos, int32_t bos_id, int32_t eos_id, tri_error *err) {
    TRI_TRY(tri_gguf_read_bool(v->g, "tokenizer.ggml.add_bos_token", &bos, err));
    TRI_TRY(tri_gguf_read_bool(v->g, "tokenizer.ggml.add_eos_token", &eos, err));
    TRI_TRY(tri_gguf_vocab_id(v, "bos_token_id", &bos_id, err));
    TRI_TRY(tri_gguf_vocab_id(v, "eos_token_id", &eos_id, err));
    tri_gguf_vocab_frame(v, bos ? bos_id : -1, eos ? eos_id : -1);
    return TRI_OK;
}

static bool has_bytes(const tri_gguf_vocab *v) {
    for (int32_t id = 0; id < v->n; id++)
        if (v->types[id] == TRI_PIECE_BYTE) return true;
    return false;
}

tri_status tri_gguf_load_llama(tri_gguf_vocab *v, tri_error *err) {
    tri_tokenizer *t = v->t;
    double *scores = NULL;
    uint8_t *types = NULL;
    TRI_TRY(settle_unknown(v, 0, err));
    TRI_TRY(read_scores(v, &scores, err));
    TRI_TRY(model_types(v, &types, err));
    float *narrow = TRI_NEW_N(&t->arena, float, v->n);
    if (!narrow) return TRI_FAIL(err, TRI_E_MEMORY, "no memory for %d scores", v->n);
    for (int32_t id = 0; id < v->n; id++)
        narrow[id] = (float)scores[id];
    t->model = TRI_MODEL_SPM_BPE;
    TRI_TRY(tri_spm_bpe_create(&t->spm_bpe,
        &(tri_spm_bpe_desc){.pieces = t->tokens,
            .scores = narrow,
            .types = types,
            .n = v->n,
            .unk_id = v->unk_id,
            .byte_fallback = has_bytes(v)},
        &t->arena, err));
    TRI_TRY(add_steps(v, (tri_spm_rules){.add_dummy_prefix = true}, false, err));
    return add_frame(v, true, false, 1, 2, err);
}

tri_status tri_gguf_load_t5(tri_gguf_vocab *v, tri_error *err) {
    tri_tokenizer *t = v->t;
    double *scores = NULL;
    uint8_t *types = NULL;
    TRI_TRY(settle_unknown(v, 2, err));
    TRI_TRY(read_scores(v, &scores, err));
    TRI_TRY(model_types(v, &types, err));
    t->model = TRI_MODEL_UNIGRAM;
    TRI_TRY(tri_unigram_create(&t->unigram,
        &(tri_unigram_desc){.pieces = t->tokens,
            .scores = scores,
            .types = types,
            .n = v->n,
            .unk_id = v->unk_id,
            .byte_fallback = has_bytes(v)},
        &t->arena, err));
    TRI_TRY(add_steps(v, (tri_spm_rules){0}, true, err));
    return add_frame(v, false, true, -1, 1, err);
}
