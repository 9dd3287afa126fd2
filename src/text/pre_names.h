/* pre_names.h - what GGUF's tokenizer.ggml.pre stands for.
 *
 * The file has a name where tokenizer.json has expressions; the names are llama.cpp's.  The
 * expressions here are those of the models' own tokenizer.json where llama.cpp writes another one
 * for want of \p{Lu} or (?i:..). */
#ifndef TRI_TEXT_PRE_NAMES_H
#define TRI_TEXT_PRE_NAMES_H

#include "base/buf.h"

enum { /* flags */
    TRI_PRE_IGNORE_MERGES = 1,
    TRI_PRE_ADD_BOS = 2,    /* unless the file says */
    TRI_PRE_NFC = 4,        /* the model's tokenizer.json normalises; GGUF says nothing of it */
    TRI_PRE_CHARACTERS = 8, /* no byte-level alphabet: U+2581 for spaces, <0x0A> for other bytes */
    TRI_PRE_WORDS = 16,     /* characters, split at white space, which is dropped */
    TRI_PRE_SMART_BOS = 32, /* bos even where the file says not: a known fault of its files */
    TRI_PRE_NO_BOS = 64     /* no bos but one that the file names: GLM-4's chats begin with what
                               their template writes ([gMASK]<sop>) */
};

typedef struct tri_pre_rules {
    const char *name;
    const char *const *patterns; /* applied one after the other, NULL-terminated */
    uint32_t flags;
} tri_pre_rules;

/* NULL: unknown; *nearest (may be NULL) then gets a known name like it, or NULL. */
const tri_pre_rules *tri_pre_find(tri_str name, const char **nearest);
/* All of them, for tests. */
const tri_pre_rules *tri_pre_all(int32_t *n);

#endif
