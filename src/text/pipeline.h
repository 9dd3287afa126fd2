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
    TRI_NORM_BERT,
    TRI_NORM_SENTENCEPIECE /* spm: tri_spm_normalize of spm.h, over the whole text */
} tri_normalizer_kind;

typedef struct tri_normalizer {
    tri_normalizer_kind kind;
    bool left, right;
    tri_pattern pattern;
    tri_str content;
    struct tri_charsmap *charsmap; /* SentencePiece's precompiled map: charsmap.h */
    const struct tri_spm_normalizer *spm;
    bool by_grapheme; /* PRECOMPILED as tokenizer.json has it: grapheme clusters of < 6 bytes, then
                         characters; false: the longest prefix, as SentencePiece */
    struct {
        bool clean_text, handle_chinese_chars, strip_accents, lowercase;
    } bert;
} tri_normalizer;

/* ---- pre-tokenizers ---- */

typedef enum tri_pre_tokenizer_kind {
    TRI_PRE_BYTE_LEVEL,  /* add_prefix_space, use_regex (then pattern holds GPT-2's) */
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

/* ---- models: bpe.h, unigram.h, wordpiece.h, wordlevel.h ----
 *
 * Each lives in the tokenizer's arena, is immutable and has
 *     tri_x_create(tri_x **, const tri_x_config *, ..., tri_arena *, tri_error *)
 *     tri_x_find(const tri_x *, tri_str piece)                       id or -1
 *     tri_x_encode(const tri_x *, scratch of one thread, tri_str word, tri_buf *ids, tri_error *)
 * where a word is valid UTF-8 (any bytes for a BPE over bytes) and ids get int32_t appended. */

typedef enum tri_model_kind {
    TRI_MODEL_BPE,
    TRI_MODEL_UNIGRAM,
    TRI_MODEL_WORDPIECE,
    TRI_MODEL_WORDLEVEL,
    TRI_MODEL_SPM_BPE /* spm_bpe.h: a word is a whole normalised text */
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
    TRI_DECODE_STRIP, /* content (one character), start, stop: how many at most */
    TRI_DECODE_BYTES, /* tokens are raw bytes (tekken, tiktoken): joined, ill-formed as U+FFFD */
    TRI_DECODE_SENTENCEPIECE /* spm: tri_spm_decode of spm.h, the only step; ids, not tokens */
} tri_decode_kind;

typedef struct tri_decode_step {
    tri_decode_kind kind;
    tri_pattern pattern;
    tri_str content, delimiter;
    tri_prepend_scheme prepend;
    bool cleanup;
    int32_t start, stop;
    const struct tri_spm_decoding *spm;
} tri_decode_step;

enum { TRI_MAX_STEPS = 16, TRI_MAX_TEMPLATE = 16 };

struct tri_tokenizer {
    tri_arena arena;  /* everything below but the regexes, which tri_tokenizer_close frees too */
    int32_t n_tokens; /* ids, added tokens among them */
    tri_str *tokens;  /* by id, as the file writes them, NUL-terminated; ptr NULL where an id has
                         none */
    tri_normalizer normalizers[TRI_MAX_STEPS];
    tri_pre_tokenizer pre_tokenizers[TRI_MAX_STEPS];
    tri_decode_step decoders[TRI_MAX_STEPS]; /* none: tokens joined with spaces */
    int32_t n_normalizers, n_pre_tokenizers, n_decoders;
    /* The model is a BPE over raw bytes: its pieces were taken out of the byte-level alphabet when
     * loaded, and a BYTE_LEVEL pre-tokenizer, then the last, splits but does not map. */
    bool raw_bytes;
    /* By id, or NULL: tokens whose text stands as it is where others are in the byte-level
     * alphabet, as GGUF has its special and user-defined ones. */
    const uint8_t *literal;
    tri_model_kind model;
    union {
        struct tri_bpe *bpe;
        struct tri_unigram *unigram;
        struct tri_wordpiece *wordpiece;
        struct tri_wordlevel *wordlevel;
        struct tri_spm_bpe *spm_bpe;
    };
    tri_added_token *added; /* any order; texts need not be in the model's vocabulary */
    int32_t n_added;
    tri_template_item single[TRI_MAX_TEMPLATE]; /* none: the sequence alone */
    int32_t n_single;

    /* By tri_tokenizer_finish. */
    struct tri_added_index *added_index; /* added.h */
    struct tri_encoders *encoders;       /* encode.h: scratch between calls */
    uint8_t *special;                    /* by id */
    tri_str *decoded;                    /* by id: bytes where the decoder is byte-level alone */
    bool cut_at_metaspace;               /* no piece spans "x\u2581": a cut before one is exact */
};

/* ---- for loaders ---- */

/* Room for ids [0, n). */
tri_status tri_tokenizer_reserve_tokens(tri_tokenizer *t, int64_t n, tri_error *err);
/* tokens[id] = a NUL-terminated copy of text. */
tri_status tri_tokenizer_set_token(tri_tokenizer *t, int32_t id, tri_str text, tri_error *err);
/* A NUL-terminated copy in the tokenizer's arena. */
tri_status tri_tokenizer_copy(tri_tokenizer *t, tri_str text, tri_str *copy, tri_error *err);
tri_status tri_pattern_compile(tri_pattern *p, tri_str expression, tri_error *err);
extern const char tri_gpt2_expression[]; /* what ByteLevel's use_regex means */

/* The byte-level alphabet (byte_level.c).  undo: raw bytes of piece into out (room for piece.len),
 * false when a character is outside the alphabet.  map: characters of bytes appended. */
bool tri_byte_level_undo(tri_str piece, char *out, size_t *n);
void tri_byte_level_map(tri_str bytes, tri_buf *out);

/* The id that the model has for a token as the file writes it, added tokens apart; -1: none. */
int32_t tri_tokenizer_find_model(const tri_tokenizer *t, tri_str text);

/* ---- loaders: a zeroed tokenizer whose arena is initialised; closed by the caller on failure */

tri_status tri_load_tokenizer_json(tri_tokenizer *t, tri_str json, tri_error *err);
tri_status tri_load_tekken(tri_tokenizer *t, tri_str json, tri_error *err);
/* tokenizer_config: the text of tokenizer_config.json, whose add_bos_token and add_eos_token say
 * what stands around a text; may be empty. */
tri_status tri_load_sentencepiece(
    tri_tokenizer *t, tri_str file, tri_str tokenizer_config, tri_error *err);
/* A tokenizer.model is one or the other. */
bool tri_is_tiktoken(tri_str file);
/* model_type: config.json's, which decides the expression; NULL: unknown.  tokenizer_config: the
 * text of tokenizer_config.json, whose added_tokens_decoder names the special tokens; may be empty.
 */
tri_status tri_load_tiktoken(tri_tokenizer *t, tri_str file, const char *model_type,
    tri_str tokenizer_config, tri_error *err);
tri_status tri_load_gguf_tokenizer(tri_tokenizer *t, const char *path, tri_error *err);
struct tri_gguf;
tri_status tri_load_gguf_vocab(tri_tokenizer *t, const struct tri_gguf *gguf, tri_error *err);

/* Checks what loaders filled in and builds the indexes.  tri_tokenizer_open calls it, loaders do
 * not. */
tri_status tri_tokenizer_finish(tri_tokenizer *t, tri_error *err);

#endif
