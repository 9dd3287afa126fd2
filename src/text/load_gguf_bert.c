/* load_gguf_bert.c - the GGUF kind "bert": WordPiece.
 *
 * Converters turn "##ing" into "ing" and "word" into U+2581 "word" (a phantom space); here the
 * pieces are turned back, and the tokenizer is Hugging Face's BERT pipeline.  Words of more than
 * 100 characters are unknown there; llama.cpp has no such limit, and drops spacing marks (Mc) with
 * the accents.  Tokens are shown as in vocab.txt. */
#include <string.h>

#include "text/gguf_vocab.h"
#include "text/wordpiece.h"

static const char phantom_space[] = "\xE2\x96\x81";

static bool is_bracketed(tri_str token) {
    return token.len > 1 && token.ptr[0] == '[' && token.ptr[token.len - 1] == ']';
}

static tri_status restore_pieces(const tri_gguf_vocab *v, tri_str *pieces, tri_error *err) {
    tri_tokenizer *t = v->t;
    for (int32_t id = 0; id < v->n; id++) {
        tri_str token = v->tokens[id], piece = token;
        if (v->types[id] != TRI_PIECE_NORMAL || !token.len) continue;
        if (tri_str_starts(token, phantom_space)) {
            piece = (tri_str){token.ptr + 3, token.len - 3};
        } else if (!is_bracketed(token)) {
            char *inner = tri_arena_alloc_aligned(&t->arena, token.len + 2, 1);
            if (!inner) return TRI_FAIL(err, TRI_E_MEMORY, "no memory for token %d", id);
            inner[0] = inner[1] = '#';
            memcpy(inner + 2, token.ptr, token.len);
            piece = (tri_str){inner, token.len + 2};
        }
        TRI_TRY(tri_tokenizer_set_token(t, id, piece, err));
        if (piece.len) pieces[id] = t->tokens[id];
    }
    return TRI_OK;
}

tri_status tri_gguf_load_bert(tri_gguf_vocab *v, tri_error *err) {
    tri_tokenizer *t = v->t;
    bool lowercase = true;
    int32_t cls_id = 101, sep_id = 102;
    v->unk_id = 100;
    TRI_TRY(tri_gguf_vocab_id(v, "unknown_token_id", &v->unk_id, err));
    TRI_TRY(tri_gguf_vocab_id(v, "bos_token_id", &cls_id, err));
    TRI_TRY(tri_gguf_vocab_id(v, "cls_token_id", &cls_id, err));
    TRI_TRY(tri_gguf_vocab_id(v, "seperator_token_id", &sep_id, err)); /* spelt so */
    TRI_TRY(tri_gguf_read_bool(v->g, "tokenizer.ggml.normalizer.lowercase", &lowercase, err));
    bool strip_accents = lowercase;
    TRI_TRY(
        tri_gguf_read_bool(v->g, "tokenizer.ggml.normalizer.strip_accents", &strip_accents, err));

    tri_str *pieces = TRI_NEW_N(&t->arena, tri_str, v->n);
    if (!pieces) return TRI_FAIL(err, TRI_E_MEMORY, "no memory for %d pieces", v->n);
    TRI_TRY(restore_pieces(v, pieces, err));
    t->model = TRI_MODEL_WORDPIECE;
    TRI_TRY(tri_wordpiece_create(&t->wordpiece,
        &(tri_wordpiece_config){
            .n_pieces = v->n, .unk_id = v->unk_id, .max_word_chars = 100, .prefix = TRI_STR("##")},
        pieces, &t->arena, err));
    t->normalizers[t->n_normalizers++] = (tri_normalizer){.kind = TRI_NORM_BERT,
        .bert = {.clean_text = true,
            .handle_chinese_chars = true,
            .strip_accents = strip_accents,
            .lowercase = lowercase}};
    t->pre_tokenizers[t->n_pre_tokenizers++].kind = TRI_PRE_BERT;
    t->decoders[t->n_decoders++] =
        (tri_decode_step){.kind = TRI_DECODE_WORDPIECE, .content = TRI_STR("##"), .cleanup = true};
    tri_gguf_vocab_frame(v, cls_id, sep_id);
    return TRI_OK;
}
