/* chat.h - a conversation as a prompt.  Templates: ChatML.  Text from users cannot become a special
 * token. */
#ifndef TRI_TEXT_CHAT_H
#define TRI_TEXT_CHAT_H

#include "base/buf.h"
#include "trireme/text.h"

typedef struct tri_chat_message {
    const char *role, *content; /* "system", "user", "assistant" */
} tri_chat_message;

typedef struct tri_chatml tri_chatml;

/* From the directory (chat_template.jinja, tokenizer_config.json, tokenizer.gguf) or GGUF file.  A
 * template that is not ChatML is TRI_E_UNSUPPORTED and says to use --raw; none at all is
 * TRI_E_NOT_FOUND. */
tri_status tri_chatml_open(tri_chatml **t, const char *path, tri_error *err);
void tri_chatml_close(tri_chatml *t);
/* The prompt as text, for showing and tests. */
tri_status tri_chatml_render(const tri_chatml *t, const tri_chat_message *messages,
    int32_t n_messages, bool add_generation_prompt, tri_buf *out, tri_error *err);
/* The prompt as ids: the template's own markers become special tokens, contents never do.  *ids:
 * tri_free. */
tri_status tri_chatml_encode(const tri_chatml *t, const tri_tokenizer *tokenizer,
    const tri_chat_message *messages, int32_t n_messages, bool add_generation_prompt, int32_t **ids,
    int32_t *n_ids, tri_error *err);

#endif
