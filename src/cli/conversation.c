#include "cli/conversation.h"

#include "base/json.h"

void tri_conversation_deinit(tri_conversation *c) {
    tri_buf_deinit(&c->messages);
}

void tri_conversation_add(tri_conversation *c, const char *role, tri_str content) {
    tri_json_writer w;
    if (c->messages.len) tri_buf_putc(&c->messages, ',');
    tri_json_writer_init(&w, &c->messages, 0);
    tri_json_begin_object(&w);
    tri_json_key(&w, "role");
    tri_json_string(&w, tri_str_of(role));
    tri_json_key(&w, "content");
    tri_json_string(&w, content);
    tri_json_end_object(&w);
}

tri_status tri_conversation_encode(const tri_conversation *c, const tri_chat_template *t,
    const tri_tokenizer *tokenizer, int32_t **ids, int32_t *n, tri_error *err) {
    tri_buf inputs = {0};
    tri_chat_text text = {0};
    tri_buf_puts(&inputs, "{\"add_generation_prompt\": true, \"messages\": [");
    tri_buf_append(&inputs, c->messages.ptr ? c->messages.ptr : "", c->messages.len);
    tri_buf_puts(&inputs, "]}");
    tri_status rc = tri_buf_status(&c->messages, err);
    if (!rc) rc = tri_buf_status(&inputs, err);
    if (!rc) rc = tri_chat_template_render(t, inputs.ptr, inputs.len, &text, err);
    if (!rc) rc = tri_chat_text_encode(&text, tokenizer, ids, n, err);
    tri_chat_text_free(&text);
    tri_buf_deinit(&inputs);
    return rc;
}
