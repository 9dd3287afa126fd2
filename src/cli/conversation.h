/* conversation.h - the messages of a chat, and the prompt that they make. */
#ifndef TRI_CLI_CONVERSATION_H
#define TRI_CLI_CONVERSATION_H

#include "base/buf.h"
#include "trireme/text.h"

typedef struct tri_conversation { /* zeroed: none */
    tri_buf messages;             /* JSON objects with commas between */
} tri_conversation;

void tri_conversation_deinit(tri_conversation *c);
/* content: what is not UTF-8 becomes U+FFFD. */
void tri_conversation_add(tri_conversation *c, const char *role, tri_str content);
/* With the beginning of an answer at its end.  *ids: tri_free. */
tri_status tri_conversation_encode(const tri_conversation *c, const tri_chat_template *t,
    const tri_tokenizer *tokenizer, int32_t **ids, int32_t *n, tri_error *err);

#endif
