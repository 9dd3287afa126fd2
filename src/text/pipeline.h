/* pipeline.h - a tokenizer as data: what every kind of file is read into, and what encode and
 * decode walk.
 *
 * The parts are those of tokenizer.json (Hugging Face tokenizers), which is the widest of the
 * formats; SentencePiece, tekken, tiktoken and GGUF files are expressed in them.  Text flows
 * through added tokens -> normalizers -> pre-tokenizers -> model -> post-processor and ids through
 * the decoder steps.  A loader fills a zeroed tri_tokenizer from an arena of its own and calls
 * tri_tokenizer_finish once. */
#ifndef TRI_TEXT_PIPELINE_H
#define TRI_TEXT_PIPELINE_H

#include "base/arena.h"
#include "base/buf.h"
#include "text/regex.h"
#include "trireme/text.h"

typedef struct tri_pattern { /* a fixed string, or an expression where regex is set */
    tri_str literal;
    tri_regex *regex; /* owned by the tokenizer */
} tri_pattern;

/* ---- normalizers ---- */

typedef enum tri_normalizer_kind {
    TRI_NORM_NFC,
    TRI_NORM_NFD,
    TRI_NORM_NFKC,
    TRI_NORM_NFKD,
    TRI_NORM_LOWERCASE,
    TRI_NORM_STRIP_ACCENTS,
    TRI_NORM_NMT,
    TRI_NORM_BYTE_LEVEL,
    TRI_NORM_STRIP,       /* left, right */
    TRI_NORM_REPLACE,     /* pattern by content */
    TRI_NORM_PREPEND,     /* content, unless the text is empty */
    TRI_NORM_PRECOMPILED, /* charsmap */
    TRI_NORM_BERT
} tri_normalizer_kind;

typedef struct tri_normalizer {
    tri_normalizer_kind kind;
    bool left, right;
    tri_pattern pattern;
    tri_str content;
    struct tri_charsmap *charsmap; /* SentencePiece's precompiled map: charsmap.h */
    struct {
        bool clean_text, handle_chinese_chars, strip_accents, lowercase;
    } bert;
} tri_normalizer;

/* ---- pre-tokenizers ---- */

typedef enum tri_pre_tokenizer_kind {
    TRI_PRE_BYTE_LEVEL,  /* add_prefix_space, use_regex */
    TRI_PRE_SPLIT,       /* pattern, behavior, invert */
    TRI_PRE_METASPACE,   /* content (the replacement), prepend, split */
    TRI_PRE_DIGITS,      /* individual */
    TRI_PRE_PUNCTUATION, /* behavior */
    TRI_PRE_WHITESPACE,
    TRI_PRE_WHITESPACE_SPLIT,
    TRI_PRE_BERT,
    TRI_PRE_DELIMITER, /* content */
    TRI_PRE_UNICODE_SCRIPTS,
    TRI_PRE_FIXED_LENGTH /* length, in code points */
} tri_pre_tokenizer_kind;

typedef enum tri_split_behavior {
    TRI_SPLIT_ISOLATED,
    TRI_SPLIT_REMOVED,
    TRI_SPLIT_MERGED_WITH_PREVIOUS,
    TRI_SPLIT_MERGED_WITH_NEXT,
    TRI_SPLIT_CONTIGUOUS
} tri_split_behavior;

typedef enum tri_prepend_scheme {
    TRI_PREPEND_ALWAYS,
    TRI_PREPEND_FIRST,
    TRI_PREPEND_NEVER
} tri_prepend_scheme;

typedef struct tri_pre_tokenizer {
    tri_pre_tokenizer_kind kind;
    bool add_prefix_space, use_regex, invert, split, individual;
    tri_split_behavior behavior;
    tri_prepend_scheme prepend;
    tri_pattern pattern;
    tri_str content;
    int32_t length;
} tri_pre_tokenizer;

/* ---- models: bpe.h, unigram.h, wordpiece.h, wordlevel.h ---- */

typedef enum tri_model_kind {
    TRI_MODEL_BPE,
    TRI_MODEL_UNIGRAM,
    TRI_MODEL_WORDPIECE,
    TRI_MODEL_WORDLEVEL
} tri_model_kind;

/* ---- added tokens ---- */

typedef struct tri_added_token { /* recognised in text before it is split */
    tri_str text;
    int32_t id;
    bool special;    /* left out of decoded text when asked; never read in a stranger's text */
    bool normalized; /* looked for in normalised text, its own text normalised too */
    bool lstrip, rstrip, single_word;
} tri_added_token;

/* ---- post-processor: one sequence, or a pair ---- */

typedef struct tri_template_item {
    int32_t id;       /* of a special token; -1: the sequence itself */
    int32_t sequence; /* 0: A, 1: B */
} tri_template_item;

/* ---- decoders ---- */

typedef enum tri_decode_kind {
    TRI_DECODE_BYTE_LEVEL,
    TRI_DECODE_METASPACE,     /* content, prepend */
    TRI_DECODE_WORDPIECE,     /* content (the prefix), cleanup */
    TRI_DECODE_BPE,           /* content (the suffix) */
    TRI_DECODE_CTC,           /* content (the pad token), delimiter, cleanup */
    TRI_DECODE_REPLACE,       /* pattern by content */
    TRI_DECODE_BYTE_FALLBACK, /* <0xE2> */
    TRI_DECODE_FUSE,
    TRI_DECODE_STRIP /* content (one character), start, stop: how many at most */
} tri_decode_kind;

typedef struct tri_decode_step {
    tri_decode_kind kind;
    tri_pattern pattern;
    tri_str content, delimiter;
    tri_prepend_scheme prepend;
    bool cleanup;
    int32_t start, stop;
} tri_decode_step;

enum { TRI_MAX_STEPS = 16, TRI_MAX_TEMPLATE = 16 };

struct tri_tokenizer {
    tri_arena arena;
    int32_t n_tokens; /* ids, added tokens among them */
    tri_str
        *tokens; /* by id, as the file writes them, NUL-terminated; ptr NULL where an id has none */
    tri_normalizer normalizers[TRI_MAX_STEPS];
    tri_pre_tokenizer pre_tokenizers[TRI_MAX_STEPS];
    tri_decode_step decoders[TRI_MAX_STEPS];
    int32_t n_normalizers, n_pre_tokenizers, n_decoders;
    tri_model_kind model;
    union {
        struct tri_bpe *bpe;
        struct tri_unigram *unigram;
        struct tri_wordpiece *wordpiece;
        struct tri_wordlevel *wordlevel;
    };
    tri_added_token *added;
    int32_t n_added;
    struct tri_added_index *added_index;        /* by tri_tokenizer_finish */
    tri_template_item single[TRI_MAX_TEMPLATE]; /* none: the sequence alone */
    int32_t n_single;
};

/* Loaders.  source: what an error should call the input. */
tri_status tri_load_tokenizer_json(tri_tokenizer *t, tri_str json, tri_error *err);
tri_status tri_load_tekken(tri_tokenizer *t, tri_str json, tri_error *err);
tri_status tri_load_sentencepiece(tri_tokenizer *t, tri_str file, tri_error *err);
/* model_type: config.json's, which decides the expression where the file has none; NULL: unknown.
 */
tri_status tri_load_tiktoken(
    tri_tokenizer *t, tri_str file, const char *model_type, tri_error *err);
tri_status tri_load_gguf_tokenizer(tri_tokenizer *t, const char *path, tri_error *err);

/* Checks what loaders filled in and builds the indexes. */
tri_status tri_tokenizer_finish(tri_tokenizer *t, tri_error *err);

#endif
